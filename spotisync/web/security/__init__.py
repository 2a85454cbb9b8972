"""Cookies, signatures and CSRF tokens."""
