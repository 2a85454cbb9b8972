"""ASGI middleware: host and origin checks, authentication, security headers, concurrency limits."""
