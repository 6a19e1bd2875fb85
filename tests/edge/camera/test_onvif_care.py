"""edge.camera.onvif_care through its process: demo cameras, a stranger's device, and liars."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from edge.camera.errors import CameraError
from edge.camera.inspection import EncoderSettings, Inspection
from edge.camera.onvif_service import OnvifService
from edge.demo import onvif_answers
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, GapCause
from tests.peers import ipycam_device
from tests.peers.soap_peer import SoapPeer, http, soap_answer
from tests.support.cameras import demo_site
from tests.support.onvif import OnvifThread, onvif_thread
from tests.support.strangers import stranger_device

pytestmark = pytest.mark.integration
_PLAN = CameraPlan(
    id="gate", password="p/w &<", loop_seconds=2, stream=StreamPlan(width=320, height=180)
)
USER = ("recorder", "p/w &<")


@pytest.fixture(scope="module")
def onvif() -> Iterator[OnvifThread]:
    with onvif_thread() as thread:
        yield thread


def look(onvif: OnvifThread, address: str) -> Inspection:
    return onvif.run(lambda service: service.inspect(address, *USER, "main"))


def test_a_look_tells_everything_and_changes_nothing(onvif: OnvifThread) -> None:
    plan = dataclasses.replace(_PLAN, clock_offset_us=-7_300_000, osd="人行出口")
    with demo_site(plan) as site:
        found = look(onvif, site["gate"].onvif)
        calls = site["gate"].do(lambda camera: list(camera.device.calls if camera.device else ()))
    assert not any(call.startswith(("Set", "Create", "System")) for call in calls)
    assert (found.manufacturer, found.serial, found.profile) == ("Xueliang", "DEMO-gate", "main")
    assert found.clock is not None
    assert found.clock.low_us <= -7_300_000 <= found.clock.high_us
    assert found.clock.high_us - found.clock.low_us < US_PER_S
    assert found.is_ntp is False
    assert found.encoder == EncoderSettings(
        codec="H264", width=320, height=180, fps=10, bits_per_second=512_000, gop_frames=10
    )
    assert [(one.kind, one.text) for one in found.overlays or ()] == [
        ("Plain", "人行出口"),
        ("DateAndTime", ""),
    ]
    assert found.troubles == ()


def test_clock_encoder_and_name_are_set(onvif: OnvifThread) -> None:
    plan = dataclasses.replace(_PLAN, clock_offset_us=-56 * 365 * 24 * 3600 * US_PER_S)  # 1970
    wanted = EncoderSettings(
        codec="H264", width=640, height=360, fps=12, bits_per_second=800_000, gop_frames=24
    )

    async def work(service: OnvifService) -> Inspection:
        address = site["gate"].onvif

        async def care(verb: str, **arguments: Any) -> dict[str, Any]:
            return await service.care(address, *USER, "main", verb, arguments)

        await care("set_clock", mode="set")
        told = await care("apply_encoder", **dataclasses.asdict(wanted))
        assert EncoderSettings(**told["encoder"]) == wanted
        assert await care("set_osd", name="人行出口") == {"before": "gate"}
        assert await care("set_osd", name="人行出口") == {"before": "人行出口"}
        with pytest.raises(CameraError, match="refuses SetVideoEncoder"):
            await care("apply_encoder", **{**dataclasses.asdict(wanted), "width": 4000})
        with pytest.raises(CameraError, match="no care"):
            await care("reboot")
        return await service.inspect(address, *USER, "main")

    with demo_site(plan) as site:
        found = onvif.run(work)
        media = site["gate"].do(lambda camera: camera.media)
    assert found.clock is not None
    assert abs(found.clock.middle_us) < US_PER_S
    assert found.encoder == wanted
    assert (media.video.width, media.video.height) == (640, 360)  # the stream itself
    assert [one.text for one in found.overlays or ()][0] == "人行出口"


def test_ntp_is_pointed_at_this_box_as_the_camera_sees_it(onvif: OnvifThread) -> None:
    async def work(service: OnvifService) -> tuple[Any, Inspection]:
        address = site["gate"].onvif
        told = await service.care(address, *USER, "main", "set_clock", {"mode": "ntp"})
        return told, await service.inspect(address, *USER, "main")

    with demo_site(dataclasses.replace(_PLAN, clock_offset_us=90 * US_PER_S)) as site:
        told, found = onvif.run(work)
        server = site["gate"].do(lambda camera: camera.device.ntp_server if camera.device else "")
    assert told == {"server": "127.0.0.1"}
    assert server == "127.0.0.1"
    assert found.is_ntp is True


def test_a_device_that_nobody_here_wrote_and_that_cannot_half_of_it(onvif: OnvifThread) -> None:
    """ipycam: no OSD, its clock only with credentials."""
    with stranger_device() as address:
        found = onvif.run(
            lambda service: service.inspect(
                address, ipycam_device.USERNAME, ipycam_device.PASSWORD, "main"
            )
        )
    assert found.manufacturer == "PythonCam"
    assert found.clock is not None
    assert abs(found.clock.middle_us) < 2 * US_PER_S
    assert found.encoder is not None
    assert (found.encoder.codec, found.encoder.width) == ("H264", 1920)
    assert not found.overlays


FAULT = soap_answer(
    "<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason>"
    '<s:Text xml:lang="en">broken</s:Text></s:Reason></s:Fault>',
    "500 Oops",
)


def test_a_fault_or_nonsense_costs_only_what_it_would_have_told(onvif: OnvifThread) -> None:
    def lie(operation: str, _request: bytes) -> bytes | None:
        if operation == "GetDeviceInformation":
            return FAULT
        return http(b"\x00\xff") if operation == "GetOSDs" else None

    with SoapPeer(lie) as peer:
        found = look(onvif, peer.address)
    assert found.serial == ""
    assert found.overlays is None
    assert found.clock is not None
    assert found.encoder is not None
    assert len(found.troubles) == 2
    assert "broken" in found.troubles[0]


_ODD = (
    "<tt:VideoEncoderConfiguration><tt:Encoding>H264</tt:Encoding><tt:RateControl>"
    "<tt:FrameRateLimit>-7</tt:FrameRateLimit><tt:BitrateLimit>x</tt:BitrateLimit>"
    "</tt:RateControl></tt:VideoEncoderConfiguration>"
)


@pytest.mark.parametrize("encoder", ["", "<tt:VideoEncoderConfiguration/>", _ODD])
def test_odd_encoders_are_no_figures(onvif: OnvifThread, encoder: str) -> None:
    profile = f'<trt:Profiles token="main"><tt:Name>main</tt:Name>{encoder}</trt:Profiles>'

    def lie(operation: str, _request: bytes) -> bytes | None:
        if operation == "GetProfiles":
            return soap_answer(f"<trt:GetProfilesResponse>{profile}</trt:GetProfilesResponse>")
        if operation == "GetOSDs":
            return soap_answer(onvif_answers.osds([]))
        return None

    with SoapPeer(lie) as peer:
        found = look(onvif, peer.address)
    assert found.encoder is None or (found.encoder.fps, found.encoder.bits_per_second) == (0, 0)
    assert found.troubles == ()


def test_a_wrong_password_and_silence_are_told_as_such(onvif: OnvifThread) -> None:
    async def work(service: OnvifService) -> None:
        with pytest.raises(CameraError) as caught:
            await service.inspect(site["gate"].onvif, "recorder", "wrong", "main")
        assert caught.value.cause is GapCause.CAMERA_AUTH
        site["gate"].do(lambda camera: camera.set_onvif_silent())
        with pytest.raises(CameraError) as caught:
            await service.inspect(site["gate"].onvif, *USER, "main")
        assert caught.value.cause is GapCause.CAMERA_OFFLINE

    with demo_site(_PLAN) as site:
        onvif.run(work)
