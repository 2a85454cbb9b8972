"""The JSON API under /api, its models and its OpenAPI description."""
