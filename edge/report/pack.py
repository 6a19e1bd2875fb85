"""``xueliang report``: the evidence pack, a signed folder. Shell, blocking.

``report.json`` is for machines, ``report.zh.html`` and ``report.en.html`` for people,
``heads.json`` a statement of where journal and chains end, as the outside witness gets it;
``manifest.json`` names each file with its SHA-256 and is signed with the box's key. ``verify.py``
goes along, and ``xueliang verify`` knows such folders, too.

The folder is written beside and renamed: under the asked name it is whole. That it was made is on
record before its first byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from config.schema import Settings
from edge.auditing import on_record
from edge.report.gather import report_document
from edge.report.page import page
from edge.status import index_path
from retention import export_verifier
from retention.audit import os_actor
from retention.audit_chain import Action
from retention.clock import Clock
from retention.export_verifier import MANIFEST, REPORT, canonical, manifest_bytes
from retention.index.read import Index
from retention.keys import KEY_NAME, KeyUnusable, signing_key
from retention.witness import statement

FOLDER_MODE, FILE_MODE = 0o750, 0o640
HEADS = "heads.json"


class ReportFailed(XueliangError):
    """No report was made; nothing lies under its name."""

    code = "report_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """What was made."""

    folder: Path
    files: tuple[str, ...]
    fingerprint: str
    manifest_sha256: str
    document: dict[str, Any]


def make_report(settings: Settings, days: int, folder: Path, clock: Clock) -> Pack:
    """Make the pack.

    Raises:
        ReportFailed: the folder is there already, or its disk does not take it.
        KeyUnusable, IndexUnavailable, AuditUnavailable: this user cannot use the store now.
    """
    if folder.exists():
        raise ReportFailed(f"{folder} is there already", hint="name a new folder")
    state_dir = settings.storage.state_dir
    if not (state_dir / KEY_NAME).exists():
        raise KeyUnusable(
            f"the signing key {state_dir / KEY_NAME} is not there",
            hint="was 'xueliang run edge' ever started?",
        )
    key, now_us = signing_key(state_dir), clock.utc_us()
    with on_record(settings, Action.REPORT, str(folder.absolute()), days=days) as deed:
        document = report_document(settings, days, now_us)
        with Index.open_read(index_path(settings)) as index:
            heads = index.read(
                lambda connection: statement(connection, settings.site.name, now_us, key)
            )
        files = {
            "report.json": json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n",
            "report.zh.html": page(document, "zh").encode(),
            "report.en.html": page(document, "en").encode(),
            "verify.py": Path(export_verifier.__file__).read_bytes(),
        }
        if heads is not None:
            files[HEADS] = json.dumps(heads, sort_keys=True).encode() + b"\n"
        manifest: dict[str, Any] = {
            "format": REPORT,
            "site": settings.site.name,
            "from": document["from"],
            "to": document["to"],
            "made": {"at": document["made"], "by": os_actor(), "tool": document["tool"]},
            "record": {"service": "cli", "seq": deed.head.seq, "hash": deed.head.hash},
            "files": [],
            "attachments": [
                {
                    "name": name,
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
                for name, content in files.items()
            ],
        }
        public = key.public_key().public_bytes_raw()
        manifest["key"] = public.hex()
        manifest["signature"] = key.sign(canonical(manifest)).hex()
        files[MANIFEST] = manifest_bytes(manifest)  # the last one: without it nothing looks whole
        _write(folder, files)
        sha256 = hashlib.sha256(files[MANIFEST]).hexdigest()
        deed.told.update(manifest_sha256=sha256, files=len(files))
    return Pack(
        folder=folder,
        files=tuple(files),
        fingerprint=export_verifier.fingerprint_of(public),
        manifest_sha256=sha256,
        document=document,
    )


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Whole under its name, or not at all."""
    beside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    try:
        beside.mkdir(mode=FOLDER_MODE, parents=True)
        for name, content in files.items():
            opened = os.open(beside / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
            with open(opened, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        os.rename(beside, folder)
    except OSError as error:
        raise ReportFailed(
            f"{folder} cannot be written: {error.strerror}", hint="name another place"
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(beside)


def pack_json(pack: Pack) -> dict[str, Any]:
    """What ``xueliang report --json`` prints."""
    return {
        "folder": str(pack.folder),
        "files": list(pack.files),
        "key": pack.fingerprint,
        "manifest_sha256": pack.manifest_sha256,
        "kpis": {name: one["ratio"] for name, one in pack.document["kpis"].items()},
    }


def render_pack(pack: Pack) -> str:
    """For people."""
    return "\n".join(
        [
            f"报告 report: {pack.folder}",
            *(f"  {name}" for name in pack.files),
            f"密钥指纹 key: {pack.fingerprint}",
            f"清单 manifest SHA-256: {pack.manifest_sha256}",
        ]
    )
