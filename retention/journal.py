"""The journal: what no media file can tell, as signed lines that hang on one another. Core.

One JSON object a line, ASCII, keys sorted: ``seq`` (from 1, no hole), ``at_us``, ``kind``,
``data``, ``key`` (which key signed), ``prev`` (SHA-256 of the line before, hex; zeros in the
first), ``sig`` (Ed25519, RFC 8032, over the line without ``sig``). The index holds the full copy,
each volume a replica: a set of lines, in any order, some perhaps torn; whoever reads one takes
:func:`read_lines` and :func:`longest_chain`.

Kinds: ``key`` (a public key comes into use), ``camera``, ``volume``, ``run``, ``gap``,
``service``, ``time`` (judgements of the host's clock), ``hold``, ``checkpoint`` (segments are
chained), ``deletion`` (a tombstone), ``audit`` (heads of the audit logs), ``marker`` (instants of
cameras' events); what each of them does to the index is in ``retention.index.entries``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from config.errors import XueliangError

if TYPE_CHECKING:  # loaded where a signature is checked: the process of a volume checks none
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

FIRST_PREV = "0" * 64
#: A run's entry with its parameter sets takes 1 KB; longer lines are not ours.
LINE_BYTES_MAX = 256 * 1024

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


class Kind(StrEnum):
    KEY = "key"
    CAMERA = "camera"
    VOLUME = "volume"
    RUN = "run"
    GAP = "gap"
    SERVICE = "service"
    HOLD = "hold"
    CHECKPOINT = "checkpoint"
    DELETION = "deletion"
    AUDIT = "audit"
    TIME = "time"
    MARKER = "marker"


class JournalDamaged(XueliangError):
    """A line is not one of the journal's, or does not follow the one before."""

    code = "journal_damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line, parsed. ``line`` is the bytes that it came from, without the line feed."""

    seq: int
    at_us: int
    kind: Kind
    data: Mapping[str, Any]
    key: str
    prev: str
    line: bytes = field(repr=False)

    @property
    def hash(self) -> str:
        """What the next entry's ``prev`` is."""
        return hashlib.sha256(self.line).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the journal ends: the newest entry's number and hash."""

    seq: int = 0
    hash: str = FIRST_PREV

    @classmethod
    def of(cls, entry: Entry | None) -> Head:
        return cls() if entry is None else cls(seq=entry.seq, hash=entry.hash)


class Journal:
    """Makes the next entries, each signed and hung on the one before."""

    def __init__(self, private_key: Ed25519PrivateKey, head: Head) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key()
        self.key = key_id(self.public_key)
        self.head = head

    def entry(self, kind: Kind, data: Mapping[str, Any], at_us: int) -> Entry:
        """The next entry; it is the journal's head from now on."""
        document = {
            "seq": self.head.seq + 1,
            "at_us": at_us,
            "kind": kind.value,
            "data": dict(data),
            "key": self.key,
            "prev": self.head.hash,
        }
        signature = self._private_key.sign(_canonical(document))
        document["sig"] = base64.b64encode(signature).decode()
        entry = parse_line(_canonical(document))
        self.head = Head.of(entry)
        return entry

    def key_data(self) -> dict[str, str]:
        """Data of the ``key`` entry that brings this journal's key into use."""
        return {"public": base64.b64encode(self.public_key.public_bytes_raw()).decode()}


def key_id(key: Ed25519PublicKey) -> str:
    """Short name of a key: 16 hex digits of the SHA-256 of its 32 bytes."""
    return fingerprint(key)[:16]


def fingerprint(key: Ed25519PublicKey) -> str:
    """The name under which people know a key: the SHA-256 of its 32 bytes, hex."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def parse_line(line: bytes) -> Entry:
    """Read one line (without line feed); says nothing of its signature.

    Raises:
        JournalDamaged: it is torn, or no entry in canonical form.
    """
    try:
        if len(line) > LINE_BYTES_MAX:
            raise ValueError("too long")
        found = json.loads(line.decode("ascii"))
        if _canonical(found) != line:
            raise ValueError("not in canonical form")
        if set(found) != {"seq", "at_us", "kind", "data", "key", "prev", "sig"}:
            raise ValueError("other members than an entry's")
        if type(found["seq"]) is not int or found["seq"] < 1 or type(found["at_us"]) is not int:
            raise ValueError("no numbers where an entry has them")
        if not isinstance(found["data"], dict):
            raise ValueError("no data")
        if not all(isinstance(found[name], str) for name in ("key", "prev", "sig")):
            raise ValueError("no text where an entry has it")
        return Entry(
            seq=found["seq"],
            at_us=found["at_us"],
            kind=Kind(found["kind"]),
            data=found["data"],
            key=found["key"],
            prev=found["prev"],
            line=line,
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise JournalDamaged(f"a line of the journal is damaged: {line[:64]!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLines:
    entries: tuple[Entry, ...]  # in the order of the file
    damaged_lines: int


def read_lines(content: bytes, parsed: dict[bytes, Entry] | None = None) -> ReadLines:
    """Whatever entries there are in the parts of a replica; a torn or damaged line is counted.

    Args:
        parsed: lines that need not be parsed again; grows. Replicas hold the same ones.
    """
    parsed = {} if parsed is None else parsed
    entries, damaged = [], 0
    for line in content.split(b"\n"):
        if not line:
            continue
        try:
            entry = parsed.get(line)
            if entry is None:
                entry = parsed[line] = parse_line(line)
            entries.append(entry)
        except JournalDamaged:
            damaged += 1
    return ReadLines(entries=tuple(entries), damaged_lines=damaged)


def longest_chain(entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The longest chain from entry 1 on, and the entries that are not on it.

    Replicas of one journal make one chain. A second branch comes about when an index was lost
    together with the newest replica; of equally long ones the one with the smaller hash counts,
    so that the answer does not depend on the order of the volumes.
    """
    known = {entry.hash: entry for entry in entries}
    is_sound: dict[str, bool] = {FIRST_PREV: True}
    for entry in sorted(known.values(), key=lambda entry: entry.seq):
        before = known.get(entry.prev)
        follows = before.seq + 1 == entry.seq if before else entry.seq == 1
        is_sound[entry.hash] = follows and is_sound.get(entry.prev, False)
    sound = [entry for digest, entry in known.items() if is_sound[digest]]
    chain: list[Entry] = []
    newest = min(sound, key=lambda entry: (-entry.seq, entry.hash), default=None)
    while newest is not None:
        chain.append(newest)
        newest = known.get(newest.prev)
    chain.reverse()
    on_chain = {entry.hash for entry in chain}
    others = [entry for digest, entry in known.items() if digest not in on_chain]
    return chain, sorted(others, key=lambda entry: (entry.seq, entry.hash))


