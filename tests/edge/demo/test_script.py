"""edge.demo.script: commands to a demo site in a process of its own."""

import asyncio
import json
from typing import Any

import pytest

from edge.demo import script
from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.rtsp_server import Misbehaviour
from edge.demo.site import DemoSite
from retention.clock import SystemClock
from retention.model import Codec

_PLAN = CameraPlan(
    id="gate", password="p", loop_seconds=1, stream=StreamPlan(width=320, height=180)
)


def _perform(*commands: dict[str, Any] | bytes) -> tuple[DemoSite, list[dict[str, Any]]]:
    async def play() -> tuple[DemoSite, list[dict[str, Any]]]:
        async with DemoSite([_PLAN], SystemClock()) as site:
            lines = [
                one if isinstance(one, bytes) else json.dumps(one).encode() for one in commands
            ]
            return site, [await script.perform(site, line) for line in lines]

    return asyncio.run(play())


def test_an_introduction_says_how_to_reach_each_camera() -> None:
    site, _ = _perform()
    (camera,) = json.loads(json.dumps(script.introduce(site)))["cameras"]
    assert camera["rtsp"].startswith("rtsp://127.0.0.1:")
    assert camera["onvif"].startswith("127.0.0.1:")
    assert (camera["username"], camera["password"]) == ("recorder", "p")
    assert (camera["codec"], camera["width"], camera["height"]) == (Codec.H264, 320, 180)


def test_every_command_is_carried_out() -> None:
    names = ("stall", "resume", "drop", "unplug", "plug", "broken_unit", "sent", "counts")
    commands: list[dict[str, Any]] = [{"do": name} for name in names]
    commands += [
        {"do": "password", "password": "new"},
        {"do": "misbehave", "how": "busy"},
        {"do": "raw", "hex": "00ff"},
        {"do": "jump", "by_us": 5},
        {"do": "freeze", "frozen": True},
        {"do": "clock", "offset_us": -7},
        {"do": "authority", "authority": "203.0.113.9:554"},
        {"do": "onvif_silent", "silent": True},
        {"do": "switch", "stream": {"width": 640, "height": 360}},
    ]
    site, answers = _perform(*({"camera": "gate", **one} for one in commands))
    assert [answer["ok"] for answer in answers] == [True] * len(commands)
    camera = site["gate"]
    assert (camera.password, camera.misbehaviour) == ("new", Misbehaviour.BUSY)
    assert camera.clock_offset_us == -7
    assert camera.stream_authority() == "203.0.113.9:554"
    assert camera.media.video.height == 360


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense\n",
        b"[]",
        b'{"do": "stall"}',
        b'{"camera": "none", "do": "stall"}',
        b'{"camera": "gate", "do": "explode"}',
        b'{"camera": "gate", "do": "password"}',
        b'{"camera": "gate", "do": "switch", "stream": {"codec": "h265"}}',
    ],
)
def test_a_wrong_line_is_answered(line: bytes) -> None:
    _, answers = _perform(line)
    assert answers[0]["ok"] is False
    assert answers[0]["error"]
