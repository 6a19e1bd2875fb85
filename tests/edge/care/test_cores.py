"""What care judges by: encoders, texts, passwords, what is known, markers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.address import Address
from edge.camera.description import Profile
from edge.camera.inspection import EncoderSettings, Inspection, Overlay
from edge.care.encoder import Minimum, mended, shortfalls
from edge.care.finding import joined
from edge.care.known import (
    Candidate,
    Known,
    Moved,
    address_of,
    candidates,
    changes,
    dumps,
    learnt,
    loads,
)
from edge.care.markers import BURST, MarkerBook
from edge.care.overlays import overlay_findings
from edge.care.passwords import weakness
from retention.model import US_PER_S, Marker, MarkerKind

SETTINGS = st.builds(
    EncoderSettings,
    codec=st.sampled_from(["H264", "JPEG", "MPEG4", "H265", "", "X"]),
    width=st.integers(0, 4000),
    height=st.integers(0, 4000),
    fps=st.integers(0, 60),
    bits_per_second=st.integers(0, 9_000_000),
    gop_frames=st.integers(0, 500),
)
MINIMA = st.builds(
    Minimum,
    codec=st.sampled_from(["", "h264"]),
    size=st.none() | st.tuples(st.integers(10, 2000), st.integers(10, 2000)),
    fps=st.integers(0, 30),
    min_kbps=st.integers(0, 4000),
    max_gop_seconds=st.sampled_from([0, 1, 2, 4.0]),
)


@given(SETTINGS, MINIMA)
def test_what_is_mended_is_not_below_the_minimum_and_is_mended_once(
    settings: EncoderSettings, minimum: Minimum
) -> None:
    found = mended(settings, minimum)
    assert list(shortfalls(found, minimum)) == []
    assert mended(found, minimum) == found
    assert found.fps >= settings.fps
    assert found.bits_per_second >= settings.bits_per_second


@given(SETTINGS)
def test_without_a_minimum_nothing_is_below_it(settings: EncoderSettings) -> None:
    assert list(shortfalls(settings, Minimum())) == []
    assert mended(settings, Minimum()) == settings


def test_each_shortfall_is_told_in_words() -> None:
    settings = EncoderSettings(
        codec="JPEG", width=1280, height=720, fps=12, bits_per_second=512_000, gop_frames=100
    )
    minimum = Minimum(codec="h264", size=(1920, 1080), fps=25, min_kbps=2000, max_gop_seconds=2)
    found = joined(shortfalls(settings, minimum))
    assert found is not None
    for word in ("JPEG", "1280x720", "1920x1080", "12", "25", "512", "2000", "8.3"):
        assert word in found.zh
        assert word in found.en
    upright = replace(settings, codec="H264", width=1080, height=1920, fps=25, gop_frames=50)
    assert [one.en for one in shortfalls(upright, minimum)] == ["bit rate 512 kbit/s is below 2000"]


def overlay(kind: str, text: str = "") -> Overlay:
    return Overlay(token="t", kind=kind, text=text)


@pytest.mark.parametrize(
    ("overlays", "missing"),
    [
        ([overlay("Plain", "人行出口"), overlay("DateAndTime")], []),
        ([overlay("Plain", " 人行出口 "), overlay("Date"), overlay("Time")], []),
        ([overlay("Plain", "x"), overlay("Plain", "人行出口"), overlay("DateAndTime")], []),
        ([overlay("Plain", "Camera 01"), overlay("DateAndTime")], ["not '人行出口'"]),
        ([overlay("DateAndTime")], ["does not show the name"]),
        ([overlay("Plain", "人行出口"), overlay("Date")], ["no date and time"]),
        ([], ["does not show the name", "no date and time"]),
    ],
)
def test_texts_in_the_picture(overlays: list[Overlay], missing: list[str]) -> None:
    found = list(overlay_findings(overlays, "人行出口"))
    assert len(found) == len(missing)
    assert all(word in one.en for one, word in zip(found, missing, strict=True))


@pytest.mark.parametrize(
    "password",
    ["", "admin", "ADMIN", "12345", "recorder", "recorder123", "redrocer", "Ab1!", "abcdefgh"]
    + ["11111111", "hikvision123", "Password123", "87654321", "onlysmallletters", "Small4Caps"[:7]],
)
def test_weak_passwords(password: str) -> None:
    assert weakness("recorder", password) is not None


@pytest.mark.parametrize("password", ["Tr8!kept", "p/w &<Q1", "correct-Horse-7", "密码Aa1!xyzw"])
def test_sound_passwords(password: str) -> None:
    assert weakness("recorder", password) is None


@given(st.text(min_size=4, max_size=30), st.text(max_size=10))
def test_a_finding_never_holds_the_password(password: str, username: str) -> None:
    found = weakness(username, password + "§")
    assert found is None or password + "§" not in found.zh + found.en


# Known -----------------------------------------------------------------------------------------

TEXTS = st.text(max_size=8)
KNOWN = st.builds(
    Known,
    manufacturer=TEXTS,
    model=TEXTS,
    firmware=TEXTS,
    serial=TEXTS,
    profiles=st.lists(TEXTS, max_size=3).map(tuple),
    endpoint=TEXTS,
    moved=st.none()
    | st.builds(Moved, configured=TEXTS, address=TEXTS, since_us=st.integers(0, 1 << 50)),
)


@given(st.dictionaries(st.text(max_size=5), KNOWN, max_size=4))
def test_what_is_known_outlives_a_restart(cameras: dict[str, Known]) -> None:
    assert loads(dumps(cameras)) == cameras


@given(st.text(max_size=60) | st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["a", "moved", "profiles"]), inner, max_size=3),
).map(str))  # fmt: skip
def test_a_damaged_account_is_no_account(text: str) -> None:
    try:
        loads(text)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass


def looked(**told: str) -> Inspection:
    texts = {"manufacturer": "", "model": "", "firmware": "", "serial": "", **told}
    return Inspection(
        **texts,
        clock=None,
        is_ntp=None,
        encoder=None,
        overlays=None,
        profiles=(Profile(token="main", name="m", encoding="H264", width=1, height=2),),
        profile="main",
        troubles=(),
    )


def test_changes_are_noticed_once_and_a_first_look_is_none() -> None:
    first = learnt(Known(endpoint="e"), looked(serial="S1", firmware="1.0"))
    assert list(changes(Known(endpoint="e"), first)) == []
    assert first.endpoint == "e"
    second = learnt(first, looked(serial="S2", firmware="1.0"))
    assert [one.en for one in changes(first, second)] == ["serial changed from S1 to S2"]
    assert list(changes(second, learnt(second, looked(serial="S2")))) == []  # it told no firmware
    told = learnt(second, replace(looked(), profiles=()))
    assert told == second
    other = Profile(token="main", name="m", encoding="H264", width=9, height=9)
    (change,) = changes(second, learnt(second, replace(looked(), profiles=(other,))))
    assert "main H264 9x9" in change.zh


def test_an_address_holds_as_long_as_the_settings_name_the_old_one() -> None:
    old, new = Address.parse("192.0.2.10:80"), Address.parse("192.0.2.77:80")
    known = Known(moved=Moved(configured=str(old), address=str(new), since_us=1))
    assert address_of(known, old) == new
    assert address_of(known, Address.parse("192.0.2.11:80")) == Address.parse("192.0.2.11:80")
    assert address_of(None, old) == old
    assert address_of(known, None) is None
    damaged = Known(moved=Moved(configured=str(old), address="x", since_us=1))
    assert address_of(damaged, old) == old


def test_who_is_asked_for_the_serial() -> None:
    def device(host: int, endpoint: str, hardware: str = "M1") -> Candidate:
        address = Address.parse(f"192.0.2.{host}:80")
        return Candidate(address=address, endpoint=endpoint, hardware=hardware)

    devices = {one.address: one for one in (device(1, "a"), device(2, "b"), device(3, "c", "M2"))}
    nobody: frozenset[Address] = frozenset()
    taken = frozenset([Address.parse("192.0.2.1:80")])

    def asked(known: Known, taken: frozenset[Address]) -> list[str]:
        return [one.endpoint for one in candidates(known, devices, taken)]

    assert asked(Known(endpoint="b", model="M2"), nobody) == ["b"]
    assert asked(Known(endpoint="z"), nobody) == []
    assert asked(Known(model="m1"), nobody) == ["a", "b"]
    assert asked(Known(model="M1"), taken) == ["b"]
    assert asked(Known(), taken) == ["b", "c"]


def test_markers_are_bounded_a_camera_and_told_by_epoch() -> None:
    book = MarkerBook()
    day_s = 24 * 3600
    kept = sum(
        book.add(Marker(at_us=s, camera="gate", kind=MarkerKind.MOTION), s % 2, s * US_PER_S)
        for s in range(day_s)
    )
    assert kept <= BURST + day_s // 60 + 1
    assert book.add(Marker(at_us=1, camera="gate", kind=MarkerKind.FACE), 0, day_s * US_PER_S)
    told = book.take()
    assert set(told) == {0, 1}
    assert sum(map(len, told.values())) == kept + 1
    assert book.take() == {}
