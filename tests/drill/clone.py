"""A fresh clone in a clean Debian root, and ``make`` in it; needs root.

    python -m tests.drill.clone [--suite trixie] [--folder DIR] [TARGET...]

The root has git, make, python3 and python3-venv; what else a target needs it installs itself. Its
mounts and processes are its own; the network (for pip and apt), /sys and devices are the host's.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.drill.machine import debootstrapped

SOURCE = Path(__file__).parents[2]
PACKAGES = "git,make,python3,python3-venv,ca-certificates"
CLONE = "srv/xueliang"  # where other users may read: some tests are another
_ENTER = r"""
set -e
root=$1 words=$2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/lock"
cd "$root"
mkdir -p old
pivot_root . old
umount -l old
rmdir old
cd /srv/xueliang
# shellcheck disable=SC2086
exec make $words
"""
#: What tells pip and apt of this machine's way to the registries.
_PASSED = re.compile(r"(?i)(https?|no)_proxy|pip_(cert|index_url|default_timeout)|ssl_cert_file")
_COPIED = ("etc/resolv.conf", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")


class Clone:
    """The repository's newest commit in ``folder/clone-SUITE``, made anew."""

    def __init__(self, folder: Path, suite: str) -> None:
        self._root = folder / f"clone-{suite}"
        if self._root.exists():
            shutil.rmtree(self._root)
        base = debootstrapped(folder / f"clone-base-{suite}", suite, PACKAGES)
        subprocess.run(["cp", "-a", str(base), str(self._root)], check=True)
        for name in _COPIED:
            if Path("/", name).exists():
                shutil.copy(Path("/", name), self._root / name)
        command = ["git", "clone", "-q", str(SOURCE), str(self._root / CLONE)]
        subprocess.run(command, check=True)

    def make(self, *words: str) -> int:
        """The exit code of ``make WORDS``."""
        passed = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
            + ["sh", "-c", _ENTER, "sh", str(self._root), " ".join(words)],
            stdin=subprocess.DEVNULL,
            env={
                **passed,
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "TERM": "dumb",
            },
        ).returncode

    def package(self) -> Path:
        """``make deb``, for the Python of the suite."""
        if self.make("deb"):
            raise AssertionError("make deb failed in the clone")
        [package] = (self._root / CLONE / "build").glob("*.deb")
        return package


def main() -> None:
    parser = argparse.ArgumentParser(prog="clone", description=__doc__)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--folder", type=Path, default=SOURCE / "build/drill")
    parser.add_argument("target", nargs="*", default=["test"])
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(Clone(arguments.folder, arguments.suite).make(*arguments.target))


if __name__ == "__main__":
    main()
