"""What edge hears of the box's other services, from real endpoints on loopback."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from config.schema import Settings
from edge import neighbours
from edge.alarms.codes import Code
from edge.neighbours import faults_of_neighbours, free_of
from retention.endpoint import Endpoint, Health
from tests.support.box import free_port

PLATFORM: dict[str, Any] = {
    "name": "police",
    "authorised_by": "test",
    "server": "192.0.2.200:5060",
    "server_id": "34020000002000000001",
    "domain": "3402000000",
    "device_id": "34020000001180000001",
    "password_file": "/nowhere",
    "bind": "192.0.2.50",
}
ATTACK = {"code": "login_attack", "subject": "", "reason_zh": "", "reason_en": ""}


def settings_of(folder: Path, port: int, platforms: int) -> Settings:
    return Settings.model_validate(
        {
            "site": {"name": "x"},
            "storage": {"volumes": [str(folder / "a")], "state_dir": str(folder)},
            "metrics": {"bind": f"127.0.0.1:{port}"},
            "platform": [PLATFORM] * platforms,
        }
    )


def endpoint(stack: ExitStack, port: int, told: Any) -> None:
    healthy = Health(is_healthy=True, reasons={})
    one = Endpoint("127.0.0.1", port, CollectorRegistry(), lambda: healthy, lambda: told)
    stack.callback(one.close)


def test_without_platforms_uplink_may_be_away(tmp_path: Path) -> None:
    found = faults_of_neighbours(settings_of(tmp_path, free_port(), 0))
    assert found == {"console": [], "services": [], "uplink": []}


def test_without_an_answer_nothing_is_said_of_platforms(tmp_path: Path) -> None:
    found = faults_of_neighbours(settings_of(tmp_path, free_port(), 1))
    assert "uplink" not in found
    assert [one.code for one in found["services"]] == [Code.SERVICE_DOWN]


def test_what_they_tell_is_taken(tmp_path: Path) -> None:
    port = free_port()
    platforms = [
        {"platform": "police", "registered": False, "state": "waiting", "trouble": "auth"},
        {"platform": "city", "registered": True},
        "nonsense",
    ]
    with ExitStack() as stack:
        endpoint(stack, port + neighbours.UPLINK_PORT, {"platforms": platforms, "faults": []})
        endpoint(stack, port + neighbours.CONSOLE_PORT, {"faults": [ATTACK, 3]})
        found = faults_of_neighbours(settings_of(tmp_path, port, 1))
    assert found["services"] == []
    (told,) = found["uplink"]
    assert (told.code, told.subject) == (Code.PLATFORM_OFFLINE, "police")
    assert told.reason_zh == "平台不接受密码"
    assert told.reason_en == "the platform does not take the password"
    assert [one.code for one in found["console"]] == [Code.LOGIN_ATTACK]


def test_a_state_folder_that_runs_full(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, free_port(), 0)
    assert free_of(settings) == []
    gone = settings_of(tmp_path / "gone", free_port(), 0)
    assert [one.code for one in free_of(gone)] == [Code.STATE_FOLDER_FULL]
