"""Lines of an audit log: who did what to which thing, each hung on the one before. Core.

One JSON object a line, ASCII, keys sorted: ``seq`` (from 1, no hole), ``at_us``, ``service`` (whose
log), ``actor``, ``action``, ``subject``, ``outcome``, ``detail`` (flat), ``prev`` (``hash`` of the
line before; zeros in the first) and ``hash`` (SHA-256, hex, of the line without ``hash``). A log is
written by one service alone, so it is not signed; what keeps its writer honest are anchors: heads
that ``edge`` signs into the journal, from which a changed past or a missing tail shows.

All text is bounded and escaped: a peer's name can neither break a line nor fill the disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from enum import StrEnum
from typing import Any

from config.errors import XueliangError
from config.instants import format_instant

FIRST_PREV = "0" * 64
#: Bounds are of the escaped form: a Chinese character takes 6 bytes of it.
ACTOR_BYTES_MAX = 384
SUBJECT_BYTES_MAX = 1024
VALUE_BYTES_MAX = 2048
DETAIL_BYTES_MAX = 12 * 1024
LINE_BYTES_MAX = 16 * 1024

#: No record goes sooner, whatever the settings say.
KEPT_US_MIN = 183 * 86_400 * 1_000_000

_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MEMBERS = frozenset(
    ("seq", "at_us", "service", "actor", "action", "subject", "outcome", "detail", "prev", "hash")
)

Value = str | int | bool | None


class Action(StrEnum):
    """What is put on record; also the label of ``nvr_audit_records_total``. Each has its phrase in
    ``edge/console/phrases.toml``, section ``action``.
    """

    SERVICE_STARTED = "service_started"
    SERVICE_STOPPED = "service_stopped"
    SETTINGS_CHANGED = "settings_changed"
    TIME_CONFIRMED = "time_confirmed"
    REINDEX = "reindex"
    ACCEPTANCE = "acceptance"
    BACKUP = "backup"  # of keys and settings
    RESTORE = "restore"
    VERIFY = "verify"
    EXPORT = "export"
    REPORT = "report"  # the evidence pack was made
    DELETION = "deletion"
    BREACH = "breach"  # footage went below the floor
    HOLD_ADDED = "hold_added"
    HOLD_RELEASE = "hold_release"  # the first of two persons asked, or it was released
    HOLD_EXPIRED = "hold_expired"
    SELF_CHECK = "self_check"
    DIAGNOSIS = "diagnosis"  # pictures looked at by the diagnosis, or a camera learnt anew
    ALARM = "alarm"  # something is wrong (begun), and is not any more (done)
    CAMERA_SET = "camera_set"  # clock, encoder or text of a camera were set
    CAMERA_CHANGED = "camera_changed"  # another device, firmware, or profiles
    CAMERA_MOVED = "camera_moved"  # found at another address
    PLATFORM_STATE = "platform_state"  # registered, offline
    PLATFORM_QUERY = "platform_query"
    PLATFORM_COMMAND = "platform_command"
    PLATFORM_CALL = "platform_call"  # pictures asked for, given or refused, and the end of it
    LOGIN = "login"
    LOGOUT = "logout"
    ACCESS_REFUSED = "access_refused"  # somebody tried what his role may not
    ACCOUNT_CHANGED = "account_changed"  # made, disabled, other password or role
    TOKEN_CHANGED = "token_changed"  # made or revoked  # noqa: S105
    FOOTAGE_ACCESS = "footage_access"  # a person is let see pictures, for the reason he stated
    EXPORT_DESK = "export_desk"  # an export asked for, decided on, taken away, or its copy deleted
    GUARDIAN_REQUEST = "guardian_request"  # a guardian's request: entered, decided on, closed
    LOG_MENDED = "log_mended"  # a line torn by a power cut was taken off the end
    LOG_PRUNED = "log_pruned"  # old parts were removed
    RECORDS_LOST = "records_lost"  # the disk did not take them


#: Records of footage or personal data given to somebody: kept three years (PIPL art. 56).
PROVISIONS = frozenset(
    {
        Action.EXPORT,
        Action.PLATFORM_CALL,
        Action.FOOTAGE_ACCESS,
        Action.EXPORT_DESK,
        Action.GUARDIAN_REQUEST,
    }
)


class Outcome(StrEnum):
    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class AuditDamaged(XueliangError):
    """A line is no audit record, or not the one that was written."""

    code = "audit_damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a log ends: the newest record's number and hash."""

    seq: int = 0
    hash: str = FIRST_PREV


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line, parsed."""

    seq: int
    at_us: int
    service: str
    actor: str
    action: str  # of Action, or of a later version's
    subject: str
    outcome: str
    detail: Mapping[str, Value]
    prev: str
    hash: str

    @property
    def head(self) -> Head:
        return Head(seq=self.seq, hash=self.hash)

    def as_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "at_us": self.at_us,
            "service": self.service,
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "outcome": self.outcome,
            "detail": dict(self.detail),
            "prev": self.prev,
            "hash": self.hash,
        }


def next_line(
    head: Head,
    *,
    at_us: int,
    service: str,
    actor: str,
    action: Action,
    subject: str,
    outcome: Outcome,
    detail: Mapping[str, Value],
) -> tuple[bytes, Head]:
    """The line (without line feed) that follows ``head``, and the head that it makes.

    Text that is too long is cut and ends in ``…``; detail that does not fit any more is left out,
    and ``cut`` says so.
    """
    document = {
        "seq": head.seq + 1,
        "at_us": at_us,
        "service": service,
        "actor": _bounded(actor, ACTOR_BYTES_MAX),
        "action": action.value,
        "subject": _bounded(subject, SUBJECT_BYTES_MAX),
        "outcome": outcome.value,
        "detail": _bounded_detail(detail),
        "prev": head.hash,
    }
    document["hash"] = _hash(document)
    line = _canonical(document)
    assert len(line) <= LINE_BYTES_MAX
    assert _SERVICE.fullmatch(service)
    return line, Head(seq=head.seq + 1, hash=str(document["hash"]))


def parse_line(line: bytes) -> Record:
    """Read one line (without line feed) and check its own hash.

    Raises:
        AuditDamaged: it is torn, changed, or no record in canonical form.
    """
    try:
        if len(line) > LINE_BYTES_MAX:
            raise ValueError("too long")
        found = json.loads(line.decode("ascii"))
        if not isinstance(found, dict) or set(found) != _MEMBERS:
            raise ValueError("other members than a record's")
        if _canonical(found) != line:
            raise ValueError("not in canonical form")
        if type(found["seq"]) is not int or found["seq"] < 1 or type(found["at_us"]) is not int:
            raise ValueError("no numbers where a record has them")
        text = ("service", "actor", "action", "subject", "outcome", "prev", "hash")
        if not all(isinstance(found[name], str) for name in text):
            raise ValueError("no text where a record has it")
        if not _WORD.fullmatch(found["action"]) or not _WORD.fullmatch(found["outcome"]):
            raise ValueError("no word where a record has one")
        if not isinstance(found["detail"], dict) or not all(
            isinstance(value, str | int | bool | None) for value in found["detail"].values()
        ):
            raise ValueError("detail is not flat")
        if not _HASH.fullmatch(found["prev"]):
            raise ValueError("no hash before")
        digest = found.pop("hash")
        if _hash(found) != digest:
            raise ValueError("the hash is another's")
        return Record(**found, hash=digest)
    except (ValueError, TypeError, RecursionError) as error:
        raise AuditDamaged(f"a line of an audit log is damaged ({error}): {line[:64]!r}") from error


# Verification ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A head that was signed into the journal at ``at_us``."""

    seq: int
    hash: str
    at_us: int
    entry: int = 0  # the journal's number of the entry that holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The state folder was lost, with its logs, and a restore put that on record
    (:mod:`retention.audit_loss`)."""

    at_us: int  # of the restore
    #: The journal's first entry that is known to be of later; none if edge did not run since.
    until_entry: int | None = None
    #: Where logs ended that were there already when the restore began; they hold that for ever.
    heads: Mapping[str, Head] = field(default_factory=dict)

    def is_before(self, anchor: Anchor) -> bool:
        """Whether the anchor was made before the restore: by the journal's order, which no clock
        can turn about, as soon as it tells; by clock until then."""
        if self.until_entry is not None:
            return anchor.entry < self.until_entry
        return anchor.at_us < self.at_us


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What a log's verification found; sound if there is no finding."""

    service: str
    records: int = 0
    first_seq: int = 0
    head: Head = field(default_factory=Head)
    newest_us: int | None = None
    anchors: int = 0  # that agree
    anchored_seq: int = 0  # records up to here cannot have been changed by the log's writer
    lost_seq: int = 0  # records up to here, of an earlier log, went with a lost state folder
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.findings


