"""The tables and every statement on them. Nothing here opens or commits a transaction: `sync` does."""
