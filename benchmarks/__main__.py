"""``python -m samplerbench.benchmarks`` is ``samplerbench``."""

from .cli import main

if __name__ == "__main__":
    main()
