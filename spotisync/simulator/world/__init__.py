"""The simulated state: catalogue, libraries, edits, and the truth that tables are compared with. No I/O."""
