"""The scrubbing process: it reports, ends with its parent, and comes back when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from edge import scrubbing
from edge.scrubbing import Scrubbing
from retention.scrub import Scrubbed, ScrubResult
from tests.retention.evidence import make_store
from tests.retention.writing import wait_until


def _io_class(thread: int) -> str:
    told = subprocess.run(["ionice", "-p", str(thread)], capture_output=True, text=True)
    return told.stdout.split(":")[0].strip()


def test_it_rereads_reports_and_comes_back_when_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "RESTART_S", 0.05)
    site = make_store(tmp_path / "box")
    damaged = next(path for path in site.files() if path.parts[-6] == "hall")
    content = bytearray(damaged.read_bytes())
    content[-9] ^= 1
    damaged.write_bytes(content)
    told: list[Scrubbed] = []
    one = Scrubbing(site.index_path, site.volumes, lambda: 1e-6, told.append)
    one.start()
    try:
        wait_until(lambda: len(told) >= 6, 60)
        results = {(found.camera, found.number): found.result for found in told}
        assert results.pop(("hall", 1)) is ScrubResult.MISMATCH
        assert set(results.values()) == {ScrubResult.OK}
        first = one.pid
        assert first is not None
        threads = [thread.id for thread in psutil.Process(first).threads()]
        assert 19 in {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
        assert "idle" in {_io_class(thread) for thread in threads}
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: one.pid not in (None, first), 30)
        second = one.pid
    finally:
        one.stop()
    assert second is not None
    wait_until(lambda: not psutil.pid_exists(second), 30)
    one._thread.join(10)
