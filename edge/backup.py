"""``xueliang backup`` and ``restore``: settings, passwords, the box's key, console accounts. Shell.

What no disk of footage can give back to a new box. Footage, ledger and audit logs are not in it:
they stand on the volumes and in the state folder, which a new box adopts (``setup --adopt``). A
backup is JSON, sealed where a passphrase is given; on restoring a file goes where the settings in
the same backup say, and nowhere else.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from config.instants import format_instant, zone_named
from config.load import load, parse
from config.schema import Settings
from edge.auditing import on_record
from edge.sealed_box import WrongPassphrase, is_sealed, seal, unseal
from edge.setup.carry_out import SECRET_MODE, SETTINGS_MODE, services, write_owned
from edge.setup.site import CONSOLE, EDGE, UPLINK
from retention.audit_chain import Action
from retention.audit_loss import restore_detail
from retention.audit_read import heads
from retention.clock import SystemClock
from retention.keys import KEY_NAME, signing_key
from retention.read import is_edge_running
from retention.whole_file import make_folder, replace_file

FORMAT = "xueliang backup 1"
FILE_BYTES_MAX = 64 * 2**20
#: Of the console's folder: accounts, tokens, certificate; whatever lies there as a file.
CONSOLE_FOLDER = "console"
STATE_FILES = ("homes.json",)
_KEY = "signing-key"


class BackupRefused(XueliangError):
    """A backup cannot be made, read or put back."""

    code = "backup_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A file of the box: its name in a backup, where it stands, whose it is."""

    name: str
    path: Path
    owner: str | None
    mode: int = SECRET_MODE


def backup(config: Path, target: Path, passphrase: str) -> list[str]:
    """Write a backup (mode 0600), whole or not at all; the names of what is in it. On record.

    Raises:
        ConfigError, BackupRefused, AuditUnavailable.
    """
    settings = load(config)
    signing_key(settings.storage.state_dir)  # a box that never recorded has none yet
    found = {}
    for place in _places(settings, config):
        try:
            found[place.name] = base64.b64encode(place.path.read_bytes()).decode()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BackupRefused(
                f"{place.path} cannot be read: {error.strerror}", hint="run this as root"
            ) from error
    at = format_instant(SystemClock().utc_us(), zone_named(settings.site.timezone))
    document = {"format": FORMAT, "site": settings.site.name, "at": at, "files": found}
    data = json.dumps(document, ensure_ascii=False, indent=1).encode()
    with on_record(settings, Action.BACKUP, str(target), sealed=bool(passphrase)):
        try:
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            replace_file(target, seal(data, passphrase) if passphrase else data, mode=0o600)
        except OSError as error:
            raise BackupRefused(f"{target} cannot be written: {error.strerror}") from error
    return sorted(found)


def restore(source: Path, config: Path, passphrase: str, *, may_replace: bool) -> list[str]:
    """Put a backup back; the names of what was written. On record before anything is written, with
    whether the logs of the backup's box are still here (:mod:`retention.audit_loss`). The settings
    come last, so that the services of a box whose power went meanwhile find none, and the same
    command goes on.

    Raises:
        BackupRefused: unreadable, sealed otherwise, in the way of what stands, or edge runs.
        ConfigError: its settings are none that this version takes: nothing was written.
        AuditUnavailable: it cannot be put on record: nothing was written.
    """
    files = _read(source, passphrase)
    text = files.get("settings", b"").decode("utf-8", "replace")
    settings = parse(text, file=str(config), is_to_come=lambda path: True)
    state_dir = settings.storage.state_dir
    if is_edge_running(state_dir):
        raise BackupRefused("edge runs", hint="systemctl stop xueliang.target")
    users = services()
    places = [one for one in _places(settings, config, files) if one.name in files]
    standing = [one.path for one in places if _is_other(one.path, files[one.name])]
    if standing and not may_replace:
        raise BackupRefused(
            f"{standing[0]} stands already", hint="to write over what stands: --replace"
        )
    try:
        make_folder(state_dir)
        told = restore_detail(heads(state_dir), is_new=_is_new(state_dir, files))
        with on_record(settings, Action.RESTORE, str(source), **told) as deed:
            for place in reversed(places):
                make_folder(place.path.parent)
                write_owned(place.path, files[place.name], place.mode, place.owner, users)
            deed.told["files"] = len(places)
    except OSError as error:
        raise BackupRefused(
            f"{error.filename}: {error.strerror}", hint="run this as root"
        ) from error
    return [one.name for one in places]


def _is_new(state_dir: Path, files: dict[str, bytes]) -> bool:
    """Whether the state folder is another than the backup's: the box's key is not in it."""
    key = state_dir / KEY_NAME
    return not key.exists() or _is_other(key, files.get(_KEY, b""))


def _is_other(path: Path, content: bytes) -> bool:
    """Whether something else stands there; what cannot be read does."""
    try:
        return path.read_bytes() != content
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _read(source: Path, passphrase: str) -> dict[str, bytes]:
    try:
        with source.open("rb") as file:
            data = file.read(FILE_BYTES_MAX)
    except OSError as error:
        raise BackupRefused(f"{source} cannot be read: {error.strerror}") from error
    if is_sealed(data):
        try:
            data = unseal(data, passphrase)
        except WrongPassphrase as error:
            raise BackupRefused(f"{source}: {error}", hint="--passphrase-file FILE") from error
    try:
        document: Any = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError("another format")
        return {
            str(name): base64.b64decode(content, validate=True)
            for name, content in document["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupRefused(f"{source} is no backup of a box") from error


def _places(
    settings: Settings, config: Path, files: dict[str, bytes] | None = None
) -> list[_Place]:
    """Every file that belongs into a backup, the settings first; ``files``: what the console's
    folder held."""
    state_dir = settings.storage.state_dir
    found = [
        _Place(name="settings", path=config, owner=CONSOLE, mode=SETTINGS_MODE),
        _Place(name=_KEY, path=state_dir / KEY_NAME, owner=EDGE),
    ]
    for camera in settings.camera:
        if camera.password_file is not None:
            name = f"camera/{camera.id}"
            found.append(_Place(name=name, path=camera.password_file, owner=EDGE))
    for number, platform in enumerate(settings.platform, 1):
        name = f"platform/{number}"
        found.append(_Place(name=name, path=platform.password_file, owner=UPLINK))
    token = settings.alarms.webhook_token_file
    if token is not None:
        found.append(_Place(name="webhook-token", path=token, owner=EDGE))
    found += [_Place(name=f"state/{one}", path=state_dir / one, owner=EDGE) for one in STATE_FILES]
    folder = state_dir / CONSOLE_FOLDER
    if files is None:
        try:
            names = [one.name for one in sorted(folder.iterdir()) if one.is_file()]
        except OSError:
            names = []
    else:
        names = [one.partition("/")[2] for one in files if one.startswith(f"{CONSOLE_FOLDER}/")]
    for name in names:
        if name == Path(name).name and not name.startswith("."):
            found.append(_Place(name=f"{CONSOLE_FOLDER}/{name}", path=folder / name, owner=CONSOLE))
    return found
