"""What is sampled from: exact models with exact truth, and pretrained score networks."""
