"""One ``edge`` a state folder: an advisory lock that ends with the process. Shell."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.errors import XueliangError
from retention.ownership import hand_over
from retention.read import LOCK_NAME


class StateFolderInUse(XueliangError):
    """Another process owns the state folder."""

    code = "state_folder_in_use"


class StateFolderUnusable(XueliangError):
    """The state folder cannot be made or written."""

    code = "state_folder_unusable"


@contextmanager
def state_lock(state_dir: Path) -> Iterator[None]:
    """Own the state folder, which is made (mode 0700) if it is missing.

    Raises:
        StateFolderInUse: another ``edge`` (or ``reindex``) works there.
        StateFolderUnusable: it is not to be had, or takes no file.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        hand_over(file, state_dir)
    except OSError as error:
        raise StateFolderUnusable(
            f"the state folder {state_dir} cannot be used: {error.strerror}",
            hint="is its disk mounted, writable by this user, and not full?",
        ) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateFolderInUse(
                f"another process works in {state_dir}",
                hint="is edge running already? stop it first",
            ) from None
        yield
    finally:
        os.close(file)
