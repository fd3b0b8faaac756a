"""To look at: load, plots, and the command line with its page and its report.

Uses what a user may use. No other room knows of it.
"""
