"""Where the data come from that samples are compared with: real samples, or what somebody computed
of them.
"""
