from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.address import Address
from edge.camera.description import Profile
from edge.camera.errors import CameraError
from edge.camera.media_choice import choose_profile, service_address, stream_candidates
from retention.model import GapCause

REACHED = Address(host="192.0.2.10", port=8080)


def profile(token: str, width: int = 0, height: int = 0, encoding: str = "H264") -> Profile:
    return Profile(token=token, name=f"name {token}", encoding=encoding, width=width, height=height)


PROFILES = (
    profile("p0", 640, 360),
    profile("p1", 3840, 2160, "JPEG"),
    profile("p2", 2560, 1440, "H265"),
    profile("p3", 2560, 1440),
    profile("audio", encoding=""),
)


@pytest.mark.parametrize(
    ("wanted", "token"),
    [("main", "p2"), ("sub", "p3"), ("p0", "p0"), ("NAME P3", "p3"), ("p1", "p1")],
)
def test_token_and_name_come_before_size_and_jpeg_is_no_main_stream(
    wanted: str, token: str
) -> None:
    assert choose_profile(PROFILES, wanted).token == token


def test_a_profile_called_main_is_main_whatever_its_size() -> None:
    assert choose_profile((*PROFILES, profile("main", 1, 1)), "main").token == "main"


def test_profiles_without_any_encoder_are_tried_in_their_order() -> None:
    bare = (profile("a", encoding=""), profile("b", encoding=""))
    assert choose_profile(bare, "main").token == "a"
    assert choose_profile(bare, "sub").token == "b"


@pytest.mark.parametrize(
    ("profiles", "wanted"), [((), "main"), (PROFILES[:1], "sub"), (PROFILES, "x")]
)
def test_a_profile_that_is_not_there_is_a_matter_of_settings(
    profiles: tuple[Profile, ...], wanted: str
) -> None:
    with pytest.raises(CameraError) as caught:
        choose_profile(profiles, wanted)
    assert caught.value.cause is GapCause.CONFIG
    assert wanted in caught.value.detail


@pytest.mark.parametrize(
    ("uri", "candidates"),
    [
        ("rtsp://192.0.2.10:554/a?b=1", ["rtsp://192.0.2.10:554/a?b=1"]),
        ("rtsp://192.0.2.10/a", ["rtsp://192.0.2.10:554/a"]),
        ("rtsp://10.0.0.5:8554/a", ["rtsp://192.0.2.10:8554/a", "rtsp://10.0.0.5:8554/a"]),
        ("rtsp://u:p@10.0.0.5/a", ["rtsp://192.0.2.10:554/a", "rtsp://10.0.0.5/a"]),
        ("rtsp://127.0.0.1:8554/a", ["rtsp://192.0.2.10:8554/a"]),
        ("rtsp://0.0.0.0/a", ["rtsp://192.0.2.10:554/a"]),
        ("rtsp://LOCALHOST/a", ["rtsp://192.0.2.10:554/a"]),
        ("rtsps://cam.lan/a", ["rtsps://192.0.2.10:554/a", "rtsps://cam.lan/a"]),
    ],
)
def test_the_host_it_is_reached_at_comes_first(uri: str, candidates: list[str]) -> None:
    assert list(stream_candidates(uri, REACHED)) == candidates


def test_an_ipv6_camera_keeps_its_brackets() -> None:
    reached = Address(host="2001:db8::1", port=80)
    assert stream_candidates("rtsp://10.0.0.5/a", reached)[0] == "rtsp://[2001:db8::1]:554/a"


@pytest.mark.parametrize(
    "uri",
    ["", "http://h/a", "rtsp://", "rtsp://h:99999/", "rtsp://[::1/", "rtsp://h:0/", "rtsp://h/\n",
     "rtsp://h/a b", "rtsp://h/é", "rtsp://h/" + "x" * 3000],
)  # fmt: skip
def test_what_is_no_stream_address_is_said_to_be_none(uri: str) -> None:
    with pytest.raises(CameraError) as caught:
        stream_candidates(uri, REACHED)
    assert caught.value.cause is GapCause.STREAM_DAMAGED


@pytest.mark.parametrize(
    ("xaddr", "url"),
    [
        ("http://192.0.2.10:8080/onvif/media", "http://192.0.2.10:8080/onvif/media"),
        ("http://192.0.2.10/onvif/media", "http://192.0.2.10:80/onvif/media"),
        ("http://10.0.0.5:80/onvif/media", "http://192.0.2.10:8080/onvif/media"),
        ("https://192.0.2.10/onvif/media", "http://192.0.2.10:8080/onvif/media"),
        ("", "http://192.0.2.10:8080/fallback"),
        ("http://[", "http://192.0.2.10:8080/fallback"),
        ("http://192.0.2.10/a b", "http://192.0.2.10:80/fallback"),
    ],
)
def test_services_are_called_on_the_camera_only(xaddr: str, url: str) -> None:
    assert service_address(xaddr, REACHED, "/fallback") == url


@given(st.text(max_size=60) | st.text(max_size=60).map("rtsp://".__add__))
def test_whatever_a_camera_names_stays_an_address_without_credentials(text: str) -> None:
    assert urlsplit(service_address(text, REACHED, "/f")).hostname == REACHED.host
    try:
        found = stream_candidates(text, REACHED)
    except CameraError:
        return
    assert all("@" not in urlsplit(uri).netloc and uri.isascii() for uri in found)
