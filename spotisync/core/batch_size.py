"""How large the next batch of a phase is, as a multiple of the usual size.

Each batch has a fixed cost (a message, a claim, a commit), and a killed worker loses what its batch has read. So
batches grow while they are quick, and are as small as possible after trouble.
"""

from typing import Final

MOST: Final = 8
# Seconds. A batch that is doubled at the first limit, or quadrupled at half of it, takes at most about as long as the
# second one.
QUICK: Final = 0.6
SLOW: Final = 1.2


def next_factor(factor: int, seconds: float, *, undisturbed: bool) -> int:
    """The factor after a batch of this factor that took `seconds`. Not `undisturbed`: it was lost or failed before."""
    if not undisturbed:
        return 1
    if seconds < QUICK:
        return min(MOST, factor * (4 if seconds < QUICK / 2 else 2))
    return max(1, factor // 2) if seconds > SLOW else factor
