"""Kills and power cuts at random moments while footage is deleted, exported, or goes over to
another disk. After each of them: every file plays, each row has its file and each file its row,
every second is explained, the chain goes on past its tombstones, what is held is there, an export
is whole or absent.

``XUELIANG_FAULTS=full`` makes it 500 kills and 50 cuts; what was found is printed.
"""

from __future__ import annotations

import os
import random
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.at_work import AtWork, at_work

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
#: So often an index made anew is compared at rest.
REBUILT_EACH = 10
#: Work, and for how long it goes on at most before it is interrupted, in seconds.
WORKS = (("sweep", 1.0), ("export", 0.3), ("fail-over", 2.5))

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems"),
]


def begin(at: AtWork, number: int, *, may_hang: bool) -> str:
    """One kind of work after the other, for a random time; which one it is."""
    work, longest_s = WORKS[number % len(WORKS)]
    if work == "sweep":
        at.press()
    elif work == "export":
        at.export()
        if at.random.random() < 0.8:
            at.wait_exporting()
    else:
        at.fail_over(may_hang=may_hang)
    time.sleep(at.random.uniform(0, longest_s))
    return work


def kill(at: AtWork, work: str) -> None:
    """Of edge, of the process of a volume, or of the command that exports; the kills are one."""
    child = at.volume_process() if work != "export" and at.random.random() < 0.15 else None
    if child is not None:
        child.kill()
        at.counts["volume processes killed"] += 1
        at.mend()
        return
    victims = at.random.choice(("edge", "exporter", "both")) if work == "export" else "edge"
    if victims != "edge":
        at.end_exporter(kills=True)
    if victims != "exporter":
        at.box.kill()
        at.counts["edge killed"] += 1
        at.note_interrupted()
        if at.random.random() < 0.5:
            at.mend()
            at.box.start()
        else:  # it comes up with the trouble that it was killed in
            at.box.start()
            at.wait_recording()
    at.note_interrupted()
    at.end_exporter(kills=False)
    at.mend()


def cut(at: AtWork, work: str) -> None:
    """The power of all disks; what stands over one of them is gone with it."""
    disks = [*at.disks, at.state_disk]
    at.unswap()
    for disk in disks:
        disk.cut_power()
    at.box.kill()
    at.end_exporter(kills=True)
    for disk in disks:
        disk.power_up()
    at.note_interrupted()
    at.mend()
    at.box.start()


#: Parts can be run beside each other.
Interrupt = Callable[[AtWork, str], None]
PARTS: dict[str, list[Interrupt]] = {"few": [kill, kill, cut]}
if IS_FULL:
    PARTS = {f"kill{part}": [kill] * 50 for part in range(10)}
    PARTS |= {f"cut{part}": [cut] * 25 for part in range(2)}


@pytest.mark.parametrize("part", PARTS)
def test_interrupted_at_work_it_is_whole_afterwards(tmp_path: Path, part: str) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    with at_work(tmp_path, seed) as at:
        began = time.monotonic()
        try:
            for number, interrupt in enumerate(PARTS[part]):
                work = begin(at, number, may_hang=interrupt is kill)
                at.counts[f"{'kill' if interrupt is kill else 'cut'} in {work}"] += 1
                interrupt(at, work)
                at.assert_whole()
                at.counts["survived"] += 1
                if number % 10 == 9:
                    print(f"{number + 1} in {time.monotonic() - began:.0f} s", flush=True)
                if number % REBUILT_EACH == REBUILT_EACH - 1 or number + 1 == len(PARTS[part]):
                    at.assert_rebuilt()
                    at.box.start()
                    at.wait_recording()
            assert at.counts["survived"] == len(PARTS[part])
        except BaseException:
            traceback.print_exc()  # at once: a long drill goes on with the next part
            raise
        finally:
            print(f"{part}, {time.monotonic() - began:.0f} s: {dict(at.counts)}")
