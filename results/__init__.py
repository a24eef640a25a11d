"""What came out: records, tables, comparisons and reports. Never imports torch."""
