"""Verifies an export of Xueliang Edge from its folder alone. 离线校验导出的录像。

A copy of this file lies in every export as ``verify.py``. It needs Python 3.11 and the package
``cryptography`` (``pip install cryptography``), nothing else of Xueliang, and no network:

    python verify.py [FOLDER] [--key FINGERPRINT] [--witness FILE] [--json]

Take it, and the fingerprint of the box's key, from somebody whom you trust, not from the export:
whoever can change the export can change its verifier too, and sign with a key of his own.

What is checked, in this order (SHA-256 everywhere, Ed25519 of RFC 8032, JSON with sorted keys):

1. manifest.json is to the byte what json.dumps(…, sort_keys=True, indent=1) makes of it, and its
   ``signature`` (hex) is that of the key ``key`` over the manifest without ``signature``, dumped
   with separators "," and ":".
2. The folder holds the files that it names, to the byte, and no others.
3. Each MP4 is the head of one segment (ftyp, moov, uuid), byte for byte, and some of its fragments
   (moof and mdat), byte for byte; each has the hash, and says itself the instants, of the manifest.
4. digest of a segment = SHA-256("xueliang segment 1" NUL, SHA-256(head), then of each fragment its
   SHA-256 and its end in UTC microseconds as 8 bytes, big endian).
5. Each checkpoint is a line of the box's signed journal, and the digests given with it lead from
   its link ``before`` to its link ``after``: link = SHA-256("xueliang chain 1" NUL, link before,
   number as 8 bytes, digest). A stretch that was deleted is passed by the signed tombstone that
   tells its links. So a segment stands where it stood when the checkpoint was signed, and nothing
   was removed or put in between.
6. Range and gaps are those of the fragments.

What it cannot tell alone: whether who holds the box's key signed another past later. For that give
it the statements that an outside witness got at the time (a file of JSON objects, one a line, or
one array): where one was made of the very end of a checkpoint of the export, its link must be the
same.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MANIFEST = "manifest.json"
FORMAT = "xueliang export 1"
REPORT = "xueliang report 1"
STATEMENT = "xueliang witness 1"
GAP_MIN_US = 1_000_000
MANIFEST_BYTES_MAX = 1 << 30
FRAGMENT_BYTES_MAX = 300 << 20
HEAD_BYTES_MAX = 1 << 20
CHECKPOINT_SEGMENTS_MAX = 1_000_000

_SEGMENT_TAG = b"xueliang segment 1\0"
_CHAIN_TAG = b"xueliang chain 1\0"
_HEADER_UUID = bytes.fromhex("b8a2f6d46c1e4a529d0b3e1f7c5a9001")
_NOTE_UUID = bytes.fromhex("b8a2f6d46c1e4a529d0b3e1f7c5a9002")


@dataclass(slots=True, kw_only=True)
class Report:
    """What was found; nothing is wrong with an export without differences."""

    folder: str
    fingerprint: str = ""  # of the key that signed the manifest
    other_keys: list[str] = field(default_factory=list)  # that signed older journal lines
    is_known_key: bool | None = None  # None: there was none to compare with
    manifest: dict[str, Any] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)  # of the manifest, for people
    fragments: int = 0  # verified to the byte
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        found = self.manifest
        return {
            "folder": self.folder,
            "key": self.fingerprint,
            "other_keys": self.other_keys,
            "key_is_the_known_one": self.is_known_key,
            "camera": found.get("camera"),
            "asked": found.get("asked"),
            "range": found.get("range"),
            "gaps": found.get("gaps"),
            "fragments": self.fragments,
            "differences": self.differences,
            "notes": self.notes,
        }


class _Damaged(Exception):
    """What is looked at cannot be read as what it should be."""


def canonical(document: Any) -> bytes:
    """What is signed."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def manifest_bytes(document: dict[str, Any]) -> bytes:
    """The whole content of manifest.json."""
    return json.dumps(document, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def fingerprint_of(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()


def verify_export(folder: Path, known_key: str = "", statements: Sequence[Any] = ()) -> Report:
    """Check an export.

    Args:
        known_key: the fingerprint of the box's key, or its first 16 digits or more, from somebody
            who knows; colons and spaces do not matter.
        statements: that a witness got (:func:`statements_in`).
    """
    report = Report(folder=str(folder))
    try:
        manifest = _manifest(folder, report, known_key)
        report.manifest = manifest
        report.facts = _facts(manifest)
        _check_folder(folder, manifest, report)
        if manifest["format"] == REPORT:
            return report  # its files are what they were; there is no footage
        segments = {one["number"]: one for one in manifest["segments"]}
        if len(segments) != len(manifest["segments"]):
            raise _Damaged("two segments have one number")
        for number, segment in segments.items():
            _check_segment(number, segment, report)
        for file in manifest["files"]:
            _check_media(folder, file, segments[file["segment"]], manifest["camera"], report)
        _check_chain(manifest, segments, report)
        _check_times(manifest, segments, report)
        _check_witness(manifest, statements, report)
    except _Damaged as error:
        report.differences.append(str(error))
    except OSError as error:
        report.differences.append(f"{error.filename}: cannot be read: {error.strerror}")
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        report.differences.append(f"{MANIFEST} is not laid out as it should be: {error!r}")
    return report


# The manifest ------------------------------------------------------------------------------------


def _manifest(folder: Path, report: Report, known_key: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if path.stat().st_size > MANIFEST_BYTES_MAX:
        raise _Damaged(f"{MANIFEST} is far too long")
    content = path.read_bytes()
    try:
        document = json.loads(content)
        is_canonical = manifest_bytes(document) == content
    except (ValueError, RecursionError) as error:
        raise _Damaged(f"{MANIFEST} is damaged: {error}") from error
    if not isinstance(document, dict) or not is_canonical:
        raise _Damaged(f"{MANIFEST} has changed: it is not as it was written")
    if document.get("format") not in (FORMAT, REPORT):
        raise _Damaged(f"{MANIFEST} is of a format that this verifier does not know")
    signature = _hex(document["signature"], 64)
    public = _hex(document["key"], 32)
    report.fingerprint = fingerprint_of(public)
    signed = {name: value for name, value in document.items() if name != "signature"}
    if not _is_signed(public, signature, canonical(signed)):
        raise _Damaged(f"{MANIFEST} is not signed by the key that it names")
    wanted = known_key.replace(":", "").replace(" ", "").lower()
    if wanted:
        report.is_known_key = len(wanted) >= 16 and report.fingerprint.startswith(wanted)
        if not report.is_known_key:
            report.differences.append(
                f"the key that signed it ({report.fingerprint}) is not the known one"
            )
    return document


def _is_signed(public: bytes, signature: bytes, content: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _hex(text: Any, size: int) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != size or data.hex() != text:
        raise _Damaged(f"{str(text)[:80]!r} is not {size} bytes as hex digits")
    return data


# The folder --------------------------------------------------------------------------------------


def _check_folder(folder: Path, manifest: dict[str, Any], report: Report) -> None:
    named = [*manifest["files"], *manifest["attachments"]]
    names = [one["name"] for one in named]
    if len(set(names)) != len(names) or MANIFEST in names:
        raise _Damaged("two files have one name")
    for one in named:
        name = one["name"]
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise _Damaged(f"{name!r} is no name of a file")
        path = folder / name
        if not path.is_file() or path.is_symlink():
            report.differences.append(f"{name} is missing")
        elif (path.stat().st_size, _sha256_of(path)) != (one["size"], one["sha256"]):
            report.differences.append(f"{name} has changed")
    for name in sorted(set(os.listdir(folder)) - {*names, MANIFEST}):
        report.differences.append(f"{name} does not belong to the export")


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Segments and their files ------------------------------------------------------------------------


def _check_segment(number: int, segment: dict[str, Any], report: Report) -> None:
    digest = hashlib.sha256(_SEGMENT_TAG + _hex(segment["head_sha256"], 32))
    for _size, _start_us, end_us, _is_key, sha256 in segment["fragments"]:
        digest.update(_hex(sha256, 32) + int(end_us).to_bytes(8, "big", signed=True))
    if segment["digest"] is not None and digest.hexdigest() != segment["digest"]:
        report.differences.append(f"segment {number}: its fragments do not give its digest")


def _check_media(
    folder: Path, told: dict[str, Any], segment: dict[str, Any], camera: str, report: Report
) -> None:
    name, first, count = told["name"], told["first"], told["count"]
    fragments = segment["fragments"][first : first + count]
    if first < 0 or count < 1 or len(fragments) != count:
        raise _Damaged(f"{name}: its segment has no such fragments")
    if not (folder / name).is_file():
        return  # told already
    with (folder / name).open("rb") as file:
        head = file.read(min(segment["head_bytes"], HEAD_BYTES_MAX))
        if hashlib.sha256(head).hexdigest() != segment["head_sha256"]:
            report.differences.append(f"{name}: its head is not that of the segment")
        elif not _is_head_of(head, camera, segment):
            report.differences.append(f"{name}: its head tells of another segment")
        for place, fragment in enumerate(fragments, first + 1):
            if _is_fragment(file, fragment):
                report.fragments += 1
            else:
                report.differences.append(f"{name}: fragment {place} of the segment has changed")
        if file.read(1):
            report.differences.append(f"{name}: something stands behind its last fragment")


def _is_head_of(head: bytes, camera: str, segment: dict[str, Any]) -> bool:
    at = head.find(_HEADER_UUID)
    if at < 0:
        return False
    told = json.loads(head[at + len(_HEADER_UUID) :])
    names = ("number", "run", "start_us")
    return bool(told["camera"] == camera and all(told[name] == segment[name] for name in names))


def _is_fragment(file: BinaryIO, told: list[Any]) -> bool:
    size, start_us, end_us, is_key, sha256 = told
    data = file.read(size) if 0 < size <= FRAGMENT_BYTES_MAX else b""
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        return False
    moof_bytes = int.from_bytes(data[:4], "big")
    at = data.rfind(_NOTE_UUID, 0, moof_bytes) + len(_NOTE_UUID)
    note = data[at : at + 18]
    return (
        data[4:8] == b"moof"
        and at >= len(_NOTE_UUID)
        and bool(note[1]) is bool(is_key)
        and int.from_bytes(note[2:10], "big", signed=True) == start_us
        and int.from_bytes(note[10:18], "big", signed=True) == end_us
    )


# The chain ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    numbers: list[int]
    before: str
    after: str
    seq: int


def _check_chain(
    manifest: dict[str, Any], segments: dict[int, dict[str, Any]], report: Report
) -> None:
    keys = {
        fingerprint_of(public)[:16]: public
        for public in (_hex(one, 32) for one in [*manifest["other_keys"], manifest["key"]])
    }
    report.other_keys = [
        fingerprint_of(public)
        for public in keys.values()
        if fingerprint_of(public) != report.fingerprint
    ]
    camera = manifest["camera"]
    pieces = [
        _Piece(numbers=list(_numbers(numbers)), before=before, after=after, seq=entry["seq"])
        for entry in (_entry(line, "deletion", camera, keys) for line in manifest["tombstones"])
        for numbers, before, after in entry["data"]["pieces"]
    ]
    proven: set[int] = set()
    for told in manifest["checkpoints"]:
        entry = _entry(told["line"], "checkpoint", camera, keys)
        numbers = list(_numbers(entry["data"]["numbers"]))
        digests = dict(zip(numbers, told["digests"], strict=True))
        fault = _fault_of_links(entry, numbers, digests, pieces)
        if fault:
            report.differences.append(f"checkpoint in journal {entry['seq']}: {fault}")
            continue
        for number in set(numbers) & set(segments):
            if digests[number] != segments[number]["digest"]:
                report.differences.append(f"segment {number} is not the one that was chained")
            proven.add(number)
    for number, segment in segments.items():
        if number not in proven:
            since = "while it was written" if segment["digest"] is None else "since it was sealed"
            start_us = segment["start_us"] + segment["offset_us"]
            report.notes.append(
                f"segment {number}, from {_text(start_us)} on, is under no checkpoint: none was"
                f" made {since}; only the manifest's signature stands for it"
            )


def _entry(line: str, kind: str, camera: str, keys: dict[str, bytes]) -> dict[str, Any]:
    """A journal line that is what it should be, and signed as it says."""
    entry: dict[str, Any] = json.loads(line)
    if canonical(entry) != line.encode():
        raise _Damaged(f"a journal line is damaged: {line[:80]!r}")
    signed = {name: value for name, value in entry.items() if name != "sig"}
    signature = base64.b64decode(entry["sig"], validate=True)
    if not _is_signed(keys[entry["key"]], signature, canonical(signed)):
        raise _Damaged(f"journal {entry['seq']} is not signed as it says")
    if entry["kind"] != kind or entry["data"]["camera"] != camera:
        raise _Damaged(f"journal {entry['seq']} tells of something else")
    return entry


def _numbers(ranges: list[list[int]]) -> Iterator[int]:
    if sum(last - first + 1 for first, last in ranges) > CHECKPOINT_SEGMENTS_MAX:
        raise _Damaged("a journal line tells of more segments than any does")
    for first, last in ranges:
        yield from range(first, last + 1)


def _fault_of_links(
    entry: dict[str, Any], numbers: list[int], digests: dict[int, Any], pieces: list[_Piece]
) -> str:
    """Walk from ``before`` to ``after``; what does not fit, in words."""
    link: bytes | None = _hex(entry["data"]["before"], 32)
    place = 0
    while place < len(numbers):
        number = numbers[place]
        if digests[number] is not None:
            if link is not None:
                content = number.to_bytes(8, "big") + _hex(digests[number], 32)
                link = hashlib.sha256(_CHAIN_TAG + link + content).digest()
            place += 1
            continue
        piece = next((one for one in pieces if number in one.numbers), None)
        if piece is None:
            return f"segment {number} is neither given nor under a tombstone"
        within = piece.numbers.index(number)
        if within == 0 and link is not None and piece.before != link.hex():
            return f"the links do not lead to the tombstone in journal {piece.seq}"
        if within and place:
            return f"the tombstone in journal {piece.seq} begins elsewhere"
        rest = piece.numbers[within:]
        passed = numbers[place : place + len(rest)]
        if passed != rest[: len(passed)] or any(digests[one] is not None for one in passed):
            return f"the tombstone in journal {piece.seq} tells of others"
        place += len(passed)
        link = _hex(piece.after, 32) if len(passed) == len(rest) else None
    if link is not None and link.hex() != entry["data"]["after"]:
        return "the segments do not lead to the link that was signed"
    return ""


# The witness -------------------------------------------------------------------------------------


def statements_in(content: bytes) -> list[Any]:
    """What a witness kept: one JSON object, an array of them, or one a line.

    Raises:
        ValueError: it is none of these.
    """
    try:
        found = json.loads(content)
    except ValueError:
        found = [json.loads(line) for line in content.splitlines() if line.strip()]
    return found if isinstance(found, list) else [found]


def is_statement(document: Any) -> bool:
    """Whether it is a statement of a box, signed by the key that it names."""
    try:
        signed = {name: value for name, value in document.items() if name != "signature"}
        public, signature = bytes.fromhex(document["key"]), bytes.fromhex(document["signature"])
        return document["format"] == STATEMENT and _is_signed(public, signature, canonical(signed))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return False


def _check_witness(manifest: dict[str, Any], statements: Sequence[Any], report: Report) -> None:
    camera = manifest["camera"]
    keys = {manifest["key"], *manifest["other_keys"]}
    links: dict[int, tuple[str, int]] = {}
    for statement in statements:
        if not is_statement(statement):
            report.differences.append("a statement of the witness is not signed as it says")
        elif statement["key"] in keys and camera in statement["cameras"]:
            told = statement["cameras"][camera]
            links.setdefault(told["position"], (told["link"], statement["at_us"]))
    for told in manifest["checkpoints"]:
        entry = json.loads(told["line"])
        data = entry["data"]
        end = data["position"] + sum(last - first + 1 for first, last in data["numbers"])
        if end not in links:
            if statements:
                report.notes.append(
                    f"the checkpoint in journal {entry['seq']} is in no statement of the witness"
                )
            continue
        link, at_us = links[end]
        if link == data["after"]:
            report.notes.append(
                f"the witness knew the checkpoint in journal {entry['seq']} at {_text(at_us)}"
            )
        else:
            report.differences.append(
                f"the checkpoint in journal {entry['seq']} is not the one that the witness was"
                f" told at {_text(at_us)}: this past was signed anew"
            )


# Times -------------------------------------------------------------------------------------------


def _check_times(
    manifest: dict[str, Any], segments: dict[int, dict[str, Any]], report: Report
) -> None:
    """Range and gaps are those of the fragments that are there."""
    spans = []
    for file in manifest["files"]:
        segment = segments[file["segment"]]
        offset_us = segment["offset_us"]
        chosen = segment["fragments"][file["first"] : file["first"] + file["count"]]
        spans += [
            (start_us + offset_us, end_us + offset_us) for _, start_us, end_us, _, _ in chosen
        ]
    spans.sort()
    told = manifest["range"]
    if not spans:
        if told is not None:
            report.differences.append("a range is told, and there is no footage")
        return
    found = (spans[0][0], max(end_us for _, end_us in spans))
    if told is None or found != (told["from_us"], told["to_us"]):
        report.differences.append("the range that is told is not that of the footage")
    covered = sorted([*spans, *((gap["from_us"], gap["to_us"]) for gap in manifest["gaps"])])
    at_us = max(manifest["asked"]["from_us"], min(found[0], covered[0][0]))
    for start_us, end_us in covered:
        if start_us - at_us >= GAP_MIN_US:
            report.differences.append(
                f"{_text(at_us)} to {_text(start_us)} is neither there nor told as a gap"
            )
        at_us = max(at_us, end_us)


def _text(instant_us: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_us)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# For people --------------------------------------------------------------------------------------


def _facts(manifest: dict[str, Any]) -> list[str]:
    if manifest["format"] == REPORT:
        made = manifest["made"]
        return [
            f"报告 report: {manifest['site']}  {manifest['from']} .. {manifest['to']}",
            f"生成 made: {made['at']}  {made['by']}",
        ]
    lines = [f"摄像机 camera: {manifest['camera']}  {manifest['camera_name']}"]
    for name, title in (("asked", "请求范围 asked"), ("range", "实际范围 exact range")):
        span = manifest[name]
        lines.append(f"{title}: {span['from']} .. {span['to']}" if span else f"{title}: -")
    lines += [f"缺口 gap: {gap['from']} .. {gap['to']}  {gap['cause']}" for gap in manifest["gaps"]]
    exported = manifest["exported"]
    lines.append(f"导出 exported: {exported['at']}  {exported['by']}  {manifest['reason']}")
    return lines


def render(report: Report) -> str:
    lines = [f"密钥指纹 key: {report.fingerprint or '-'}"]
    if report.is_known_key is not None:
        lines[0] += (
            "  与已知密钥一致 as known" if report.is_known_key else "  不是已知密钥 NOT as known"
        )
    lines += [f"较早的密钥 older key: {one}" for one in report.other_keys]
    lines += report.facts
    if report.facts and report.manifest.get("format") != REPORT:
        lines.append(f"已校验片段 fragments verified: {report.fragments}")
    lines += [f"说明 note: {one}" for one in report.notes]
    lines += [f"不符 difference: {one}" for one in report.differences]
    lines.append("校验不通过 NOT verified" if report.differences else "校验通过 verified")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="verifies an export of Xueliang Edge")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--key", default="", help="fingerprint of the box's key")
    parser.add_argument("--witness", type=Path, help="statements that a witness got")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    statements = statements_in(arguments.witness.read_bytes()) if arguments.witness else []
    report = verify_export(arguments.folder, arguments.key, statements)
    if arguments.json:
        text = json.dumps(report.as_json(), ensure_ascii=False, indent=2)
    else:
        text = render(report)
    sys.stdout.write(text + "\n")
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
