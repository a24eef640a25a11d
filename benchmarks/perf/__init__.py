"""pytest-benchmark benchmarks of the library itself."""
