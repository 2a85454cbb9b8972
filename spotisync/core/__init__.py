"""Pure decisions: rows, parsing, walks, the plan of each phase, the state table. No I/O, no clock."""
