"""A file that kills or hangs the decoder costs that check only, and is itself the finding."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge.diagnose import inspector as inspectors
from edge.diagnose.checks import judge
from edge.diagnose.defects import Defect, Failure, Outcome
from edge.diagnose.inspector import Inspector
from retention.model import US_PER_S
from tests.edge.diagnose.looks import Stage, record
from tests.edge.diagnose.store import Footage
from tests.support.box import wait_for

AHEAD = "import json,os,signal,sys,time\nsys.stdin.readline()\n"
ASKED = "r = json.loads(sys.stdin.readline())\n"
DECODING = 'print(json.dumps({"decoding": 7}), flush=True)\n'


def stand_in(body: str, check_s: float = 20.0) -> Inspector:
    """An inspector whose child is this program."""
    return Inspector(
        Path("/nowhere"), [], command=[sys.executable, "-c", AHEAD + ASKED + body], check_s=check_s
    )


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (DECODING + "os.kill(os.getpid(), signal.SIGSEGV)", Failure.CRASHED),
        (DECODING + "os.kill(os.getpid(), signal.SIGXCPU)", Failure.TIMED_OUT),
        (DECODING + "raise MemoryError", Failure.CRASHED),
        ("os.abort()", Failure.INTERNAL),
        ("print('[1')", Failure.INTERNAL),
        (DECODING + "sys.stdout.write('x' * 3000000)", Failure.INTERNAL),
        (DECODING + "print('{\"measures\": 1}', flush=True)", Failure.INTERNAL),
    ],
)
def test_what_a_child_dies_of_is_the_result(body: str, failure: Failure) -> None:
    inspector = stand_in(body)
    looked = inspector.look("gate", 1, 0)
    assert looked.failure is failure
    assert looked.measures is None
    assert (looked.footage_us == 7) is ("decoding" in body)
    assert inspector.pid is None, "the next check gets a new child"


@pytest.mark.parametrize("stage", ["", DECODING])
def test_a_child_that_hangs_is_ended(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspectors, "START_S", 1.0)
    inspector = stand_in(stage + "time.sleep(60)", check_s=0.5)
    looked = inspector.look("gate", 1, 0)
    assert looked.failure is (Failure.TIMED_OUT if stage else Failure.UNREADABLE)
    assert inspector.pid is None


def test_a_stop_waits_for_no_check() -> None:
    stopping = threading.Event()
    inspector = Inspector(
        Path("/nowhere"),
        [],
        command=[sys.executable, "-c", AHEAD + "time.sleep(60)"],
        is_stopping=stopping.is_set,
    )
    timer = threading.Timer(0.3, stopping.set)
    timer.start()
    assert inspector.look("gate", 1, 0).failure is Failure.UNREADABLE
    timer.join()


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    footage = Footage(tmp_path_factory.mktemp("store"))
    record(footage, Stage(), Stage(at=10))
    return footage


def spoilt(footage: Footage, folder: Path, how: str) -> Footage:
    """A copy of the store whose newest file is damaged."""
    other = Footage.__new__(Footage)
    other.site = footage.site.copy(folder)
    other.camera, other.minutes, other.marks = footage.camera, footage.minutes, footage.marks
    path = other.site.files()[-1]
    data = bytearray(path.read_bytes())
    if how == "zeros":
        data = bytearray(len(data))
    elif how == "short":
        del data[len(data) // 3 :]
    elif how == "picture":  # bytes of the last group's pictures, not its boxes
        begin = data.rindex(b"mdat") + 600
        chance = random.Random(1)
        for _ in range(40):
            data[chance.randrange(begin, len(data) - 2000)] ^= 0xFF
    elif how == "boxes":
        begin = data.rindex(b"moof")
        data[begin : begin + 200] = random.Random(2).randbytes(200)
    path.write_bytes(data)
    return other


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ("zeros", Failure.UNDECODABLE),
        ("short", Failure.UNREADABLE),
        ("boxes", Failure.UNDECODABLE),
        ("picture", Failure.NONE),
    ],
)
def test_damaged_files(footage: Footage, tmp_path: Path, how: str, failure: Failure) -> None:
    damaged = spoilt(footage, tmp_path / "copy", how)
    inspector = Inspector(damaged.site.index_path, damaged.site.volumes)
    try:
        looked = inspector.look("gate", damaged.end_us, 0)
        assert looked.failure is failure
        if looked.measures is not None:
            verdicts = judge(looked.measures, None)
            assert verdicts[Defect.BROKEN] is Outcome.ABNORMAL
        child = inspector.pid
        sound = inspector.look("gate", damaged.start_us + 59 * US_PER_S, 0)
        assert sound.measures is not None
        assert inspector.pid == child is not None
    finally:
        inspector.close()


def test_the_child_is_apart_from_libav_and_bounded(footage: Footage) -> None:
    inspector = Inspector(footage.site.index_path, footage.site.volumes)
    try:
        looked = inspector.look("gate", footage.end_us, 0)
        assert looked.measures is not None
        assert looked.cpu_seconds > 0
        pid = inspector.pid
        assert pid is not None
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "cv2" in mapped
        assert "/av.libs/" not in mapped
        assert "/av/" not in mapped
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0", limits)
        assert re.search(r"Max address space +2147483648 +2147483648", limits)
        held = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [one for one in held if one.endswith(".mp4") or one.startswith("socket:")]
        assert inspector.look("gate", footage.end_us, looked.footage_us).failure is (
            Failure.NO_FOOTAGE
        )
        os.kill(pid, signal.SIGKILL)
        wait_for("its end", lambda: _is_gone(pid) or None)
        assert inspector.look("gate", footage.end_us, 0).failure is Failure.INTERNAL
        assert inspector.look("gate", footage.end_us, 0).measures is not None
    finally:
        inspector.close()


def _is_gone(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_store_that_is_away_is_told_and_comes_back(footage: Footage, tmp_path: Path) -> None:
    index = tmp_path / "index.db"
    inspector = Inspector(index, footage.site.volumes)
    try:
        assert inspector.look("gate", footage.end_us, 0).failure is Failure.UNREADABLE
        index.write_bytes(footage.site.index_path.read_bytes())
        assert inspector.look("gate", footage.end_us, 0).measures is not None
        volume = footage.site.volumes[0]
        away = volume.with_name("away")
        volume.rename(away)
        try:
            assert inspector.look("gate", footage.end_us, 0).failure is Failure.UNREADABLE
        finally:
            away.rename(volume)
        assert inspector.look("gate", footage.end_us, 0).measures is not None
    finally:
        inspector.close()


def test_nothing_of_edge_loads_opencv_and_the_child_no_libav() -> None:
    code = (
        "import sys, {0}; print(*(name for name in ('cv2', 'av', 'numpy') if name in sys.modules))"
    )
    for module, loaded in (
        ("edge.diagnosis", ""),
        ("edge.diagnose.service", "numpy"),
        ("edge.diagnose.child", "cv2 numpy"),
    ):
        told = subprocess.run(
            [sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True
        )
        assert told.stdout.strip() == loaded, module
