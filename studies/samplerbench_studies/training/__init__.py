"""Training of networks, fits of exact models, and writing of cards, for the shipped models."""
