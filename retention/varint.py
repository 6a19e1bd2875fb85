"""Unsigned LEB128 integers, and the zigzag that maps signed ones to them. Core."""

from __future__ import annotations

#: Longest encoding that is read: 70 bits, more than any instant or offset needs.
MAX_VARINT_BYTES = 10


def put_varint(out: bytearray, value: int) -> None:
    """Append ``value`` (not negative) to ``out``: 7 bits a byte, the lowest first."""
    if value < 0:
        raise ValueError("a varint holds no negative number")
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def get_varint(data: bytes, position: int) -> tuple[int, int]:
    """The integer at ``position`` and the position behind it.

    Raises:
        ValueError: the data end inside it, or it is longer than ``MAX_VARINT_BYTES``.
    """
    value = 0
    for index, byte in enumerate(data[position : position + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("a varint is cut short or too long")


def zigzag(value: int) -> int:
    """0, -1, 1, -2, … as 0, 1, 2, 3, …"""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """The inverse of :func:`zigzag`."""
    return -((value + 1) >> 1) if value & 1 else value >> 1
