"""What can go wrong with a volume, and what each errno makes of it."""

from __future__ import annotations

import errno
from enum import StrEnum
from pathlib import Path

from config.errors import Retry, XueliangError
from retention.model import GapCause


class VolumeState(StrEnum):
    """What a volume is good for; also the ``state`` label of the metrics."""

    OK = "ok"
    FULL = "full"
    READONLY = "readonly"
    MISSING = "missing"
    WRONG_ID = "wrong_id"
    FAILED = "failed"


class VolumeError(XueliangError):
    """An operation on a volume failed; ``state`` says what that makes of the volume."""

    code = "volume"

    def __init__(
        self, message: str, *, state: VolumeState, operation: str, error: int = 0, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint, retry=Retry.LATER)
        self.state = state
        self.operation = operation
        self.errno_name = errno.errorcode.get(error, "")

    @property
    def cause(self) -> GapCause:
        """The gap that this failure causes, if nothing else takes the footage."""
        return GapCause.DISK_FULL if self.state is VolumeState.FULL else GapCause.DISK_FAILED


class VolumeUnavailable(VolumeError):
    """The volume is missing, swapped, read-only or broken."""

    code = "volume_unavailable"


class DiskFull(VolumeError):
    """No room outside the reserve, or none at all; what was written of the call is taken back."""

    code = "disk_full"


class DurabilityUnknown(VolumeError):
    """A sync failed: bytes since the last good one may or may not be on the disk."""

    code = "durability_unknown"


def state_of(error: OSError) -> VolumeState:
    """What an errno says of the volume."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return VolumeState.FULL
        case errno.EROFS:
            return VolumeState.READONLY
        case errno.ENOENT | errno.ENOTDIR | errno.ENODEV | errno.ESTALE | errno.ENXIO:
            return VolumeState.MISSING
        case _:
            return VolumeState.FAILED


_HINTS = {
    VolumeState.FULL: "add a volume, or free space on this disk",
    VolumeState.READONLY: "the kernel may have remounted it after an error: look at its log",
    VolumeState.MISSING: "is the disk mounted?",
    VolumeState.FAILED: "look at the disk's health (smartctl) and the kernel's log",
}


def failure(path: Path, operation: str, error: OSError) -> VolumeError:
    """The error of an operation on an attached volume."""
    state = state_of(error)
    kind = DiskFull if state is VolumeState.FULL else VolumeUnavailable
    return kind(
        f"{operation} failed on volume {path}: {error.strerror}",
        state=state,
        operation=operation,
        error=error.errno or 0,
        hint=_HINTS[state],
    )


def unavailable(path: Path, operation: str, error: OSError) -> VolumeUnavailable:
    """The error of a volume that does not answer at all."""
    state = state_of(error)
    return VolumeUnavailable(
        f"volume {path} is not to be had: {error.strerror}",
        state=state,
        operation=operation,
        error=error.errno or 0,
        hint=_HINTS[state],
    )


def wrong_id(path: Path, found: str, expected: str) -> VolumeUnavailable:
    """The error of a swapped disk."""
    return VolumeUnavailable(
        f"the disk at {path} carries stamp {found[:36]}, expected {expected}"
        if found != expected
        else f"the disk at {path} is another device than the one attached",
        state=VolumeState.WRONG_ID,
        operation="check",
        hint="was a disk swapped? mount the right one, or set the volume up anew",
    )
