"""Data to compare samples with: real samples, or statistics of them from elsewhere."""
