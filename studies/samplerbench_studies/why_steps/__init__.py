"""Why can we not just jump to the final image? Measurements of common claims, with verdicts
computed from them: ``samplerbench explain``.
"""
