"""edge.care.service: what it makes of looks and events; one camera's trouble is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from config.address import Address
from config.schema import Care as CareSettings
from config.schema import EncoderMinimum
from config.secrets import Secret
from edge.alarms.codes import Code
from edge.alarms.register import Fault
from edge.backoff import REFUSED_US
from edge.camera.description import Profile
from edge.camera.errors import CameraError
from edge.camera.event_kinds import Tamper
from edge.camera.inspection import ClockOffset, EncoderSettings, Inspection, Overlay
from edge.camera.onvif_service import WatchedEvent, WatchState
from edge.cameras import Cameras
from edge.care.service import FAILURES_MAX, RETRY_US, Care
from edge.care.store import KnownCameras
from retention.model import US_PER_S, GapCause, Marker, MarkerKind
from tests.edge.care.test_moving import Records

S = US_PER_S
T0 = 1_790_000_000 * S
GOOD = Inspection(
    manufacturer="Maker",
    model="M1",
    firmware="1.0",
    serial="S1",
    clock=ClockOffset(low_us=-100_000, high_us=100_000),
    is_ntp=False,
    encoder=EncoderSettings(
        codec="H264", width=1920, height=1080, fps=25, bits_per_second=4_000_000, gop_frames=50
    ),
    overlays=(
        Overlay(token="a", kind="Plain", text="门"),
        Overlay(token="b", kind="DateAndTime", text=""),
    ),
    profiles=(Profile(token="main", name="main", encoding="H264", width=1920, height=1080),),
    profile="main",
    troubles=(),
)


class Site:
    """Care of cameras whose answers are scripted, by a clock that the test turns."""

    runner: asyncio.Runner

    def __init__(self, folder: Path, *names: str, **settings: Any) -> None:
        self.answers: dict[str, Inspection | CameraError] = dict.fromkeys(names, GOOD)
        self.mono_us, self.is_trusted, self.epoch = 0, True, 1
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.faults: dict[tuple[Code, str], Fault] = {}
        self.tellings = self.looks = 0
        self.past: list[Fault] = []
        self.told: list[tuple[list[Marker], int | None]] = []
        self.records, self.unwatched = Records(), []  # type: ignore[var-annotated]
        self.cameras = {name: self._camera(name, place) for place, name in enumerate(names)}
        self.settings = SimpleNamespace(
            care=CareSettings(**settings), site=SimpleNamespace(timezone="Asia/Shanghai")
        )
        care: Any = Care
        self.care: Care = care(
            onvif=self,
            known=KnownCameras(folder),
            mover=SimpleNamespace(seek=None, is_ambiguous=lambda _: False),
            cameras=lambda: self.cameras,
            settings=lambda: self.settings,
            ledger=self,
            audit=self.records,
            alarms=self,
            clock=self,
            registry=(registry := CollectorRegistry()),
            is_time_trusted=lambda: self.is_trusted,
        )
        self.registry = registry

    def _camera(self, name: str, place: int) -> Any:
        onvif = Address.parse(f"192.0.2.{place + 1}:80")
        settings = SimpleNamespace(
            enabled=True, onvif=onvif, username="u", profile="main", name="门", set_clock="no"
        )
        recorder = SimpleNamespace(
            is_up=lambda _: True, camera_time=lambda _: None, format=None, gap_cause=None
        )
        password = Secret("Tr8!kept")
        return SimpleNamespace(
            id=name, settings=settings, password=password, recorder=recorder, onvif=onvif,
            moved_to=None,
        )  # fmt: skip

    def turn(self, seconds: int = 5) -> None:
        self.mono_us += seconds * S
        self.runner.run(self.care.turn())

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    # clock, ledger, alarms, the ONVIF process ------------------------------------------------

    def monotonic_us(self) -> int:
        return self.mono_us

    def utc_us(self) -> int:
        return T0 + self.mono_us

    def markers_seen(self, markers: list[Marker], _at_us: int, *, epoch: int | None = None) -> None:
        self.told.append((markers, epoch))

    def tell(self, source: str, faults: list[Fault]) -> None:
        assert source == "care"
        self.tellings += 1
        self.faults = {one.key: one for one in faults}

    def happened(self, fault: Fault) -> None:
        self.past.append(fault)

    def _name(self, address: str) -> str:
        return next(name for name, one in self.cameras.items() if str(one.onvif) == address)

    async def inspect(self, address: str, *_: str) -> Inspection:
        self.looks += 1
        answer = self.answers[self._name(address)]
        if isinstance(answer, CameraError):
            raise answer
        return answer

    async def care_of(self, address: str, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        name = self._name(address)
        self.calls.append((name, verb, arguments))
        answer = self.answers[name]
        assert isinstance(answer, Inspection)
        is_ntp = arguments["mode"] == "ntp"
        self.answers[name] = replace(answer, clock=GOOD.clock, is_ntp=is_ntp)
        return {}

    async def watch(self, camera: str, *_: str) -> None:
        self.care.watch_state(WatchState(camera=camera, state="on", detail=""))

    def unwatch(self, camera: str) -> None:
        self.unwatched.append(camera)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    async def care(
        site: Site, address: str, _u: str, _p: str, _profile: str, verb: str, arguments: Any
    ) -> dict[str, Any]:
        return await site.care_of(address, verb, arguments)

    def build(*names: str, **settings: Any) -> Site:
        site = Site(tmp_path, *names, **settings)
        site.runner = runner
        onvif: Any = SimpleNamespace(
            inspect=site.inspect,
            watch=site.watch,
            unwatch=site.unwatch,
            care=lambda *arguments: care(site, *arguments),
            watcher=None,
        )
        monkeypatch.setattr(site.care, "_onvif", onvif)
        return site

    with asyncio.Runner() as runner:
        yield build


Make = Callable[..., Site]


def event(kind: MarkerKind, **more: Any) -> WatchedEvent:
    told: dict[str, Any] = {"tamper": None, "is_active": None, "is_initial": False, "dropped": 0}
    return WatchedEvent(**{"camera": "gate", "kind": kind, "at_us": T0, **told, **more})


def failing(cause: GapCause = GapCause.STREAM_DAMAGED) -> CameraError:
    return CameraError(cause, "the camera's answer could not be understood")


def test_a_camera_that_fails_is_tried_again_and_the_others_go_on(make: Make) -> None:
    site = make("gate", "bad", "yard", look_minutes=5)
    site.answers["bad"] = failing()
    for _ in range(4):
        site.turn()
    assert site.value("nvr_care_ok", camera="gate") == 1
    assert site.value("nvr_care_ok", camera="bad") == 0
    assert site.value("nvr_care_last_success_timestamp_seconds", camera="bad") is None
    assert site.faults == {}
    for _ in range(FAILURES_MAX):
        site.turn(RETRY_US // S)
    assert list(site.faults) == [(Code.CAMERA_CARE_FAILED, "bad")]
    last_s = site.value("nvr_care_last_success_timestamp_seconds", camera="yard")
    assert last_s is not None
    assert last_s > T0 / S + 600
    site.cameras["bad"].recorder.is_up = lambda _: False  # it does not stream either: no news
    site.turn()
    assert site.faults == {}
    site.answers["bad"] = GOOD
    site.turn(RETRY_US // S)
    assert site.value("nvr_care_ok", camera="bad") == 1


def test_an_answer_that_tells_nothing_is_a_failure(make: Make) -> None:
    site = make("gate")
    site.answers["gate"] = replace(GOOD, profiles=(), troubles=("GetProfiles: no",))
    site.turn()
    document = site.care.document("gate")
    assert document is not None
    assert (document["ok"], document["trouble"]) == (False, "GetProfiles: no")


def test_nothing_is_told_before_each_camera_was_looked_at(make: Make) -> None:
    """Else what stood before a restart would end, and begin again."""
    site = make(*(f"c{n}" for n in range(9)))
    site.turn()
    assert site.tellings == 0
    site.turn()
    site.turn()
    assert site.tellings > 0


def test_what_is_wrong_is_told_in_words(make: Make) -> None:
    minimum = EncoderMinimum(resolution="2560x1440", fps=30)
    site = make("gate", encoder=minimum)
    site.cameras["gate"].password = Secret("admin")
    site.answers["gate"] = replace(GOOD, overlays=())
    site.turn()
    assert {code for code, _ in site.faults} == {
        Code.CAMERA_PASSWORD_WEAK,
        Code.CAMERA_SETTINGS_LOW,
        Code.CAMERA_NAME_DIFFERS,
    }
    low = site.faults[Code.CAMERA_SETTINGS_LOW, "gate"]
    assert "2560x1440" in low.reason_zh
    assert "30" in low.reason_en
    document = site.care.document("gate")
    assert document is not None
    assert len(document["findings"]) == 3
    assert "admin" not in repr(site.faults) + repr(document)


def test_another_device_is_noticed_once_and_on_record(make: Make) -> None:
    site = make("gate", look_minutes=5)
    site.turn()
    assert site.past == []
    site.answers["gate"] = replace(GOOD, serial="S2", firmware="2.0")
    site.turn(301)
    site.turn(301)
    (fault,) = site.past
    assert fault.code is Code.CAMERA_CHANGED
    assert "S2" in fault.reason_zh
    assert "2.0" in fault.reason_en
    assert [one["action"] for one in site.records.made] == ["camera_changed"]


# Clocks ----------------------------------------------------------------------------------------

OFF = ClockOffset(low_us=-7 * S, high_us=-7 * S + 1)


def test_a_clock_is_set_where_that_is_allowed_and_ours_is_trusted(make: Make) -> None:
    site = make("gate", "yard")
    for camera in site.answers:
        site.answers[camera] = replace(GOOD, clock=OFF)
    site.cameras["gate"].settings.set_clock = "set"
    site.is_trusted = False
    site.turn()
    assert site.calls == []
    site.is_trusted = True
    site.turn()  # at once, not at the next look
    assert [(name, verb) for name, verb, _ in site.calls] == [("gate", "set_clock")]
    (record,) = site.records.made
    assert (record["action"], record["subject"], record["off_ms"]) == ("camera_set", "gate", -7000)
    assert site.value("nvr_camera_set_total", camera="gate", what="clock", result="ok") == 1


def test_ntp_is_pointed_here_once_a_day_at_most(make: Make) -> None:
    site = make("gate", look_minutes=5, ntp_server="192.0.2.99")
    site.cameras["gate"].settings.set_clock = "ntp"
    site.turn()
    assert site.calls == [("gate", "set_clock", {"mode": "ntp", "server": "192.0.2.99"})]
    site.turn(301)
    assert len(site.calls) == 1
    site.answers["gate"] = replace(GOOD, clock=OFF, is_ntp=True)  # it did not help
    site.turn(301)
    assert len(site.calls) == 1
    site.turn(24 * 3600)
    assert len(site.calls) == 2


# Events ----------------------------------------------------------------------------------------


def test_events_are_marked_counted_and_told_with_their_epoch(make: Make) -> None:
    site = make("gate")
    site.turn()
    for kind in (MarkerKind.FACE, MarkerKind.VEHICLE):
        site.care.camera_event(event(kind))
    site.epoch = 2
    site.care.camera_event(event(MarkerKind.MOTION, is_active=True, at_us=T0 + S))
    site.care.camera_event(event(MarkerKind.MOTION, is_active=False, at_us=T0 + 2 * S))
    site.care.camera_event(event(MarkerKind.MOTION, is_active=True, is_initial=True))
    site.care.camera_event(replace(event(MarkerKind.FACE), camera="nosuch"))
    site.care.flush()
    told = [(epoch, sorted(one.kind.value for one in markers)) for markers, epoch in site.told]
    assert told == [(1, ["face", "vehicle"]), (2, ["motion"])]
    assert site.value("nvr_camera_events_total", camera="gate", kind="motion") == 1
    site.care.flush()
    assert len(site.told) == 2


def test_what_is_told_in_a_gap_or_too_often_is_left_out(make: Make) -> None:
    site = make("gate")
    site.turn()
    site.cameras["gate"].recorder.gap_cause = GapCause.DISK_FULL
    site.care.camera_event(event(MarkerKind.FACE, dropped=5))
    site.care.flush()
    assert site.told == []
    assert site.value("nvr_camera_events_left_out_total", camera="gate") == 6


def test_tamper_stands_from_its_rise_to_its_end(make: Make) -> None:
    site = make("gate")
    site.turn()
    key = (Code.CAMERA_TAMPER, "gate")
    covered = event(MarkerKind.TAMPER, tamper=Tamper.COVERED, is_active=True)
    site.care.camera_event(covered)
    assert site.faults[key].reason_zh == "遮挡"
    assert site.value("nvr_camera_tamper_told", camera="gate", kind="covered") == 1
    site.care.camera_event(replace(covered, tamper=Tamper.MOVED))
    assert site.faults[key].reason_en == "covered, moved"
    site.care.camera_event(replace(covered, is_active=False))
    site.care.camera_event(replace(covered, tamper=Tamper.MOVED, is_active=False, is_initial=True))
    assert key not in site.faults
    site.care.camera_event(replace(covered, is_active=None))  # it tells no end
    assert [one.code for one in site.past] == [Code.CAMERA_TAMPER]


def test_events_are_not_pulled_where_they_are_not_wanted(make: Make) -> None:
    site = make("gate")
    site.turn()
    assert site.value("nvr_camera_events_subscribed", camera="gate") == 1
    site.settings.care = CareSettings(events=False)
    site.turn()
    assert site.unwatched == ["gate"]
    assert site.value("nvr_camera_events_subscribed", camera="gate") is None


def test_nobody_knocks_at_a_camera_that_refuses_the_password(make: Make) -> None:
    """Whoever reads the stream does, and seldom; nor is a look that was refused made again soon."""
    site = make("gate")
    site.turn()
    site.answers["gate"] = failing(GapCause.CAMERA_AUTH)
    looked = site.looks
    site.cameras["gate"].recorder.gap_cause = GapCause.CAMERA_AUTH
    for _ in range(3):
        site.turn(3600)
    assert site.looks == looked
    assert site.unwatched == ["gate"]
    assert site.value("nvr_camera_events_subscribed", camera="gate") is None  # nobody tries
    site.cameras["gate"].recorder.gap_cause = None  # it streams, and refuses ONVIF
    site.turn()
    assert site.looks == looked + 1
    site.turn(REFUSED_US // S - 5)
    assert site.looks == looked + 1
    site.turn()
    assert site.looks == looked + 2
    assert site.value("nvr_camera_events_subscribed", camera="gate") == 1


def test_what_cannot_be_kept_of_cameras_is_counted(make: Make, tmp_path: Path) -> None:
    (tmp_path / ".care.json.new").mkdir()  # in the way
    site = make("gate")
    site.turn()
    assert site.value("nvr_care_ok", camera="gate") == 1
    assert (site.value("nvr_care_unkept_total") or 0) >= 1


def test_a_camera_that_leaves_leaves_no_series_behind(make: Make) -> None:
    site = make("gate", "yard")
    site.turn()
    del site.cameras["yard"]
    site.turn()
    assert site.value("nvr_care_ok", camera="yard") is None
    assert site.unwatched == ["yard"]
    assert site.care.document("yard") is None


def test_cameras_that_are_set_from_here_do_not_vote_on_the_time() -> None:
    """They would only say what they were told."""
    cameras = {
        mode: SimpleNamespace(
            settings=SimpleNamespace(set_clock=mode), recorder=SimpleNamespace(camera_clock=mode)
        )
        for mode in ("no", "set", "ntp")
    }
    site: Any = SimpleNamespace(in_service=cameras)
    voting: list[Any] = list(Cameras.clocks(site))
    assert voting == ["no"]
