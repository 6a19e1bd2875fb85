"""``xueliang-generator``: writes the drop-ins of :mod:`config.fence`. Shell.

A generator of systemd.generator(7), started by process 1 at boot and at each ``daemon-reload``. It
imports nothing but the standard library and the core: it delays the boot of the whole machine.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from config.fence import drop_ins

SETTINGS = Path("/etc/xueliang/xueliang.toml")
NAME = "50-settings.conf"


def write(settings: Path, target: Path) -> int:
    """Write the drop-ins below ``target``. Returns an exit code: 1 for settings that are no TOML,
    without which the services cannot start anyway."""
    try:
        raw = tomllib.loads(settings.read_text("utf-8-sig"))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, RecursionError) as error:
        sys.stderr.write(f"xueliang-generator: {settings}: {type(error).__name__}\n")
        return 1
    for service, text in drop_ins(raw).items():
        folder = target / f"xueliang-{service}.service.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NAME).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(write(SETTINGS, Path(sys.argv[1])))
