"""Threads, jobs, processes, and memory that they share or use again.

Does not know of images.
"""
