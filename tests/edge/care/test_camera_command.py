"""``xueliang camera`` and the passwords of ``xueliang check``, against demo cameras, on record."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from config.load import load
from edge.check import Severity, check_machine
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S
from tests.support.box import Box, BoxCamera
from tests.support.cameras import demo_site

pytestmark = pytest.mark.integration
_PLAN = CameraPlan(
    id="gate",
    password="Tr8!kept",
    loop_seconds=2,
    stream=StreamPlan(width=320, height=180, fps=10, gop_frames=40),
)
MORE = """[care.encoder]
codec = "h264"
resolution = "640x360"
fps = 12
min_kbps = 600
max_gop_seconds = 2
"""


def box_of(folder: Path, onvif: str, password: str = "Tr8!kept") -> Box:
    camera = BoxCamera(id="gate", source=f'onvif = "{onvif}"', password=password)
    box = Box(folder=folder, cameras=[camera], more=MORE)
    box.write_config()
    box.state.mkdir(mode=0o700, exist_ok=True)
    return box


def test_what_is_below_the_minimum_is_shown_raised_and_on_record(tmp_path: Path) -> None:
    with demo_site(_PLAN) as site:
        box = box_of(tmp_path, site["gate"].onvif)
        text = box.xueliang("camera", "show", "gate").stdout
        for word in ("320x180", "640x360", "帧率 10 低于 12", "码率", "关键帧间隔 4.0"):
            assert word in text
        assert "画面字符“gate”不是“摄像机 gate”" in text
        told = box.json("camera", "apply-encoder", "gate")
        assert told["changed"] is True
        assert told["after"] == {
            "codec": "H264",
            "width": 640,
            "height": 360,
            "fps": 12,
            "bits_per_second": 600_000,
            "gop_frames": 24,
        }
        assert box.json("camera", "set-osd", "gate") == {
            "camera": "gate",
            "before": "gate",
            "text": "摄像机 gate",
        }
        assert "known: gate" in box.xueliang("camera", "show", "nosuch").stderr
        records = [one for one in box.json("audit", "list") if one["action"] == "camera_set"]
        width = site["gate"].do(lambda camera: camera.media.video.width)
    assert width == 640
    kept = [(one["outcome"], one["subject"], one["detail"].get("what")) for one in records]
    assert kept.count(("begun", "gate", "encoder")) == 1
    assert kept.count(("begun", "gate", "osd")) == 1
    assert [one["outcome"] for one in records].count("done") == 2
    (done,) = [one for one in records if "after" in one["detail"]]
    assert "640x360 12 fps" in done["detail"]["after"]
    assert "Tr8!kept" not in text + str(records)


def test_a_clock_is_not_given_while_ours_is_not_trusted(tmp_path: Path) -> None:
    with demo_site(dataclasses.replace(_PLAN, clock_offset_us=-90 * US_PER_S)) as site:
        box = box_of(tmp_path, site["gate"].onvif)
        result = box.xueliang("camera", "set-clock", "gate")
        calls = site["gate"].do(lambda one: list(one.device.calls if one.device else ()))
    # whether something disciplines the test machine's clock is not ours to say
    assert result.returncode in (0, 1)
    assert ("SetSystemDateAndTime" in calls) is (result.returncode == 0)
    assert result.returncode == 0 or "not trusted" in result.stderr


@pytest.mark.parametrize(
    ("password", "sentence"), [("admin123", "默认或常见口令"), ("Tr8!kept", "")]
)
def test_a_weak_password_is_a_finding_without_the_password(
    tmp_path: Path, password: str, sentence: str
) -> None:
    box = box_of(tmp_path, "127.0.0.1:9", password)
    found = [one for one in check_machine(load(box.config)) if "password" in one.sentence]
    assert [one.severity for one in found] == ([Severity.WARNING] if sentence else [])
    assert all(sentence in one.sentence and password not in one.line() for one in found)