#: Findings told one by one; a log of damage says no more than its first lines.
FINDINGS_MAX = 100


class Verifier:
    """Takes a log's lines in order, then says what is wrong with them.

    Args:
        loss: what the commands' log tells of a lost state folder. Anchors of before it that the
            log does not hold are no finding, as long as the log holds none that is older still:
            then it is the old log, and something was taken out of it.
    """

    def __init__(
        self, service: str, anchors: Iterable[Anchor] = (), loss: Loss | None = None
    ) -> None:
        self._loss = loss
        #: Where the log ended when the restore began.
        self._stood = Head() if loss is None else loss.heads.get(service, Head())
        #: Anchors whose record is another's here, with its place.
        self._other: list[tuple[Anchor, str]] = []
        self._oldest_entry: int | None = None  # of those that agree
        self.verdict = Verdict(service=service)
        self._anchors: dict[int, list[Anchor]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.seq, []).append(anchor)
        #: Through which record parts were removed: its hash, and when.
        self._pruned: dict[int, tuple[str, int]] = {}
        self._begin: Head | None = None
        self._at: Head | None = None

    def line(self, line: bytes, place: str) -> Record | None:
        """The next line; ``place`` names it to a person. None if it is damaged."""
        try:
            record = parse_line(line)
        except AuditDamaged as error:
            self._find(f"{place}: {error}")
            return None
        if record.service != self.verdict.service:
            self._find(f"{place}: a record of service {record.service!r}")
        if self._at is None:
            self._begin = Head(seq=record.seq - 1, hash=record.prev)
            self.verdict.first_seq = record.seq
        elif (record.seq, record.prev) != (self._at.seq + 1, self._at.hash):
            self._find(f"{place}: record {record.seq} does not follow record {self._at.seq}")
        self._at = record.head
        self.verdict.records += 1
        self.verdict.head = record.head
        self.verdict.newest_us = record.at_us
        for anchor in self._anchors.pop(record.seq, ()):
            self._compare(anchor, record, place)
        if record.seq == self._stood.seq and record.hash != self._stood.hash:
            self._find(f"{place}: record {record.seq} is not the one that the restore found")
        if record.action == Action.LOG_PRUNED:
            self._note_pruned(record)
        elif record.action == Action.LOG_MENDED:
            torn = record.detail.get("torn_bytes")
            self.verdict.notes.append(f"{place}: {torn} bytes of a torn line were taken off")
        return record

    def torn(self, size_bytes: int, place: str) -> None:
        """The log ends in so many bytes that are no whole line, and nobody is writing it."""
        self._find(f"{place}: {size_bytes} bytes of a torn line; the service's next start mends it")

    def end(self) -> Verdict:
        """All lines were given."""
        begin = self._begin
        pruned = None if begin is None else self._pruned.get(begin.seq)
        if begin is not None and begin.seq and (pruned is None or pruned[0] != begin.hash):
            self._find(f"records 1 to {begin.seq} are missing, and no record tells of a removal")
        elif begin is not None and not begin.seq and begin.hash != FIRST_PREV:
            self._find("record 1 does not begin the chain")
        newest = self._at.seq if self._at else 0
        if self._stood.seq > newest:
            self._find(f"record {self._stood.seq} was there at the restore: the end is cut off")
        for anchor, place in self._other:
            if not self._is_lost(anchor):
                self._find(f"{place}: record {anchor.seq} is not the one anchored in the journal")
        for seq in sorted(self._anchors):
            if begin is None or seq > begin.seq:
                what = "the end is cut off" if seq > newest else "it is not there"
                if not all(map(self._is_lost, self._anchors[seq])):
                    self._find(f"record {seq} was anchored in the journal: {what}")
            elif pruned is not None and any(
                0 <= pruned[1] - anchor.at_us < KEPT_US_MIN for anchor in self._anchors[seq]
            ):
                self._find(f"record {seq} was removed before it was half a year old")
        if self._loss is not None and self.verdict.lost_seq:
            self.verdict.notes.append(
                f"records up to {self.verdict.lost_seq}, anchored before the restore of"
                f" {_instant(self._loss.at_us)}, are not here: they went with the old state folder"
            )
        return self.verdict

    def _is_lost(self, anchor: Anchor) -> bool:
        """Whether the restore explains that its record is not here; if so, told in the verdict."""
        if self._loss is None or not self._loss.is_before(anchor):
            return False
        if self._oldest_entry is not None and self._oldest_entry <= anchor.entry:
            return False
        self.verdict.lost_seq = max(self.verdict.lost_seq, anchor.seq)
        return True

    def _compare(self, anchor: Anchor, record: Record, place: str) -> None:
        if anchor.hash == record.hash:
            self.verdict.anchors += 1
            self.verdict.anchored_seq = max(self.verdict.anchored_seq, record.seq)
            if self._oldest_entry is None or anchor.entry < self._oldest_entry:
                self._oldest_entry = anchor.entry
        else:
            self._other.append((anchor, place))

    def _note_pruned(self, record: Record) -> None:
        seq, digest = record.detail.get("last_seq"), record.detail.get("last_hash")
        if type(seq) is int and isinstance(digest, str):
            self._pruned[seq] = digest, record.at_us
            self.verdict.notes.append(f"records up to {seq} were removed as too old")

    def _find(self, sentence: str) -> None:
        if len(self.verdict.findings) < FINDINGS_MAX:
            self.verdict.findings.append(sentence)


