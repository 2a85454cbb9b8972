"""Endpoints for operators: health checks and Prometheus metrics."""
