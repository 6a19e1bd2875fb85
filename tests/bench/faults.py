"""What edge spends on looking for its own faults each second, at 1, 16 and 64 cameras.

CPU of real recorders, view and register of alarms; once with all well, once with every camera
silent and its alarm standing.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from config.schema import Settings
from config.secrets import Secret
from edge.alarms.board import AlarmBoard
from edge.cameras import CameraInService
from edge.metrics import EdgeMetrics
from edge.view import View
from retention.audit import AuditLog
from retention.model import US_PER_S
from tests.edge.test_recorder import Bench, Clock, Sink

ROUNDS = 200
SEVERAL = (1, 16, 64)


def main() -> None:
    logging.disable(logging.ERROR)  # what has begun is told
    for count in SEVERAL:
        for is_well in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                look_ms, register_ms = _measure(Path(folder), count, is_well=is_well)
            print(
                f"{count:3} cameras, {'all well  ' if is_well else 'all silent'}: faults looked for"
                f" {look_ms:6.3f} ms, register {register_ms:6.3f} ms CPU a second, together"
                f" {(look_ms + register_ms) / 10:.2f} % of a core"
            )


def _measure(folder: Path, count: int, *, is_well: bool) -> tuple[float, float]:
    names = [f"c{n}" for n in range(count)]
    settings = Settings.model_validate(
        {
            "site": {"name": "阳光"},
            "storage": {"volumes": [str(folder / "v")], "state_dir": str(folder)},
            "camera": [
                {"id": name, "name": name, "rtsp": f"rtsp://192.0.2.1/{name}"} for name in names
            ],
        }
    )
    clock = Clock()
    in_service = {}
    for one in settings.camera:
        (folder / one.id).mkdir()
        site = Bench(folder / one.id, Sink(), buffer_bytes=1 << 20)
        if is_well:
            site.send(2)
            site.recorder.newest_durable_us = site.clock.now_us
        clock.now_us = max(clock.now_us, site.clock.now_us)
        in_service[one.id] = CameraInService(one, Secret("pass-word-1"), site.recorder)
    slot = SimpleNamespace(name="/srv/v", usage=None, uuid="u", error=None, device=None)
    ok = SimpleNamespace(value="ok")
    view = View(
        settings,
        cast(Any, SimpleNamespace(in_service=in_service)),
        cast(Any, SimpleNamespace(status=lambda _: None)),
        cast(Any, SimpleNamespace(slots=[slot], state_of=lambda _: ok)),
        clock,
        cast(Any, SimpleNamespace(newest=None)),
    )
    board = AlarmBoard(
        folder,
        settings=lambda: settings,
        audit=AuditLog(folder, "edge", clock),
        registry=EdgeMetrics(view.snapshot).registry,
        clock=clock,
    )

    def look() -> None:
        for source, faults in view.faults().items():
            board.tell(source, faults)

    look()
    board.look()
    clock.now_us += 3_600 * US_PER_S if not is_well else 0  # what is silent has been for long
    look()
    board.look()
    assert len(board.standing) == (0 if is_well else count)
    return _ms(look), _ms(board.look)


def _ms(turn: Callable[[], object]) -> float:
    """CPU of this thread for one turn, milliseconds."""
    began = time.thread_time()
    for _ in range(ROUNDS):
        turn()
    return (time.thread_time() - began) / ROUNDS * 1000
