"""What a change of the settings tells of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from config.changes import changes
from config.schema import Settings


def _settings(**tables: Any) -> Settings:
    return Settings.model_validate(
        {
            "site": {"name": "阳光托育中心"},
            "storage": {"volumes": ["/srv/a"], "state_dir": "/var/lib/x"},
            "camera": [
                {
                    "id": "gate",
                    "name": "门",
                    "rtsp": "rtsp://192.0.2.1/a",
                    "username": "recorder",
                    "password_file": "/etc/one",
                },
                {"id": "yard", "name": "院", "rtsp": "rtsp://192.0.2.2/a"},
            ],
            **tables,
        }
    )


def test_nothing_changed() -> None:
    assert changes(_settings(), _settings()) == []


def test_values_are_told_and_passwords_places_are_not() -> None:
    other = _settings(
        retention={"max_days": 120},
        camera=[
            {
                "id": "gate",
                "name": "大门",
                "rtsp": "rtsp://192.0.2.1/a",
                "username": "hunter2",
                "password_file": "/etc/hunter2",
            },
            {"id": "yard", "name": "院", "rtsp": "rtsp://192.0.2.2/a"},
        ],
    )
    assert changes(_settings(), other) == [
        "retention.max_days: 97 -> 120",
        "camera.gate.name: 门 -> 大门",
        "camera.gate.username: changed",
        "camera.gate.password_file: changed",
    ]


def test_cameras_go_by_their_id() -> None:
    camera = [
        {"id": "hall", "name": "厅", "rtsp": "rtsp://192.0.2.3/a"},
        {"id": "yard", "name": "院", "rtsp": "rtsp://192.0.2.2/a"},
    ]
    assert changes(_settings(), _settings(camera=camera)) == [
        "camera.gate: removed",
        "camera.hall: added",
    ]


def test_the_last_camera_goes_and_the_first_comes() -> None:
    one, none = _settings(), _settings(camera=[])
    assert changes(one, none) == ["camera.gate: removed", "camera.yard: removed"]
    assert changes(none, one) == ["camera.gate: added", "camera.yard: added"]


def test_lists_are_told_whole() -> None:
    other = _settings(storage={"volumes": ["/srv/a", "/srv/b"], "state_dir": Path("/x").as_posix()})
    assert changes(_settings(), other) == [
        "storage.volumes: [/srv/a] -> [/srv/a, /srv/b]",
        "storage.state_dir: /var/lib/x -> /x",
    ]
