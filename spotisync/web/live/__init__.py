"""Server-sent events: one broadcast of status documents to all viewers."""
