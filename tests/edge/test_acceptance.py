"""Acceptance: what passes, what does not, and a report that nobody can change."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edge.acceptance import items
from edge.acceptance.drills import Drill
from edge.acceptance.items import Item, Result
from edge.acceptance.report import faults_of, html_of, signed, text_of
from edge.alarms.codes import Code
from edge.terminal_text import WIDTH, columns

AT = "2026-11-26T08:00:00+08:00"
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
        items.completeness(camera(), AT),
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
        items.completeness(camera(coverage={"24h": 0.9949}), AT),
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
    history = {"mature": False, "due_from": "2026-11-25T08:00:01+08:00"}
    young = camera(history=history, coverage={"24h": None})
    assert items.completeness(young, AT).result is Result.NOT_YET
    assert items.completeness(camera(history=history), AT).result is Result.NOT_YET
    lacking = camera(history=history, coverage={"24h": 0.994})
    assert items.completeness(lacking, AT).result is Result.FAILED
    minute = {"mature": False, "due_from": "2026-11-26T07:59:00+08:00"}
    lacking = camera(history=minute, coverage={"24h": 0.9})  # six seconds, as of a start
    assert items.completeness(lacking, AT).result is Result.NOT_YET
    history = {"mature": False, "due_from": "2026-11-25T08:00:00+08:00"}
    assert items.completeness(camera(history=history), AT).result is Result.PASSED
    assert items.retention(young, 120.0, 90).result is Result.NOT_YET
    assert items.retention(young, None, 90).result is Result.NOT_YET
    assert items.registration([]).result is Result.SKIPPED
    assert {item.result for item in items.manual_items()} == {Result.MANUAL}


POLLED = {"camera": "gate", "state": "complete", "faults": [], "plays": []}


def test_a_list_that_is_wrong_or_could_not_be_had_fails() -> None:
    play = {"what": "oldest", "state": "ok", "at": "10:00", "pictures": 25}
    listed, played = items.poll({"cameras": [{**POLLED, "plays": [play]}]})
    assert (listed.result, played.result) == (Result.PASSED, Result.PASSED)
    assert "25 pictures" in played.found[0]
    for changes in ({"faults": ["items overlap"]}, {"state": "check_failed"}):
        listed, _ = items.poll({"cameras": [{**POLLED, **changes}]})
        assert listed.result is Result.FAILED
    for state in ("mismatch", "unreadable"):
        _, played = items.poll({"cameras": [{**POLLED, "plays": [{**play, "state": state}]}]})
        assert played.result is Result.FAILED


def test_texts_in_the_picture_are_those_that_care_saw() -> None:
    seen = {"looked": "now", "texts_read": True, "findings": []}
    other = {"code": "camera_encoder", "zh": "码率", "en": "bit rate"}
    wrong = {"code": Code.CAMERA_NAME_DIFFERS.value, "zh": "画面字符", "en": "the picture says 'x'"}
    assert items.overlays(camera(care={**seen, "findings": [other]})).result is Result.PASSED
    failed = items.overlays(camera(care={**seen, "findings": [wrong]}))
    assert failed.result is Result.FAILED
    assert "the picture says" in failed.found[0]
    assert items.overlays(camera(care={**seen, "looked": None})).result is Result.NOT_YET
    assert items.overlays(camera()).result is Result.MANUAL
    assert items.overlays(camera(care={**seen, "texts_read": False})).result is Result.MANUAL
    mixed = items.overlays([{**CAMERA, "care": seen}, {**CAMERA, "camera": "hall"}])
    assert mixed.result is Result.PASSED
    assert "hall" in " ".join(mixed.found)


def test_drills_pass_only_where_all_came_back_and_was_told() -> None:
    gaps = {"gate": ["camera_offline"], "hall": []}
    assert items.network_drill(["gate"], True, gaps).result is Result.PASSED
    for bad in (
        items.network_drill(["gate"], False, gaps),
        items.network_drill(["gate"], True, {"gate": [], "hall": []}),
        items.network_drill(["gate"], True, {"gate": ["unknown"]}),
        items.network_drill(["gate"], True, {**gaps, "hall": ["network"]}),
        items.recorder_drill(None, 60, {}),
        items.recorder_drill(3.0, 60, {"gate": ["unknown"]}),
        pulled(goes_on=False),
        pulled(is_back=False),
        pulled(gaps={"gate": ["disk_failed"]}),
        pulled(has_other=False, gaps={"gate": ["unknown"]}),
    ):
        assert bad.result is Result.FAILED
        assert bad.mend
    assert items.recorder_drill(3.0, 60, {"gate": ["service_crashed"]}).result is Result.PASSED
    assert pulled().result is Result.PASSED
    only = pulled(has_other=False, goes_on=False, gaps={"gate": ["disk_failed"]})
    assert only.result is Result.PASSED  # there was nowhere else to go
    assert "disk_failed" in " ".join(only.found)
    numbers = [items.drill_left(one).number for one in Drill]
    assert numbers == ["13", "13a", "13b"]


def pulled(**changes: Any) -> Item:
    told = {"has_other": True, "goes_on": True, "is_back": True, "gaps": {"gate": []}, **changes}
    return items.disk_drill(["/srv/a"], **told)


def test_a_terminal_of_eighty_columns_shows_all_of_it() -> None:
    long = "gate: " + "a word and 一句中文 " * 20
    made = Item(
        number="11b", zh="端口、路由与磁盘" * 4, en="ports", result=Result.NOT_YET,
        found=(long,), mend="mend it " * 20,
    )  # fmt: skip
    text = text_of(report(items=[made]))
    assert max(map(columns, text.splitlines())) <= WIDTH
    assert "".join(text.split()).count("一句中文") == 20


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
