"""The settings file, replaced by the console: whole or not at all, the old one kept. Shell."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from config.errors import Retry, XueliangError
from config.load import parse
from config.schema import Settings
from edge.console.records_file import write_whole
from retention.clock import Clock

#: Old files that stay beside the new one.
KEPT = 20
_OLD = re.compile(r"\.\d{8}T\d{6}Z\.old")


class SettingsNotWritable(XueliangError):
    """The console may not write the settings file."""

    code = "settings_not_writable"


class SettingsChanged(XueliangError):
    """Somebody else changed the file meanwhile."""

    code = "settings_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsText:
    """A file as it was read."""

    text: str
    digest: str


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> SettingsText:
    """Raises :class:`SettingsNotWritable`: it cannot even be read."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unwritable(path, error) from error
    return SettingsText(text=text, digest=digest_of(text))


def replace(path: Path, text: str, base_digest: str, clock: Clock) -> tuple[Settings, Path]:
    """Put ``text`` in the place of the file; the settings in it, and where the old file is kept.

    Raises:
        ConfigError: ``text`` has faults; the file stays.
        SettingsChanged: the file is not the one that ``text`` was made from.
        SettingsNotWritable: it stays, too.
    """
    settings = parse(text, file=str(path))
    if read(path).digest != base_digest:
        raise SettingsChanged(
            f"{path} was changed meanwhile", hint="open the page again and make the change anew"
        )
    moment = datetime.fromtimestamp(clock.utc_us() / 1e6, UTC).strftime("%Y%m%dT%H%M%SZ")
    old = path.with_name(f"{path.name}.{moment}.old")
    try:
        _keep(path, old)
        found = os.stat(path)
        write_whole(path, text.encode(), found.st_mode & 0o777, found)
        _forget_oldest(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    return settings, old


def _keep(path: Path, old: Path) -> None:
    old.unlink(missing_ok=True)
    os.link(path, old)


def _forget_oldest(path: Path) -> None:
    old = sorted(
        one
        for one in path.parent.iterdir()
        if one.name.startswith(path.name) and _OLD.fullmatch(one.name[len(path.name) :])
    )
    for one in old[:-KEPT]:
        one.unlink()


def _unwritable(path: Path, error: OSError | UnicodeDecodeError) -> SettingsNotWritable:
    reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
    return SettingsNotWritable(
        f"{path} cannot be replaced: {reason}",
        hint="give the console's user the right to write in its folder, or change it by hand",
        retry=Retry.LATER,
    )
