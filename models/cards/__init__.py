"""Model cards of the shipped models, their weights and reference statistics, and the code that
reads them.
"""