def split_lines(content: bytes) -> list[bytes]:
    """Whole lines, without line feeds; what follows the last line feed is left out."""
    return content.split(b"\n")[:-1]


# Text ------------------------------------------------------------------------------------------


def _bounded_detail(detail: Mapping[str, Value]) -> dict[str, Value]:
    room = DETAIL_BYTES_MAX
    bounded: dict[str, Value] = {}
    for key, value in detail.items():
        assert _WORD.fullmatch(key), key
        if isinstance(value, str):
            value = _bounded(value, VALUE_BYTES_MAX)
        size = len(key) + len(json.dumps(value)) + 4
        if size > room:
            bounded["cut"] = True
            break
        room -= size
        bounded[key] = value
    return bounded


def _bounded(text: str, bytes_max: int) -> str:
    """``text`` as every encoder takes it, its escaped form at most ``bytes_max`` long."""
    clean = text[:bytes_max].encode("utf-8", "replace").decode()
    if len(clean) == len(text) and len(json.dumps(clean)) - 2 <= bytes_max:
        return clean
    room = bytes_max - len("\\u2026")
    kept = 0
    for character in clean:
        room -= len(json.dumps(character)) - 2
        if room < 0:
            break
        kept += 1
    return clean[:kept] + "…"


def printable(text: str) -> str:
    """For a terminal: whatever could steer it, or turn its text about, is shown escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _instant(at_us: int) -> str:
    try:
        return format_instant(at_us, UTC)
    except OverflowError:
        return str(at_us)


def _hash(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
