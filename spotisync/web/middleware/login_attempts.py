"""How often somebody may be wrong about the token. In this process' memory: a restart forgets it."""

import math
import time
from collections import OrderedDict, deque
from typing import Final

FEW: Final = 10
"""Wrong tokens of one client in `WINDOW` seconds; then it has to wait, even with the right one."""
MANY: Final = 100
"""... of all together: a login on the page waits. A bearer token does not, or anybody could lock other services out."""
WINDOW: Final = 300.0
REMEMBERED: Final = 1000


class LoginAttempts:
    def __init__(self) -> None:
        self._of_client: OrderedDict[str, deque[float]] = OrderedDict()
        self._of_all: deque[float] = deque(maxlen=MANY)

    def seconds_blocked(self, client: str, *, on_page: bool = False) -> int:
        """For so many seconds this client gets no answer."""
        own = _left(self._of_client.get(client, deque(maxlen=FEW)))
        return max(own, _left(self._of_all)) if on_page else own

    def record_failure(self, client: str) -> None:
        now = time.monotonic()
        self._of_client.setdefault(client, deque(maxlen=FEW)).append(now)
        self._of_client.move_to_end(client)
        self._of_all.append(now)
        while len(self._of_client) > REMEMBERED:
            self._of_client.popitem(last=False)


def _left(times: deque[float]) -> int:
    """Until the oldest of as many as are allowed is out of the window."""
    if len(times) < (times.maxlen or 0):
        return 0
    return max(0, math.ceil(times[0] + WINDOW - time.monotonic()))
