"""How fast, against what: `python -m benchmarks` prints one table."""
