"""Performance measurements: `python -m benchmarks` prints one table."""
