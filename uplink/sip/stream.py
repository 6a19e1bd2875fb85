"""Messages cut out of a byte stream (RFC 3261 18.3). Core; bounded.

A stream that loses its framing cannot find it again: :class:`Malformed` means that the connection
must be closed.
"""

from __future__ import annotations

import re

from uplink.sip.headers import Malformed
from uplink.sip.message import HEAD_BYTES_MAX, MESSAGE_BYTES_MAX, content_length

_HEAD_END = re.compile(rb"\r?\n\r?\n")


class Framer:
    """Keeps at most one incomplete message, so at most ``MESSAGE_BYTES_MAX`` bytes."""

    __slots__ = ("_buffer", "_need")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._need = 0  # bytes below which looking again is in vain

    @property
    def is_empty(self) -> bool:
        return not self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that ``data`` completes.

        Raises:
            Malformed: no Content-Length, or more than a message may have.
        """
        self._buffer += data
        messages: list[bytes] = []
        while len(self._buffer) >= self._need:
            size = self._next_size()
            if size is None:
                break
            messages.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
            self._need = 0
        if len(self._buffer) > MESSAGE_BYTES_MAX:
            raise Malformed("more than a message may have")
        return messages

    def _next_size(self) -> int | None:
        """Bytes of the first message, None while it is incomplete."""
        blank = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
        if blank:  # keep-alive of RFC 5626, or the line end after a body
            del self._buffer[:blank]
        if not self._buffer:
            self._need = 1
            return None
        end = _HEAD_END.search(self._buffer, 0, HEAD_BYTES_MAX)
        if end is None:
            if len(self._buffer) >= HEAD_BYTES_MAX:
                raise Malformed("a head without end")
            self._need = len(self._buffer) + 1
            return None
        length = content_length(bytes(self._buffer[: end.start()]))
        if length is None:
            raise Malformed("no Content-Length in a stream")
        size = end.end() + length
        if size > MESSAGE_BYTES_MAX:
            raise Malformed("more than a message may have")
        self._need = size
        return size if len(self._buffer) >= size else None
