"""Disks of a new box: looked at, formatted when told to, stamped, taken over. Shell.

A disk is formatted only when it is named for that, and one that carries anything that blkid(8)
knows only when that is said, too.
"""

from __future__ import annotations

import os
import stat
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from config.errors import XueliangError
from retention.stamp import is_bare, is_blank, read_stamp
from retention.volume import Volume
from retention.volume_errors import VolumeError
from retention.whole_file import make_folder, replace_file

FSTAB = Path("/etc/fstab")
#: A disk that does not come holds up no boot; edge takes it in when it does.
MOUNT_OPTIONS = "defaults,noatime,nofail,x-systemd.device-timeout=10s"
BLKID_NOTHING = 2


class DiskRefused(XueliangError):
    """A disk is not what set-up may use."""

    code = "disk_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A volume as it was found or made."""

    path: Path
    uuid: str
    is_new: bool


def format_disk(device: Path, mount: Path, *, may_erase: bool, fstab: Path = FSTAB) -> str:
    """Make an ext4 file system, have it mounted at each boot, and mount it. Its UUID.

    Raises:
        DiskRefused: no block device, in use, or with something on it and ``may_erase`` not said.
    """
    try:
        is_block = stat.S_ISBLK(device.stat().st_mode)
    except OSError as error:
        raise DiskRefused(f"{device} cannot be looked at: {error.strerror}") from None
    if not is_block:
        raise DiskRefused(f"{device} is no block device", hint="see: lsblk")
    if _is_mounted(device):
        raise DiskRefused(f"{device} is mounted", hint="unmount it, if it is the right one")
    probe = subprocess.run(
        ["blkid", "-p", "-o", "export", str(device)], capture_output=True, text=True
    )
    if probe.returncode != BLKID_NOTHING and not may_erase:
        kinds = [one for one in probe.stdout.splitlines() if "TYPE=" in one]
        raise DiskRefused(
            f"{device} carries something already ({', '.join(kinds) or 'unreadable'})",
            hint="all of it would be lost; if that is meant, or a set-up was cut off: --erase",
        )
    made = str(uuid.uuid4())
    command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-U", made, "-T", "largefile", str(device)]
    _run(command, f"{device} could not be formatted")
    mount.mkdir(parents=True, exist_ok=True)
    add_line(fstab, f"UUID={made} {mount} ext4 {MOUNT_OPTIONS} 0 2\n")
    _run(["mount", "-o", "noatime", str(device), str(mount)], f"{mount} could not be mounted")
    return made


def add_line(fstab: Path, line: str) -> None:
    """Half a line, or half a file, would keep the machine from starting."""
    old = fstab.read_bytes() if fstab.exists() else b""
    end = b"" if old.endswith(b"\n") or not old else b"\n"
    replace_file(fstab.resolve(), old + end + line.encode(), mode=0o644)


def look_at(path: Path, *, may_adopt: bool) -> str | None:
    """The UUID of a volume that set-up may use; None for a folder that is blank, or not there yet.

    One with more than a stamp is another box's, and used if that is said. A stamp alone is what a
    set-up that was cut off left behind.

    Raises:
        DiskRefused: it holds something else.
    """
    try:
        if not path.exists() or is_blank(path):
            return None
        found, _ = read_stamp(path)
    except (VolumeError, OSError) as error:
        raise DiskRefused(
            f"{path} holds something that is no footage of ours: {error}",
            hint="name an empty folder or disk; nothing here was touched",
        ) from error
    if not may_adopt and not is_bare(path):
        raise DiskRefused(
            f"{path} holds the footage of a box (volume {found})",
            hint="to go on with it in this box: --adopt",
        )
    return found


def take(path: Path, now_us: int, *, may_adopt: bool) -> Disk:
    """Stamp a blank folder, or take a stamped one over, as :func:`look_at` has it.

    Raises:
        DiskRefused: neither, or not to be used.
    """
    found = look_at(path, may_adopt=may_adopt)
    if found is not None:
        return Disk(path=path, uuid=found, is_new=is_bare(path))
    make_folder(path)
    made = str(uuid.uuid4())
    try:
        Volume.stamp(path, uuid=made, now_us=now_us).close()
    except VolumeError as error:
        raise DiskRefused(f"{path} cannot be stamped: {error}") from error
    return Disk(path=path, uuid=made, is_new=True)


def own(path: Path, user: int, group: int) -> None:
    """Give what stands there, and all below it, to the recorder."""
    for folder, _, files in os.walk(path):
        for name in (".", *files):
            found = Path(folder) / name
            status = found.lstat()
            if (status.st_uid, status.st_gid) != (user, group):
                os.chown(found, user, group, follow_symlinks=False)


def _is_mounted(device: Path) -> bool:
    number = device.stat().st_rdev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[2] == wanted for line in lines)


def _run(command: list[str], sentence: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DiskRefused(sentence, hint=done.stderr.strip()[-300:])
