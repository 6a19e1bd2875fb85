"""What edge does with what its scrubber and its checkpoints tell."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.schema import Settings
from edge.alarms.board import AlarmBoard
from edge.metrics import EdgeMetrics
from edge.proof import Proof
from retention.audit import AuditLog
from retention.index import rows
from retention.scrub import Scrubbed, ScrubResult
from retention.start import Opened
from tests.retention.evidence import make_store
from tests.retention.storing import Site
from tests.retention.writing import wait_until
from tests.support.witness import witness_server


def _nothing() -> Any:
    raise AssertionError("no snapshot is asked for")


@contextmanager
def _proof(site: Site, url: str = "") -> Iterator[tuple[Proof, EdgeMetrics, Opened]]:
    settings = Settings.model_validate(
        {
            "site": {"name": "阳光托育中心"},
            "storage": {
                "volumes": [str(path) for path in site.volumes],
                "state_dir": str(site.index_path.parent),
            },
            "evidence": {"witness_url": url},
        }
    )
    metrics = EdgeMetrics(_nothing)
    opened = site.open(("gate", "hall"), "boot-9")
    with AuditLog(site.index_path.parent, "edge", site.clock) as audit:
        alarms = AlarmBoard(
            site.index_path.parent,
            settings=lambda: settings,
            audit=audit,
            registry=metrics.registry,
            clock=site.clock,
        )
        proof = Proof(
            opened,
            settings=lambda: settings,
            metrics=metrics,
            audit=audit,
            alarms=alarms,
            clock=site.clock,
        )
        proof.start()
        try:
            yield proof, metrics, opened
        finally:
            proof.stop()
            opened.volumes.close()
            opened.index.close()


def _value(counter: Any, *labels: str) -> float:
    value: float = counter.labels(*labels)._value.get()
    return value


def _records(site: Site) -> list[dict[str, Any]]:
    paths = sorted((site.index_path.parent / "audit" / "edge").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def test_a_segment_that_differs_is_a_metric_a_log_line_and_an_audit_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_store(tmp_path / "box")
    place = str(site.volumes[0])

    def scrubbed(result: ScrubResult, *faults: str) -> Scrubbed:
        return Scrubbed(volume=place, camera="gate", number=4, result=result, faults=faults)

    with _proof(site) as (proof, metrics, _), caplog.at_level(logging.INFO, "edge.proof"):
        proof._scrubbed(scrubbed(ScrubResult.OK))
        assert not caplog.records
        proof._scrubbed(scrubbed(ScrubResult.MISMATCH, "fragment 2 has changed"))
        proof._scrubbed(scrubbed(ScrubResult.UNREADABLE, "its file cannot be read"))
        for result in ScrubResult:
            assert _value(metrics.segment_verify, place, result.value) == 1
    assert [record.getMessage() for record in caplog.records] == ["segment_not_as_stored"] * 2
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    told = [one for one in _records(site) if one["action"] == "verify"]
    assert [one["subject"] for one in told] == ["gate 4", "gate 4"]
    assert {one["outcome"] for one in told} == {"failed"}
    assert [one["detail"]["result"] for one in told] == ["mismatch", "unreadable"]
    assert told[0]["detail"]["faults"] == "fragment 2 has changed"


def test_checkpoints_on_demand_and_hourly_go_to_the_witness(tmp_path: Path) -> None:
    site = make_store(tmp_path / "box")
    with witness_server() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        with _proof(site, url) as (proof, metrics, opened):
            assert asyncio.run(proof.checkpoint({"camera": "hall"})) == {"segments": 0}
            asyncio.run(proof.checkpoint_all())  # number 7 of the gate
            asyncio.run(proof.checkpoint_all())  # nothing is new: nothing is told
            last = opened.index.submit(lambda c: rows.last_checkpoint(c, "gate")).result()
            assert last is not None
            assert last.segments == 1
            assert metrics.checkpoint_time._value.get() > 0
            wait_until(lambda: _value(metrics.witness_posts, "ok") == 1)
        [body] = server.bodies
    told = json.loads(body)
    assert told["cameras"]["gate"] == {"position": 7, "link": last.after.hex()}
    assert told["site"] == "阳光托育中心"


def test_exports_are_counted_by_result(tmp_path: Path) -> None:
    site = make_store(tmp_path / "box")
    with _proof(site) as (proof, metrics, _):
        asyncio.run(proof.exported({"result": "ok", "bytes": 5}))
        asyncio.run(proof.exported({"result": "nonsense", "bytes": 5}))
        assert _value(metrics.exports, "ok") == 1
        assert _value(metrics.export_bytes, "ok") == 5
