"""Wall times: medians with exact intervals, ratios, and which of two samplers is faster."""
