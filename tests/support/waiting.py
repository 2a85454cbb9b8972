"""Wait for something that another thread or process does."""

import time
from collections.abc import Callable
from typing import Any

PAUSE = 0.02


def wait_until(condition: Callable[[], Any], message: str, seconds: float = 60) -> Any:
    """Return the first true value of the condition. The failure after the deadline names `message`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {message}"
        time.sleep(PAUSE)
    return found
