"""The figures of the page that ``samplerbench explain`` writes."""
