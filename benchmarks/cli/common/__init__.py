"""Options, output and the process of a run, which the commands share."""
