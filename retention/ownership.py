"""What root makes in a service's folder belongs to that service. Shell.

Commands are run by root on an installed box, where each service has a user of its own: a lock, an
index or a log that root left behind would lock the service out.
"""

from __future__ import annotations

import os
from pathlib import Path


def hand_over(file: int, folder: Path) -> None:
    """Give an open file or folder to who owns ``folder``; nothing unless this is root's process.

    Raises:
        OSError: it cannot be given.
    """
    if os.geteuid() != 0:
        return
    owner = os.stat(folder)
    if owner.st_uid != 0:
        os.fchown(file, owner.st_uid, owner.st_gid)
