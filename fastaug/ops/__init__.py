"""The vocabulary: what may be done to images, by subject.

Does not know of threads, files and batches.
"""
