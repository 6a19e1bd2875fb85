"""edge.camera.onvif against demo cameras, a stranger's device, and peers that lie."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.request import parse_http_list, parse_keqv_list

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.address import Address
from edge.camera.description import CameraDescription
from edge.camera.errors import CameraError
from edge.demo.plan import CameraPlan, StreamPlan
from retention.clock import SystemClock
from retention.model import US_PER_S, GapCause
from tests.peers import ipycam_device
from tests.peers.soap_peer import SoapPeer, http, soap_answer
from tests.support.cameras import demo_site

pytestmark = [
    pytest.mark.integration,
    # zeep's own: requests sessions that it never closes
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CLOCK = SystemClock()
HOUR_US = 3600 * US_PER_S
_PLAN = CameraPlan(
    id="gate", password="p/w &<", loop_seconds=2, stream=StreamPlan(width=320, height=180)
)


def describe(
    address: str,
    username: str = "recorder",
    password: str = "p/w &<",
    profile: str = "main",
    **more: float,
) -> CameraDescription:
    from edge.camera import onvif  # zeep loads slowly: not at collection

    return onvif.describe(Address.parse(address), username, password, profile, clock=CLOCK, **more)


def failure(address: str, **arguments: Any) -> CameraError:
    with pytest.raises(CameraError) as caught:
        describe(address, **arguments)
    assert "p/w" not in caught.value.sentence()
    return caught.value


def test_a_camera_describes_itself_and_gets_the_host_it_is_reached_at() -> None:
    plan = dataclasses.replace(_PLAN, stream_uri_authority="192.0.2.77:8554")
    with demo_site(plan) as site:
        told = describe(site["gate"].onvif)
    assert (told.manufacturer, told.model, told.serial) == ("Xueliang", "Demo camera", "DEMO-gate")
    assert told.stream_uris == ("rtsp://127.0.0.1:8554/main", "rtsp://192.0.2.77:8554/main")
    assert told.profile == "main"
    assert [(one.token, one.width) for one in told.profiles] == [("main", 320), ("sub", 320)]


@pytest.mark.parametrize("offset_us", [-8 * HOUR_US, 0, 9 * HOUR_US, -56 * 365 * 24 * HOUR_US])
def test_a_camera_whose_clock_is_off_is_measured_and_satisfied(offset_us: int) -> None:
    """It refuses a Created that is 30 s off its own clock."""
    with demo_site(dataclasses.replace(_PLAN, clock_offset_us=offset_us)) as site:
        told = describe(site["gate"].onvif)
    assert told.clock_offset_us is not None
    assert abs(told.clock_offset_us - offset_us) < US_PER_S


@pytest.mark.parametrize("profile", ["sub", "nosuch"])
def test_profiles_of_the_settings(profile: str) -> None:
    with demo_site(_PLAN) as site:
        if profile == "sub":
            assert describe(site["gate"].onvif, profile="sub").stream_uris[0].endswith("/sub")
        else:
            assert failure(site["gate"].onvif, profile=profile).cause is GapCause.CONFIG


@pytest.mark.parametrize("given", [("recorder", "wrong"), ("nobody", "p/w &<"), ("", "")])
def test_wrong_credentials_are_told_as_such(given: tuple[str, str]) -> None:
    with demo_site(_PLAN) as site:
        error = failure(site["gate"].onvif, username=given[0], password=given[1])
    assert error.cause is GapCause.CAMERA_AUTH
    assert "password" in error.detail


def test_no_subscription_is_left_and_no_call_is_made_that_is_not_needed() -> None:
    with SoapPeer() as peer:
        describe(peer.address)
    assert peer.calls == [
        "GetSystemDateAndTime",
        "GetDeviceInformation",
        "GetCapabilities",
        "GetProfiles",
        "GetStreamUri",
    ]
    assert b"UsernameToken" not in peer.requests[0]
    assert all(b"UsernameToken" in request for request in peer.requests[1:])
    assert not any(b"p/w" in request for request in peer.requests)


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.peers.ipycam_device"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    yield f"127.0.0.1:{int(process.stdout.readline())}"
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def test_a_device_that_nobody_here_wrote(stranger: str) -> None:
    """It also wants credentials for its clock, against the specification."""
    told = describe(stranger, ipycam_device.USERNAME, ipycam_device.PASSWORD)
    assert told.manufacturer == "PythonCam"
    assert told.stream_uris == (
        "rtsp://127.0.0.1:8554/video_main",
        "rtsp://192.0.2.9:8554/video_main",
    )
    assert told.clock_offset_us is not None
    assert abs(told.clock_offset_us) < 2 * US_PER_S
    assert max(one.width for one in told.profiles) == 1920
    assert failure(stranger, password="wrong").cause is GapCause.CAMERA_AUTH


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "' + "x" * 1000 + '">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 if n else str()};" * 20}">' for n in range(8))
    + "]><b>&a7;</b>"
)  # fmt: skip
EXTERNAL = '<?xml version="1.0"?><!DOCTYPE b SYSTEM "http://127.0.0.1:9/x.dtd"><b/>'
FAULT = (
    '<Envelope xmlns="http://www.w3.org/2003/05/soap-envelope"><Body><Fault><Code><Value>Receiver'
    "</Value></Code><Reason><Text>" + "y" * 5000 + "</Text></Reason></Fault></Body></Envelope>"
)
DAMAGED = {
    "no HTTP": b"\x00\xffSSH-2.0-x\r\n\r\n",
    "nothing": b"",
    "empty": http(b""),
    "no XML": http(b"<html>hello"),
    "garbage": http(bytes(range(256)) * 20),
    "an XML bomb": http(BOMB),
    "an outside DTD": http(EXTERNAL),
    "depth": http("<a>" * 100_000),
    "another answer": soap_answer("<tds:GetHostnameResponse/>"),
    "an empty envelope": soap_answer(""),
    "a redirect": http(b"", "302 Found", "Location: http://127.0.0.1:9/\r\n"),
    "a huge answer": http(b" " * (3 * 1024 * 1024)),
    "a huge head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
    "half an answer": http(soap_answer("<x/>"))[:-20],
    "a wrong length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n<a/>",
    "chunks of nonsense": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "no service": http(b"not here", "404 Not Found"),
    "a fault": http(FAULT, "500 Oops"),
    "multipart": http(b"--x\r\n\r\n", headers="Content-Type: multipart/related; boundary=x\r\n"),
}


@pytest.mark.parametrize("operation", ["GetSystemDateAndTime", "GetProfiles", "GetStreamUri"])
@pytest.mark.parametrize("lie", DAMAGED)
def test_a_camera_that_answers_nonsense_is_told_as_damaged(lie: str, operation: str) -> None:
    started = time.monotonic()
    with SoapPeer(lambda asked, _: DAMAGED[lie] if asked == operation else None) as peer:
        if operation == "GetSystemDateAndTime" and lie in ("a fault", "another answer"):
            assert describe(peer.address).clock_offset_us is None
            return
        error = failure(peer.address)
    assert error.cause in (GapCause.STREAM_DAMAGED, GapCause.CAMERA_OFFLINE)
    assert error.detail.isprintable()
    assert len(error.detail) <= 500
    assert "127.0.0.1" not in error.detail
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("operation", ["GetSystemDateAndTime", "GetStreamUri"])
def test_a_silent_camera_costs_one_time_out(operation: str) -> None:
    started = time.monotonic()
    with SoapPeer(lambda asked, _: peer.silence() if asked == operation else None) as peer:
        error = failure(peer.address, timeout_s=0.3)
    assert error.cause is GapCause.CAMERA_OFFLINE
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b"H"])
def test_a_dripping_camera_is_cut_off_by_the_deadline(head: bytes) -> None:
    """No single wait is long, so that no time-out of a socket ever fires."""
    started = time.monotonic()
    with SoapPeer(lambda _, __: peer.drip(head)) as peer:
        error = failure(peer.address, timeout_s=1.0, describe_s=0.6)
    assert error.cause is GapCause.CAMERA_OFFLINE
    assert time.monotonic() - started < 2


def test_a_closed_port_is_a_refusal() -> None:
    with SoapPeer() as peer:
        address = peer.address
    assert failure(address).cause is GapCause.CAMERA_REFUSED


def test_a_name_that_does_not_resolve_is_the_network() -> None:
    assert failure("nosuch.invalid:80").cause is GapCause.NETWORK


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_http_refusals_are_of_credentials(status: str) -> None:
    with SoapPeer(lambda _, __: http(b"no", status)) as peer:
        assert failure(peer.address).cause is GapCause.CAMERA_AUTH


def test_a_camera_that_wants_http_digest_gets_it() -> None:
    """Profile T devices may take HTTP digest (RFC 7616) instead of WS-Security."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    def lie(operation: str, request: bytes) -> bytes | None:
        if operation == "GetSystemDateAndTime":
            return None
        head = request.decode().split("\r\n\r\n")[0]
        lines = head.split("\r\n")
        given = [line[22:] for line in lines if line.startswith("Authorization: Digest ")]
        fields = parse_keqv_list(parse_http_list(given[0] if given else "a=b"))
        path = head.split(" ")[1]
        ours = md5(
            f"{md5('recorder:cam:p/w &<')}:n1:{fields.get('nc')}:{fields.get('cnonce')}:auth:"
            f"{md5('POST:' + path)}"
        )
        if fields.get("response") == ours:
            return None
        return http(
            b"", "401 No", 'WWW-Authenticate: Digest realm="cam", nonce="n1", qop="auth"\r\n'
        )

    with SoapPeer(lie) as peer:
        assert describe(peer.address).model == "Demo camera"
        assert failure(peer.address, password="wrong").cause is GapCause.CAMERA_AUTH


