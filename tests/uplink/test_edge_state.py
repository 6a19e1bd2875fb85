"""What edge tells, through its own endpoint; and what is believed when it does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from config.address import Address
from edge.alarms.codes import Code
from edge.alarms.register import Alarm, document
from retention.endpoint import Endpoint, Health
from tests.support.box import free_port
from uplink.device import Presence, SiteState
from uplink.edge_state import MISSES_MAX, EdgeState, site_state

TOLD: dict[str, Any] = {
    "cameras": {
        "gate": {
            "presence": "VLOST",
            "recording": False,
            "cause": "camera_auth",
            "codec": "h264",
            "width": 1920,
            "height": 1080,
            "bits_per_second": 4_000_000,
            "manufacturer": "Lab",
            "model": "IPC",
            "firmware": "1",
        }
    },
    "volumes": [{"name": "/a", "state": "ok", "capacity_bytes": 10, "free_bytes": 1}],
    "alarms": [
        document(
            Alarm(number=n, code=code, subject=subject, reason_zh="因", reason_en="why", since_us=7)
        )
        for n, (code, subject) in enumerate(
            [
                (Code.PICTURE_COVERED, "gate"),
                (Code.PICTURE_BLURRED, "gate"),
                (Code.STORAGE_FAILED, "/a"),
                (Code.RETENTION_AT_RISK, ""),
                (Code.AUDIT_BROKEN, ""),
            ]
        )
    ],
    "pressure": 0.125,
}


def test_the_state_is_read_and_lost_only_after_some_misses() -> None:
    port = free_port()
    endpoint = Endpoint(
        "127.0.0.1",
        port,
        CollectorRegistry(),
        lambda: Health(is_healthy=True, reasons={}),
        lambda: TOLD,
    )
    edge = EdgeState(Address(host="127.0.0.1", port=port))
    try:
        assert not edge.is_known
        asyncio.run(edge.poll())
    finally:
        endpoint.close()
    assert edge.is_known
    assert edge.state.is_running
    assert edge.state.camera("gate").presence is Presence.VLOST
    assert edge.state.camera("other").presence is Presence.OFF
    assert edge.state.volumes[0].capacity_bytes == 10
    assert edge.state.camera("gate").defects == ("picture_blurred", "picture_covered")
    assert edge.state.pressure == 0.125
    assert [(one.condition, one.camera, one.method, one.type) for one in edge.state.alarms] == [
        ("picture_covered", "gate", 5, 13),
        ("picture_blurred", "gate", 5, 11),
        ("storage_failed /a", "", 6, 1),
        ("retention_at_risk", "", 7, None),
    ]  # and nothing of what the standard has no name for
    assert edge.state.alarms[2].name == "存储故障 storage failure"
    assert edge.state.alarms[2].detail == "disk 1: 因 why"
    assert edge.state.alarms[2].since_us == 7
    for _ in range(MISSES_MAX - 1):
        asyncio.run(edge.poll())
        assert edge.state.is_running
    asyncio.run(edge.poll())
    assert edge.state == SiteState()


@pytest.mark.parametrize("key", ["cameras", "volumes", "alarms", "pressure"])
def test_another_shape_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="another shape"):
        site_state({name: value for name, value in TOLD.items() if name != key})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below),
    max_leaves=8,
)


@given(st.fixed_dictionaries(dict.fromkeys(TOLD, _JSON)))
def test_any_document(document: Any) -> None:
    try:
        site_state(document)
    except ValueError:
        pass
