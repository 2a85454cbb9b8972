"""The state behind the simulator: catalogue, libraries, edits, and the truth that tables are compared with."""