@pytest.mark.parametrize("is_clock_open", [True, False])
def test_a_refused_password_is_shown_twice_at_most(is_clock_open: bool) -> None:
    """By HTTP digest and by WS-Security, whichever the camera knows; it may lock the account."""
    shown = []

    def lie(operation: str, request: bytes) -> bytes | None:
        if operation == "GetSystemDateAndTime" and is_clock_open:
            return None
        if b"Authorization: Digest" in request or b"UsernameToken" in request:
            shown.append(operation)
        return http(
            b"", "401 No", 'WWW-Authenticate: Digest realm="cam", nonce="n1", qop="auth"\r\n'
        )

    with SoapPeer(lie) as peer:
        assert failure(peer.address, password="wrong").cause is GapCause.CAMERA_AUTH
    assert len(shown) == 2


@pytest.mark.parametrize(
    "challenge", ["Digest", "Digest x", 'Digest realm="a", algorithm=ROT13', "Basic x"]
)
def test_challenges_that_nobody_can_answer(challenge: str) -> None:
    answer = http(b"", "401 No", f"WWW-Authenticate: {challenge}\r\n")
    with SoapPeer(lambda _, __: answer) as peer:
        assert failure(peer.address).cause is GapCause.CAMERA_AUTH


def test_long_and_odd_names_are_kept_in_bounds() -> None:
    def lie(operation: str, _request: bytes) -> bytes | None:
        name = "名" * 300
        if operation == "GetDeviceInformation":
            return soap_answer(
                f"<tds:GetDeviceInformationResponse><tds:Manufacturer>{name}</tds:Manufacturer>"
                f"<tds:Model>{'x' * 100_000}</tds:Model>"
                "<tds:FirmwareVersion>a\n\tb</tds:FirmwareVersion>"
                "</tds:GetDeviceInformationResponse>"
            )
        if operation == "GetProfiles":
            one = f'<trt:Profiles token="{"t" * 300}"><tt:Name>{name}</tt:Name></trt:Profiles>'
            return soap_answer(f"<trt:GetProfilesResponse>{one * 100}</trt:GetProfilesResponse>")
        return None

    with SoapPeer(lie) as peer:
        told = describe(peer.address)
    assert told.manufacturer == "名" * 300
    assert len(told.model) == 500
    assert told.firmware == "a  b"
    assert told.serial == ""
    assert len(told.profiles) == 64
    assert told.profiles[0].name == "名" * 300


