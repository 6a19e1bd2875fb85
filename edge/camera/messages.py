"""What a camera's child is told, over its socket: argv and environment may be read by others."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Literal

_LENGTH = struct.Struct(">I")
MAX_REQUEST_BYTES = 64 * 1024


#: Our own RTSP client, or libav's for a camera that ours does not get on with.
Reader = Literal["direct", "libav"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSource:
    """Where a camera's stream is to be had.

    ``urls`` are tried in order; credentials within them are replaced by ``username`` and
    ``password`` unless these are empty.
    """

    urls: tuple[str, ...] = field(repr=False)
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """The one message from the pool to a child; times in seconds."""

    source: StreamSource
    audio: bool
    reader: Reader = "direct"
    open_timeout_s: float = 5.0
    stall_timeout_s: float = 10.0

    def encode(self) -> bytes:
        """Length-prefixed JSON."""
        body = json.dumps(
            {
                "urls": self.source.urls,
                "username": self.source.username,
                "password": self.source.password,
                "audio": self.audio,
                "reader": self.reader,
                "open_timeout_s": self.open_timeout_s,
                "stall_timeout_s": self.stall_timeout_s,
            }
        ).encode()
        if len(body) > MAX_REQUEST_BYTES:
            raise ValueError("stream request is too long")
        return _LENGTH.pack(len(body)) + body

    @staticmethod
    def length_of(head: bytes) -> int:
        """Bytes that follow the 4-byte head; ValueError beyond ``MAX_REQUEST_BYTES``."""
        length: int = _LENGTH.unpack(head)[0]
        if length > MAX_REQUEST_BYTES:
            raise ValueError("stream request is too long")
        return length

    @classmethod
    def decode(cls, body: bytes) -> StreamRequest:
        """The request behind its head."""
        fields = json.loads(body)
        return cls(
            source=StreamSource(
                urls=tuple(fields["urls"]),
                username=fields["username"],
                password=fields["password"],
            ),
            audio=fields["audio"],
            reader=fields["reader"],
            open_timeout_s=fields["open_timeout_s"],
            stall_timeout_s=fields["stall_timeout_s"],
        )
