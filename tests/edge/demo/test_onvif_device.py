"""edge.demo.onvif_device, judged by onvif-zeep with the WSDLs that it ships."""

import base64
import dataclasses
import datetime
import http.client
import importlib
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from edge.demo import auth
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import US_PER_S, Codec
from tests.support.cameras import Camera, demo_site

pytestmark = [
    pytest.mark.integration,
    # zeep's own, on import and on unclosed sessions
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
_STREAM = StreamPlan(width=320, height=180)
_PLAN = CameraPlan(id="gate", password="p/w &<", loop_seconds=2, stream=_STREAM)
_WSDL = Path(sysconfig.get_path("data")) / f"lib/python{sysconfig.get_python_version()}"
_WSDL = _WSDL / "site-packages/wsdl"


def _client(camera: Camera, password: str | None = None) -> Any:
    onvif = importlib.import_module("onvif")  # SOAP clients stay out of the import law's graph
    host, port = camera.onvif.split(":")
    given = camera.plan.password if password is None else password
    return onvif.ONVIFCamera(host, int(port), "recorder", given, str(_WSDL), adjust_time=True)


def _fault(act: Any) -> str:
    with pytest.raises(importlib.import_module("onvif").ONVIFError) as found:
        act()
    return str(found.value)


def test_a_client_finds_the_stream() -> None:
    with demo_site(_PLAN) as site:
        client = _client(site["gate"])
        device, media = client.create_devicemgmt_service(), client.create_media_service()
        assert device.GetDeviceInformation().SerialNumber == "DEMO-gate"
        assert len(device.GetServices({"IncludeCapability": False})) == 3
        assert device.GetHostname().Name == "gate"
        assert device.GetScopes()[-1].ScopeItem.endswith("/name/gate")
        first = media.GetProfiles()[0]
        resolution = first.VideoEncoderConfiguration.Resolution
        assert (first.token, resolution.Width, resolution.Height) == ("main", 320, 180)
        assert media.GetProfile({"ProfileToken": "sub"}).token == "sub"
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        ask = {"StreamSetup": setup, "ProfileToken": "main"}
        assert media.GetStreamUri(ask).Uri == site["gate"].url
        assert "Profile token" in _fault(lambda: media.GetProfile({"ProfileToken": "none"}))
        assert "Not Implemented" in _fault(media.GetVideoSources)


def test_a_wrong_password_is_refused() -> None:
    with demo_site(_PLAN) as site:
        device = _client(site["gate"], "wrong").create_devicemgmt_service()
        assert "not Authorized" in _fault(device.GetDeviceInformation)


def test_the_clock_is_told_to_anyone_and_credentials_go_by_it() -> None:
    """A camera hours off takes a client that follows its clock, and none that does not."""
    plan = dataclasses.replace(_PLAN, clock_offset_us=-5 * 3600 * US_PER_S)
    with demo_site(plan) as site:
        client = _client(site["gate"])
        assert client.create_devicemgmt_service().GetDeviceInformation().Model == "Demo camera"
        site["gate"].do(lambda camera: setattr(camera, "clock_offset_us", 0))
        device = client.create_devicemgmt_service()
        assert "not Authorized" in _fault(device.GetDeviceInformation)


def test_another_address_is_named_when_planned() -> None:
    plan = dataclasses.replace(_PLAN, stream_uri_authority="203.0.113.9:8554")
    with demo_site(plan) as site:
        media = _client(site["gate"]).create_media_service()
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        found = media.GetStreamUri({"StreamSetup": setup, "ProfileToken": "main"})
        assert found.Uri == "rtsp://203.0.113.9:8554/main"


def test_h265_is_told_without_an_encoder_configuration() -> None:
    plan = dataclasses.replace(_PLAN, stream=StreamPlan(codec=Codec.H265, width=320, height=180))
    with demo_site(plan) as site:
        found = _client(site["gate"]).create_media_service().GetProfiles()
        assert [one.VideoEncoderConfiguration for one in found] == [None, None]


@pytest.mark.parametrize(
    ("body", "status"), [(b"garbage", 400), (b"<!DOCTYPE x><x/>", 400), (b"x" * 70_000, 400)]
)
def test_bad_bodies_are_refused_and_the_device_lives_on(body: bytes, status: int) -> None:
    with demo_site(_PLAN) as site:
        for _ in range(2):
            assert _post(site["gate"], body) == status


def test_a_token_is_taken_once() -> None:
    with demo_site(_PLAN) as site:
        body = site["gate"].do(lambda camera: _authorised(camera.password, camera.utc_us()))
        assert [_post(site["gate"], body), _post(site["gate"], body)] == [200, 400]


def test_a_silent_device_takes_the_call_and_says_nothing() -> None:
    with demo_site(_PLAN) as site:
        site["gate"].do(lambda camera: camera.set_onvif_silent())
        with pytest.raises(TimeoutError):
            _post(site["gate"], b"<x/>")


def _post(camera: Camera, body: bytes) -> int:
    connection = http.client.HTTPConnection(camera.onvif, timeout=0.5)
    try:
        connection.request("POST", "/onvif/device_service", body)
        return connection.getresponse().status
    finally:
        connection.close()


def _authorised(password: str, utc_us: int) -> bytes:
    created = datetime.datetime.fromtimestamp(utc_us / 1e6, datetime.UTC).isoformat()
    digest = auth.wsse_digest(nonce=b"once", created=created, password=password)
    wss = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"
    return f"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>
<Security xmlns="{wss}-secext-1.0.xsd"><UsernameToken><Username>recorder</Username>
<Password>{digest}</Password><Nonce>{base64.b64encode(b"once").decode()}</Nonce>
<Created xmlns="{wss}-utility-1.0.xsd">{created}</Created></UsernameToken></Security></s:Header>
<s:Body><GetDeviceInformation xmlns="http://www.onvif.org/ver10/device/wsdl"/></s:Body>
</s:Envelope>""".encode()
