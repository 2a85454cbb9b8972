"""Ids and dice: everything in the catalogue follows from a seed and a number, so nothing needs to be stored."""

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
    """Spotify-like ids (22 base62 letters) for the numbers 0 … 2**64-1 of a kind, and the way back.

    A three-round Feistel network over 128 bits whose upper half is zero before: half a million ids need no table,
    and a made-up id is known as such.
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
        """Say which number this id stands for: none if it is not one of ours."""
        if not well_formed(text):
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


def well_formed(text: str) -> bool:
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


class Dice:
    """A few dozen rolls that follow from a key alone. Far quicker to set up than `random.Random`."""

    def __init__(self, key: str) -> None:
        self._left = int.from_bytes(blake2b(key.encode()).digest(), "big")

    def roll(self, sides: int) -> int:
        """Give a number from 0 to sides - 1."""
        self._left, face = divmod(self._left, sides)
        return face

    def chance(self, percent: int) -> bool:
        return self.roll(100) < percent

    def pick(self, options: Sequence[T]) -> T:
        return options[self.roll(len(options))]
