"""An audit log under SIGKILL and power cuts: what was answered for is there, and the log is sound.

``XUELIANG_FAULTS=full`` makes it 60 kills and 20 cuts.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retention.audit import AuditLog
from retention.audit_read import records, verify
from retention.clock import SystemClock
from tests.crash.test_power_cut import Disk
from tests.support.box import wait_for

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
KILLS, CUTS = (60, 20) if IS_FULL else (6, 4)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

#: Eight threads record as fast as they are answered, and write down what was.
_WRITER = """
import sys, threading, time
from pathlib import Path
from retention.audit import AuditLog
from retention.audit_chain import Action
from retention.clock import SystemClock
audit = AuditLog(Path(sys.argv[1]), "edge", SystemClock(), wait_s=5)
def work(name):
    number = 0
    while True:
        number += 1
        head = audit.record(Action.EXPORT, subject=f"{name} {number}", note="x" * 700).result(20)
        sys.stdout.write(f"{head.seq} {head.hash} {time.monotonic_ns()}\\n")
        sys.stdout.flush()
for name in range(8):
    threading.Thread(target=work, args=[name], daemon=True).start()
threading.Event().wait()
"""


#: Numbers that were answered for while the power went, and taken again since.
_UNJUDGED: set[int] = set()


def _start(state: Path, told: Path) -> subprocess.Popen[bytes]:
    with told.open("ab") as out:
        return subprocess.Popen([sys.executable, "-c", _WRITER, str(state)], stdout=out)


def _wait_longer(told: Path) -> None:
    """Until the writer has told of a record more."""
    before = told.stat().st_size
    wait_for("a record", lambda: told.stat().st_size > before)


def _check(state: Path, told: Path, cut_ns: int | None = None) -> int:
    """Every record that was answered for; how many there are.

    Args:
        cut_ns: when the power began to go, on the monotonic clock: the shutdown of a file system
            is not of one instant as a cut is, so what is answered meanwhile is not judged.
    """
    with AuditLog(state, "edge", SystemClock(), wait_s=5) as audit:
        audit.opened().result(20)
    verdict = verify(state, "edge")
    assert verdict.is_sound, verdict.findings
    found = {record.seq: record.hash for record in records(state, "edge")}
    lines = [line.split() for line in told.read_text().splitlines(keepends=True) if "\n" in line]
    lost = {int(seq): int(at_ns) for seq, digest, at_ns in lines if found.get(int(seq)) != digest}
    if cut_ns is not None:
        _UNJUDGED.update(seq for seq, at_ns in lost.items() if at_ns > cut_ns)
    assert set(lost) <= _UNJUDGED
    return len(lines)


def test_killed_at_any_moment(tmp_path: Path) -> None:
    told, state = tmp_path / "told", tmp_path / "state"
    state.mkdir()
    for _ in range(KILLS):
        process = _start(state, told)
        _wait_longer(told)
        time.sleep(random.uniform(0, 0.4))
        process.kill()
        process.wait()
        count = _check(state, told)
    assert count > KILLS


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    made.mount()
    yield made
    subprocess.run(["umount", "-l", str(made.mount_point)], capture_output=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_the_power_goes_at_any_moment(tmp_path: Path, disk: Disk) -> None:
    told = tmp_path / "told"
    state = disk.mount_point / "state"
    state.mkdir()
    for _ in range(CUTS):
        process = _start(state, told)
        time.sleep(random.uniform(0.2, 0.8))
        cut_ns = time.monotonic_ns()
        disk.cut_power()
        process.kill()
        process.wait()
        disk.unmount()
        disk.mount()
        count = _check(state, told, cut_ns)
    assert count > CUTS
