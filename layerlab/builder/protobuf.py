"""Protobuf's encoding (https://protobuf.dev/programming-guides/encoding/), in which BuildKit speaks.

It is so simple that reading it takes less than describing the messages to a library would.
"""

from __future__ import annotations

from typing import Any

Fields = dict[int, list[Any]]
"""The values of a message, by the number of their field: numbers, or bytes."""


def fields(message: bytes) -> Fields:
    """What a message holds; a ValueError or an IndexError says that it is none.

    >>> fields(bytes.fromhex("0896011202686908019a0100"))
    {1: [150, 1], 2: [b'hi'], 19: [b'']}
    """
    found: Fields = {}
    value: Any
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        if key & 7 == 0:
            value, at = _number(message, at)
        else:
            size, at = _number(message, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
            value, at = message[at : at + size], at + size
            if at > len(message):
                raise ValueError("it is cut off")
        found.setdefault(key >> 3, []).append(value)
    return found


def _number(message: bytes, at: int) -> tuple[int, int]:
    """The number at a place, seven bits in each byte, the lowest first; and where it ends."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | message[at] << shift, at + 1


def encoded(number: int, value: bytes) -> bytes:
    """A message with one field, which holds bytes.

    >>> fields(encoded(1, b"x" * 300)) == {1: [b"x" * 300]}
    True
    """
    size, length = bytearray(), len(value)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + value
