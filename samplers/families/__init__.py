"""Base classes of samplers, one family a file; the classes in ``methods/`` complete them."""
