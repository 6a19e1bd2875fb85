"""一机一档: what a platform would object to in a camera's entry."""

from __future__ import annotations

from typing import Any

import pytest

from config.schema import Camera
from edge.archive_check import archive_findings

GOOD: dict[str, Any] = {
    "id": "gate",
    "name": "人行出口",
    "role": "face",
    "gb_id": "36010200001320000001",
    "rtsp": "rtsp://192.0.2.1/1",
    "archive": {
        "address": "东湖区某路1号北门",
        "civil_code": "360102",
        "manufacturer": "某厂",
        "model": "IPC-1",
        "longitude": 115.898,
        "latitude": 28.685,
        "point_type": "1",
        "function_type": "01",
        "install_time": "2026-09-01",
        "contact": "13800000000",
    },
}


def findings(name_differs: bool | None = None, **changes: Any) -> list[str]:
    archive = {**GOOD["archive"], **changes.pop("archive", {})}
    camera = Camera.model_validate({**GOOD, **changes, "archive": archive})
    names = [camera.name, "操场"]
    return [one.field for one in archive_findings(camera, names=names, name_differs=name_differs)]


def test_a_whole_entry_has_no_finding() -> None:
    assert findings() == []
    assert findings(name_differs=False) == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("gb_id", {"gb_id": None}),
        ("gb_id", {"gb_id": "36010200001180000001"}),
        ("gb_id", {"gb_id": "99010200001320000001", "archive": {"civil_code": ""}}),
        ("civil_code", {"archive": {"civil_code": "360103"}}),
        ("manufacturer", {"archive": {"manufacturer": ""}}),
        ("model", {"archive": {"model": "null"}}),
        ("address", {"archive": {"address": "  "}}),
        ("name", {"name": "操场"}),
        ("name", {"name": "NULL"}),
        ("longitude", {"archive": {"longitude": None, "latitude": None}}),
        ("longitude", {"archive": {"longitude": 28.685, "latitude": 54.5}}),
        ("point_type", {"archive": {"point_type": ""}}),
        ("grassroots_code", {"archive": {"grassroots_code": "12"}}),
        ("function_type", {"archive": {"function_type": "03"}}),
        ("install_time", {"archive": {"install_time": "去年"}}),
        ("install_time", {"archive": {"install_time": ""}}),
        ("contact", {"archive": {"contact": ""}}),
    ],
)
def test_each_fault_is_found_alone(field: str, changes: dict[str, Any]) -> None:
    assert findings(**changes) == [field]


def test_what_only_looking_at_the_picture_tells() -> None:
    assert findings(name_differs=True) == ["name"]


def test_the_camera_may_tell_maker_and_model_itself() -> None:
    camera = Camera.model_validate({**GOOD, "archive": {**GOOD["archive"], "manufacturer": ""}})
    found = archive_findings(camera, names=[camera.name], told_manufacturer="Lab")
    assert found == []


def test_a_plain_point_needs_no_place() -> None:
    plain = {"point_type": "9", "longitude": None, "latitude": None, "install_time": ""}
    assert findings(role="general", archive=plain) == []
