"""The commands of studies, which stand beside the benchmark: a module each."""
