"""Command ``samplerbench``, as ``python -m samplerbench``."""

from samplerbench.benchmarks.cli import main

if __name__ == "__main__":
    main()
