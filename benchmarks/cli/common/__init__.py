"""What the commands share: options, what is printed and how, and the process of a run."""
