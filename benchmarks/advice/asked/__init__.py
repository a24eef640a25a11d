"""What is asked: the model, what is used now, and the configurations that there are."""
