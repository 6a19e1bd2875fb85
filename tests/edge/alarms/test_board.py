"""The register at work: disk, audit log, metrics and webhook, each told once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from config.schema import Settings
from edge.alarms import board
from edge.alarms.board import STATE_NAME, AlarmBoard
from edge.alarms.codes import Code
from edge.alarms.register import Fault
from retention.audit import AuditLog
from retention.audit_chain import Head
from retention.clock import SystemClock
from tests.retention.writing import wait_until
from tests.support.box import free_port
from tests.support.witness import witness_server

COVERED = Fault(code=Code.PICTURE_COVERED, subject="gate", reason_zh="遮挡", reason_en="covered")


class Kit:
    def __init__(self, board: AlarmBoard, registry: CollectorRegistry, folder: Path) -> None:
        self.board = board
        self._registry = registry
        self._folder = folder

    def metrics(self) -> str:
        return generate_latest(self._registry).decode()

    def records(self) -> list[dict[str, Any]]:
        paths = sorted((self._folder / "audit" / "edge").glob("*.jsonl"))
        lines = [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
        return [line for line in lines if line["action"] == "alarm"]


@contextmanager
def kit(folder: Path, **alarms: Any) -> Iterator[Kit]:
    settings = Settings.model_validate(
        {
            "site": {"name": "阳光"},
            "storage": {"volumes": [str(folder / "a")], "state_dir": str(folder)},
            "camera": [{"id": "gate", "name": "门", "rtsp": "rtsp://127.0.0.1/1"}],
            "alarms": alarms,
        }
    )
    registry = CollectorRegistry()
    with AuditLog(folder, "edge", SystemClock()) as audit:
        board = AlarmBoard(
            folder,
            settings=lambda: settings,
            audit=audit,
            registry=registry,
            clock=SystemClock(),
            look_s=0.01,
        )
        board.start()
        try:
            yield Kit(board, registry, folder)
        finally:
            board.stop()


def test_an_alarm_goes_every_way_once_and_so_does_its_end(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("geheim-1234")
    token.chmod(0o600)
    with witness_server() as server:
        url = f"http://127.0.0.1:{server.server_port}/alarms"
        with kit(tmp_path, webhook_url=url, webhook_token_file=str(token)) as one:
            one.board.tell("diagnose", [COVERED])
            wait_until(lambda: len(server.bodies) == 1)
            assert [told["code"] for told in one.board.documents()] == ["picture_covered"]
            text = one.metrics()
            assert 'nvr_alarm_active{code="picture_covered",severity="warning"} 1.0' in text
            assert 'nvr_alarm_active{code="video_lost",severity="critical"} 0.0' in text
            assert 'about="camera",code="picture_covered",severity="warning",subject="gate"' in text
            one.board.tell("diagnose", [COVERED])
            one.board.tell("diagnose", [])
            wait_until(lambda: len(server.bodies) == 2)
            wait_until(lambda: len(one.records()) == 2)
            assert "nvr_alarm_subject_active{" not in one.metrics()
            assert 'nvr_alarms_total{code="picture_covered"} 1.0' in one.metrics()
            assert one.board.documents() == []
            assert [told["number"] for told in one.board.ended()] == [1]
        begun, ended = (json.loads(body) for body in server.bodies)
        assert (begun["event"], ended["event"]) == ("begun", "ended")
        assert begun["number"] == ended["number"] == 1
        assert begun["format"] == "xueliang-alarm/1"
        assert begun["site"] == "阳光"
        assert begun["reason_zh"] == "遮挡"
        assert begun["until_us"] is None
        assert ended["until_us"] >= begun["since_us"]
        assert server.authorizations == ["Bearer geheim-1234"] * 2
        assert [(line["outcome"], line["subject"]) for line in one.records()] == [
            ("begun", "gate"),
            ("done", "gate"),
        ]


def test_a_restart_neither_repeats_nor_forgets(tmp_path: Path) -> None:
    with kit(tmp_path) as one:
        one.board.tell("diagnose", [COVERED])
        wait_until(lambda: len(one.records()) == 1)
    with kit(tmp_path) as one:
        one.board.tell("diagnose", [COVERED])
        wait_until(lambda: one.board.documents() != [])
        one.board.look()
        assert len(one.records()) == 1
    with kit(tmp_path) as one:
        one.board.tell("diagnose", [])
        wait_until(lambda: len(one.records()) == 2)
        assert one.records()[1]["outcome"] == "done"


def test_a_webhook_that_is_away_gets_it_later_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.messenger.RETRY_S", 0.05)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with kit(tmp_path, webhook_url=url) as one:
        one.board.tell("diagnose", [COVERED])
        wait_until(lambda: 'nvr_alarm_posts_total{result="failed"}' in one.metrics())
        one.board.tell("diagnose", [])
        wait_until(lambda: len(one.records()) == 2)
    with witness_server(port) as server, kit(tmp_path, webhook_url=url):
        wait_until(lambda: len(server.bodies) == 2)
        assert [json.loads(body)["event"] for body in server.bodies] == ["begun", "ended"]


def test_an_audit_log_that_hangs_holds_no_alarm_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Future[Head]] = []

    def record(*_: object, **__: object) -> Future[Head]:
        held.append(Future())
        return held[-1]

    monkeypatch.setattr(board, "AUDIT_WAIT_S", 120.0)
    monkeypatch.setattr(AuditLog, "record", record)
    frozen = replace(COVERED, code=Code.PICTURE_FROZEN)
    with witness_server() as server:
        url = f"http://127.0.0.1:{server.server_port}/alarms"
        with kit(tmp_path, webhook_url=url) as one:
            one.board.tell("diagnose", [COVERED, frozen])
            wait_until(lambda: len(server.bodies) == 2)
            for future in held:
                future.set_result(Head())


def test_a_disk_that_takes_nothing_stops_no_alarm(tmp_path: Path) -> None:
    with kit(tmp_path) as one:
        (tmp_path / ".alarms.json.new").mkdir()  # in the way of the file beside
        one.board.tell("diagnose", [COVERED])
        wait_until(lambda: 'nvr_alarm_failures_total{what="write"}' in one.metrics())
        assert len(one.board.documents()) == 1
        (tmp_path / ".alarms.json.new").rmdir()
        wait_until(lambda: (tmp_path / STATE_NAME).exists())
        wait_until(lambda: len(one.records()) == 1)


def test_a_subject_that_the_settings_do_not_name_is_no_label(tmp_path: Path) -> None:
    with kit(tmp_path) as one:
        one.board.tell(
            "astray", [Fault(code=Code.PICTURE_BLACK, subject=f"x{n}") for n in range(9)]
        )
        wait_until(lambda: len(one.board.documents()) == 9)
        assert "nvr_alarm_subject_active{" not in one.metrics()
        assert 'nvr_alarm_active{code="picture_black",severity="warning"} 9.0' in one.metrics()