@pytest.mark.parametrize(
    "date",
    [
        "",
        "<tt:UTCDateTime/>",
        "<tt:UTCDateTime><tt:Time><tt:Hour>1</tt:Hour></tt:Time><tt:Date/></tt:UTCDateTime>",
        "<tt:UTCDateTime><tt:Time><tt:Hour>25</tt:Hour></tt:Time><tt:Date>x</tt:Date></tt:UTCDateTime>",
    ],
)
def test_a_clock_that_shows_no_time_is_unknown(date: str) -> None:
    body = (
        "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>Manual"
        f"</tt:DateTimeType>{date}</tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
    )
    with SoapPeer(
        lambda asked, _: soap_answer(body) if asked == "GetSystemDateAndTime" else None
    ) as peer:
        assert describe(peer.address).clock_offset_us is None


@given(
    operation=st.sampled_from(["GetSystemDateAndTime", "GetProfiles", "GetStreamUri"]),
    place=st.floats(0, 1),
    length=st.integers(0, 60),
    patch=st.binary(max_size=20) | st.none(),
)
@settings(max_examples=40, deadline=None)
def test_any_bytes_give_a_description_or_a_camera_error(
    operation: str, place: float, length: int, patch: bytes | None
) -> None:
    """Parts of a right answer are overwritten, cut out or doubled."""

    def lie(asked: str, _request: bytes) -> bytes | None:
        if asked != operation:
            return None
        body = peer.right(operation).split(b"\r\n\r\n", 1)[1]
        start = int(place * len(body))
        piece = body[start : start + length]
        return http(body[:start] + (piece * 2 if patch is None else patch) + body[start + length :])

    with SoapPeer(lie) as peer:
        try:
            describe(peer.address)
        except CameraError as error:
            sentence = error.sentence()
        else:
            sentence = ""
    assert "p/w" not in sentence


def test_topics_of_events_are_kept() -> None:
    """The mended type of b-2.xsd: zeep loses mixed content."""
    from edge.camera import onvif

    etree = importlib.import_module("lxml.etree")
    element = onvif._document("events.wsdl").types.get_element(
        "{http://docs.oasis-open.org/wsn/b-2}Topic"
    )
    parsed = element.parse(
        etree.fromstring(
            '<Topic xmlns="http://docs.oasis-open.org/wsn/b-2" Dialect="http://x">'
            "tns1:VideoSource/MotionAlarm</Topic>"
        ),
        onvif._document("events.wsdl").types,
    )
    assert parsed._value_1 == "tns1:VideoSource/MotionAlarm"


@pytest.mark.parametrize(
    "url", ["http://www.w3.org/2001/xml.xsd", "/etc/passwd", "../onvif.py", "x.xsd"]
)
def test_no_schema_comes_from_anywhere_else(url: str) -> None:
    from edge.camera import onvif

    schemas: Any = onvif.LocalSchemas
    with pytest.raises(onvif.SchemaMissing):
        schemas().load(url)
