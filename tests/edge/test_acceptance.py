"""Acceptance: what passes, what does not, and a report that nobody can change."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edge.acceptance import items
from edge.acceptance.items import Item, Result
from edge.acceptance.report import HTML_NAME, JSON_NAME, faults_of, html_of, signed
from edge.demo.plan import CameraPlan, StreamPlan
from tests.support.box import Box, BoxCamera
from tests.support.cameras import demo_process

CAMERA = {
    "camera": "gate",
    "enabled": True,
    "recording": True,
    "newest_age_seconds": 2.0,
    "coverage": {"24h": 0.999},
    "history": {"mature": True, "due_from": "2026-01-01T00:00:00+08:00"},
    "oldest": "2026-01-01T00:00:00+08:00",
    "width": 1920,
    "height": 1080,
}


def camera(**changes: Any) -> list[dict[str, Any]]:
    return [{**CAMERA, **changes}]


def test_a_good_camera_passes_everything() -> None:
    found = [
        items.recording(camera()),
        items.completeness(camera()),
        items.retention(camera(), 120.0, 90),
        items.resolution(camera()),
        items.clocks(True, True, {"gate": 0.4}),
    ]
    assert {item.result for item in found} == {Result.PASSED}
    assert all(item.found for item in found)


def test_each_line_that_is_missed_is_named() -> None:
    for item in (
        items.recording(camera(recording=False)),
        items.recording([]),
        items.completeness(camera(coverage={"24h": 0.9949})),
        items.retention(camera(history={"mature": False, "due_from": "x"}), 89.0, 90),
        items.resolution(camera(width=1280, height=720)),
        items.clocks(True, True, {"gate": -31.0}),
        items.clocks(False, None, {}),
        items.clocks(True, False, {}),
        items.registration([{"platform": "police", "registered": False, "state": "auth"}]),
    ):
        assert item.result is Result.FAILED
        assert item.found
        assert item.mend


def test_what_cannot_be_seen_yet_is_not_passed() -> None:
    young = camera(history={"mature": False, "due_from": "x"}, coverage={"24h": None})
    assert items.completeness(young).result is Result.NOT_YET
    assert items.retention(young, 120.0, 90).result is Result.NOT_YET
    assert items.retention(young, None, 90).result is Result.NOT_YET
    assert items.registration([]).result is Result.SKIPPED
    assert {item.result for item in items.manual_items()} == {Result.MANUAL}


def report(**changes: Any) -> dict[str, Any]:
    made = [Item(number="3", zh="一", en="one", result=Result.PASSED, found=("<b>",))]
    given = {"site": "站", "at": "now", "version": "1", "items": made, "by": "os:a", **changes}
    return signed(Ed25519PrivateKey.generate(), **given)


def test_a_report_is_what_its_key_signed() -> None:
    document = report()
    assert faults_of(document) == []
    assert "<b>" not in html_of(document)
    again = json.loads(json.dumps(document, ensure_ascii=False))
    assert faults_of(again) == []


@given(st.sampled_from(["site", "at", "by", "version", "accepted", "items"]), st.text())
def test_any_change_is_found(name: str, text: str) -> None:
    document = report()
    document[name] = text
    assert faults_of(document)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["format", "key", "signature", "items"]), x)))  # fmt: skip
def test_what_is_no_report_is_refused(document: Any) -> None:
    assert faults_of(document)


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_a_recording_box_is_checked(tmp_path: Path) -> None:
    plan = CameraPlan(id="gate", stream=StreamPlan(width=320, height=192), password="Gate-2026-x")
    with demo_process(plan) as site:
        source = f'rtsp = "{site["gate"].rtsp}"\nexpose = false'
        box = Box(
            folder=tmp_path / "box",
            cameras=[BoxCamera(id="gate", source=source, password="Gate-2026-x")],
            segment_seconds=2,
        )
        box.write_config()
        box.start()
        try:
            box.wait_recording()
            time.sleep(3)
            folder = tmp_path / "report"
            done = box.xueliang("accept", "-o", str(folder), "--json")
            assert done.returncode == 1, done.stderr  # the demo's picture is small
            document = json.loads(done.stdout)
            results = {item["number"]: item["result"] for item in document["items"]}
            assert results["4a"] == results["5b"] == results["9"] == results["11a"] == "passed"
            assert results["3"] == "failed"
            assert results["8"] == "skipped"
            assert results["16"] == "manual"
            [key] = {one for one in [box.xueliang("accept", "--verify", str(folder)).stdout] if one}
            assert "密钥 key" in key
            text = (folder / JSON_NAME).read_text()
            (folder / JSON_NAME).write_text(text.replace('"failed"', '"passed"'))
            assert box.xueliang("accept", "--verify", str(folder)).returncode == 1
            (folder / JSON_NAME).write_text(text)
            (folder / HTML_NAME).write_text("<p>all is well")
            assert box.xueliang("accept", "--verify", str(folder)).returncode == 1
            listed = box.json("audit", "list")
            assert any(one["action"] == "acceptance" for one in listed)
        finally:
            box.stop()
