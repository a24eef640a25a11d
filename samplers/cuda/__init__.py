"""A whole run as one recorded CUDA graph: what can be recorded (``capture``), and the recording
(``graph``).
"""
