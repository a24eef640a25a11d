"""Page of ``samplerbench explain``: why sampling takes many steps.

Each row of the page measures a common claim, and computes a verdict from the measurement.
"""
