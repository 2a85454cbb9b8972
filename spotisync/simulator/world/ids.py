"""Ids and random values derived from a seed and a number, so that the catalogue needs no storage."""

import string
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")
ALPHABET = string.digits + string.ascii_lowercase + string.ascii_uppercase
LENGTH = 22
_DIGIT = {letter: value for value, letter in enumerate(ALPHABET)}
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_HALF = 2**64


class Ids:
    """Map the numbers 0 … 2**64-1 of a kind to Spotify-like ids (22 base62 letters), and back.

    A three-round Feistel network over 128 bits whose upper half starts as zero: half a million ids need no table, and
    an invented id is recognized.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, tuple[bytes, bytes, bytes]] = {}

    def of(self, kind: str, number: int) -> str:
        first, second, third = self._rounds(kind)
        left, right = _mix(first, number), number
        right ^= _mix(second, left)
        return _base62((left ^ _mix(third, right)) * _HALF + right)

    def number(self, kind: str, text: str) -> int | None:
        """Return the number of an id, None if this simulator did not make it."""
        if not is_well_formed(text):
            return None
        first, second, third = self._rounds(kind)
        left, right = divmod(_value(text), _HALF)
        if left >= _HALF:
            return None
        left ^= _mix(third, right)
        right ^= _mix(second, left)
        return right if left == _mix(first, right) else None

    def _rounds(self, kind: str) -> tuple[bytes, bytes, bytes]:
        if kind not in self._keys:
            one, two, three = (f"{self._seed}:{kind}:{n}".encode() for n in range(3))
            self._keys[kind] = (one, two, three)
        return self._keys[kind]


def is_well_formed(text: str) -> bool:
    return len(text) == LENGTH and all(letter in _DIGIT for letter in text)


def _mix(key: bytes, half: int) -> int:
    return int.from_bytes(blake2b(half.to_bytes(8, "big"), key=key, digest_size=8).digest(), "big")


def _base62(value: int) -> str:
    pairs = []
    for _ in range(LENGTH // 2):
        value, pair = divmod(value, 62 * 62)
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))


def _value(text: str) -> int:
    value = 0
    for letter in text:
        value = value * 62 + _DIGIT[letter]
    return value


class SeededRandom:
    """A few dozen random values derived from a key. Far cheaper to create than `random.Random`."""

    def __init__(self, key: str) -> None:
        self._state = int.from_bytes(blake2b(key.encode()).digest(), "big")

    def randrange(self, stop: int) -> int:
        self._state, value = divmod(self._state, stop)
        return value

    def chance(self, percent: int) -> bool:
        return self.randrange(100) < percent

    def choice(self, options: Sequence[T]) -> T:
        return options[self.randrange(len(options))]
