"""The stages of a run of ``advise``."""
