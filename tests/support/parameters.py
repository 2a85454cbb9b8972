"""Parameters of tests."""

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_slow(values: Iterable[Any], quick: int = 1) -> list[Any]:
    """Return the values as parameters, of which the suite takes the first `quick` ones and `make slow` the others."""
    first, others = [*values][:quick], [*values][quick:]
    return [*first, *(pytest.param(value, marks=pytest.mark.slow) for value in others)]