def signed_chain(
    entries: Iterable[Entry], trusted: Iterable[Ed25519PublicKey] = ()
) -> tuple[list[Entry], list[Entry]]:
    """The longest chain that ends in an entry signed as it says, and the forged ends taken away.

    A signature covers the hash of the entry before, and so all that came before: one is looked at
    where :func:`authentic` looks at each. Keys as in :func:`verify`.
    """
    left = {entry.hash: entry for entry in entries}
    keys = _keys(left.values(), trusted)
    forged: list[Entry] = []
    while True:
        chain, _ = longest_chain(left.values())
        is_whole = True
        while chain and not _is_signed(chain[-1], keys):
            is_whole = False
            forged.append(chain.pop())
            del left[forged[-1].hash]
        if is_whole:
            return chain, forged


def verify(
    entries: Sequence[Entry],
    head: Head | None = None,
    trusted: Iterable[Ed25519PublicKey] = (),
) -> Head:
    """Check that ``entries`` follow ``head`` and one another, and every signature.

    The keys are the trusted ones and those that ``key`` entries among ``entries`` bring in; that
    the first of them is this box's is for who knows the box to say.

    Raises:
        JournalDamaged: names the first entry that is wrong.
    """
    at = head or Head()
    keys = {key_id(key): key for key in trusted}
    for entry in entries:
        if (entry.seq, entry.prev) != (at.seq + 1, at.hash):
            raise JournalDamaged(f"entry {entry.seq} of the journal does not follow {at.seq}")
        if entry.kind is Kind.KEY:
            key = public_key_of(entry)
            keys[key_id(key)] = key
        if not _is_signed(entry, keys):
            raise JournalDamaged(f"entry {entry.seq} of the journal is not signed as it says")
        at = Head.of(entry)
    return at


def authentic(
    entries: Iterable[Entry], trusted: Iterable[Ed25519PublicKey] = ()
) -> tuple[list[Entry], list[Entry]]:
    """Those that are signed as they say, and those that are not; in any order, with any holes.

    Keys as in :func:`verify`.
    """
    found = list(entries)
    keys = _keys(found, trusted)
    good = [entry for entry in found if _is_signed(entry, keys)]
    kept = {entry.line for entry in good}
    return good, [entry for entry in found if entry.line not in kept]


def _keys(
    entries: Iterable[Entry], trusted: Iterable[Ed25519PublicKey]
) -> dict[str, Ed25519PublicKey]:
    keys = {key_id(key): key for key in trusted}
    for entry in entries:
        if entry.kind is Kind.KEY:
            try:
                key = public_key_of(entry)
            except JournalDamaged:
                continue
            keys[key_id(key)] = key
    return keys


def _is_signed(entry: Entry, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    from cryptography.exceptions import InvalidSignature

    document = json.loads(entry.line)
    text: str = document.pop("sig")
    try:
        signature = base64.b64decode(text)
        keys[entry.key].verify(signature, _canonical(document))
    except (KeyError, InvalidSignature, binascii.Error):
        return False
    return base64.b64encode(signature).decode() == text  # base64 has bits that say nothing


def _canonical(document: Any) -> bytes:
    return _ENCODER.encode(document).encode()


def public_key_of(entry: Entry) -> Ed25519PublicKey:
    """The key that a ``key`` entry brings into use. Raises :class:`JournalDamaged`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = base64.b64decode(entry.data["public"], validate=True)
        return Ed25519PublicKey.from_public_bytes(public)
    except (KeyError, ValueError, TypeError) as error:
        raise JournalDamaged("an entry of the journal brings no key") from error
