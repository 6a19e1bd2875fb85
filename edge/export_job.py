"""One export for the console, in a process of its own that gives way to everything. Shell.

``python -m edge.export_job -c FILE``: reads the order (JSON) from standard input, tells how far it
is and at last ``error`` (empty: done), a JSON object a line, on standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from config import log as logging_setup
from config.errors import XueliangError
from config.instants import format_instant
from config.load import load
from edge.evidence import Desk, export_camera
from retention.priority import Disk, give_way

#: Progress is told so often: an export is some thousand fragments.
STEP_BYTES = 4 << 20
NICE = 19
FILE_MODE = 0o640  # the console, of the same group, hands it out
FOLDER_MODE = 0o750


def main() -> int:
    parser = argparse.ArgumentParser(prog="export-job", description="an export of the console")
    parser.add_argument("-c", "--config", type=Path, required=True)
    arguments = parser.parse_args()
    give_way(NICE, Disk.IDLE)
    logging_setup.set_up()
    try:
        _export(arguments.config, json.load(sys.stdin))
    except XueliangError as error:
        _tell(error=error.sentence())
        return 1
    _tell(error="")
    return 0


def _export(config_path: Path, order: dict[str, Any]) -> None:
    told_bytes = 0

    def progress(written_bytes: int, of_bytes: int) -> None:
        nonlocal told_bytes
        if written_bytes - told_bytes >= STEP_BYTES or not told_bytes:
            told_bytes = written_bytes
            _tell(written_bytes=written_bytes, of_bytes=of_bytes)

    folder = Path(order["folder"])
    result = export_camera(
        load(config_path),
        str(order["camera"]),
        format_instant(int(order["from_us"]), timespec="microseconds"),
        format_instant(int(order["to_us"]), timespec="microseconds"),
        folder,
        str(order["reason"]),
        Desk(
            actor=str(order["actor"]),
            approved_by=str(order.get("approved_by", "")),
            progress=progress,
        ),
    )
    _tell(written_bytes=result.size_bytes, of_bytes=result.size_bytes)
    for path in folder.iterdir():
        path.chmod(FILE_MODE)
    folder.chmod(FOLDER_MODE)


def _tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201 - the pipe to edge


if __name__ == "__main__":
    sys.exit(main())
