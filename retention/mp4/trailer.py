"""The ``uuid`` box that seals a segment file, so that a reindex need not read its media. Core.

Payload behind the UUID: JSON, then the size of the whole box in 4 bytes, so that it is found from
the file's end.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from retention.digest import DIGEST_BYTES
from retention.fragments import decode_table, encode_table
from retention.model import EndReason, FragmentEntry
from retention.mp4.boxes import (
    MAX_INSTANT_US,
    MAX_TRAILER_BYTES,
    TRAILER_UUID,
    SegmentCorrupt,
    box,
)

_VERSION = 1
SIZE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """What is known of a segment once it is sealed."""

    end_us: int
    end_reason: EndReason
    fragments: tuple[FragmentEntry, ...]  # with their hashes
    digest: bytes  # retention.digest, 32 bytes


def trailer_bytes(trailer: Trailer) -> bytes:
    """The box to append behind the last fragment.

    Raises:
        ValueError: a hash is missing, or there are more fragments than a trailer may list.
    """
    hashes = [entry.sha256 for entry in trailer.fragments]
    if any(len(one) != DIGEST_BYTES for one in (*hashes, trailer.digest)):
        raise ValueError("a trailer needs the hash of every fragment and the digest")
    found = {
        "version": _VERSION,
        "end_us": trailer.end_us,
        "end_reason": trailer.end_reason.value,
        "digest": _text(trailer.digest),
        "fragments": _text(encode_table(trailer.fragments)),
        "sha256": _text(b"".join(hashes)),
    }
    payload = json.dumps(found, separators=(",", ":"), sort_keys=True).encode()
    size = 8 + len(TRAILER_UUID) + len(payload) + SIZE_BYTES
    if size > MAX_TRAILER_BYTES:
        raise ValueError("a trailer cannot list that many fragments")
    return box(b"uuid", TRAILER_UUID, payload, size.to_bytes(SIZE_BYTES, "big"))


def parse_trailer(data: bytes) -> Trailer:
    """The trailer that ``data``, a whole box, holds.

    Raises:
        SegmentCorrupt: it is none.
    """
    if (
        data[4:24] != b"uuid" + TRAILER_UUID
        or int.from_bytes(data[:4], "big") != len(data)
        or int.from_bytes(data[-SIZE_BYTES:], "big") != len(data)
    ):
        raise SegmentCorrupt("a segment's trailer is cut short or damaged")
    try:
        return _from_json(json.loads(data[24:-SIZE_BYTES]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SegmentCorrupt("a segment's trailer is damaged") from error


def _from_json(found: Any) -> Trailer:
    if not isinstance(found, dict) or found["version"] != _VERSION:
        raise ValueError("a trailer of no version that is known here")
    hashes = base64.b64decode(found["sha256"], validate=True)
    fragments = decode_table(base64.b64decode(found["fragments"], validate=True), hashes)
    digest = base64.b64decode(found["digest"], validate=True)
    if len(digest) != DIGEST_BYTES:
        raise ValueError("no digest")
    end_us = found["end_us"]
    if type(end_us) is not int or not 0 <= end_us <= MAX_INSTANT_US:
        raise ValueError("no end that can be")
    return Trailer(
        end_us=end_us,
        end_reason=EndReason(found["end_reason"]),
        fragments=fragments,
        digest=digest,
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
