"""Why can we not just jump to the final image? Rows of measurements with computed verdicts:
``samplerbench explain``.
"""
