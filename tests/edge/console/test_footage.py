"""Stored bytes through the console: for a reason on record, within its range, as they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.instants import format_instant
from config.load import parse
from edge.console.deliveries import RECORD_US, Delivery, What
from edge.console.footage import Footage
from edge.console.grants import Grant
from edge.console.roles import Permission, Role
from retention.audit import AuditLog
from retention.model import US_PER_S, Codec, GapCause, Segment
from retention.read import Store
from tests.retention.storing import Site
from tests.retention.writing import T0
from tests.support.console_site import Browser, ConsoleSite
from tests.support.demo_footage import STREAM, Take, record_take

S = US_PER_S
SMALL = replace(STREAM, width=160, height=96)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """``gate-exit``: 0 to 12 s in two segments, a gap, 20 to 24 s; ``hall``: 6 s with A-law."""
    site = Site.make(tmp_path_factory.mktemp("footage") / "box")
    with site.running(("gate-exit", "hall")) as recorder:
        takes = [
            Take(
                camera="gate-exit",
                run="1" * 32,
                first_number=1,
                cuts_us=[T0, T0 + 6 * S, T0 + 12 * S],
                stream=SMALL,
            ),
            Take(
                camera="gate-exit",
                run="2" * 32,
                first_number=3,
                cuts_us=[T0 + 20 * S, T0 + 24 * S],
                stream=SMALL,
            ),
            Take(
                camera="hall",
                run="3" * 32,
                first_number=1,
                cuts_us=[T0, T0 + 6 * S],
                stream=replace(SMALL, audio=Codec.ALAW),
            ),
        ]
        for take in takes:
            record_take(recorder, take)
        recorder.opened.ledger.gap("gate-exit", T0 + 12 * S, T0 + 20 * S, GapCause.NETWORK, "x")
        site.at(24)
    return site


@pytest.fixture
def site(store: Site, tmp_path: Path) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path / "console", cameras=("gate-exit", "hall")) as found:
        found.clock.now_us = T0 + 24 * S
        found.parts.footage.close()
        found.parts.footage = Footage(store.index_path, store.volumes, found.clock)
        yield found


def segment(store: Site, number: int, camera: str = "gate-exit") -> tuple[Segment, bytes]:
    with Store(store.index_path, store.volumes) as reader:
        found = reader.segment(camera, number)
    assert found is not None
    return found, (store.volumes[0] / found.path).read_bytes()


def granted(person: Browser, site: ConsoleSite, from_s: int, to_s: int, *cameras: str) -> str:
    """The grant's part of addresses."""
    answer = person.post(
        "/playback",
        camera=list(cameras or ("gate-exit",)),
        **{"from": _local(from_s), "to": _local(to_s)},
        reason="家长询问",
    )
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"].rpartition("/")[2])


def _local(second: int) -> str:
    return format_instant(T0 + second * S)[:19]


def listed(
    person: Browser, grant: str, from_s: float, to_s: float, camera: str = "gate-exit"
) -> Any:
    return person.get(
        f"/footage/{grant}/{camera}/playlist.json?from_us={T0 + int(from_s * S)}"
        f"&to_us={T0 + int(to_s * S)}"
    )


def test_pieces_are_the_stored_bytes_and_the_playlist_finds_them(
    site: ConsoleSite, store: Site
) -> None:
    person = site.person(Role.HEAD)
    grant = granted(person, site, 0, 24)
    told = listed(person, grant, 3, 21).json()
    assert [(one["number"], one["zero_us"]) for one in told["chapters"]] == [
        (1, T0),
        (2, T0 + 6 * S),
        (3, T0 + 20 * S),
    ]
    assert told["gaps"] == [{"start_us": T0 + 12 * S, "end_us": T0 + 20 * S, "cause": "network"}]
    assert told["known_us"] == T0 + 21 * S
    # from the key frame before on: groups are 2 s long
    assert told["chapters"][0]["pieces"][0][:3] == [1, T0 + 2 * S, T0 + 4 * S]
    for chapter in told["chapters"]:
        found, content = segment(store, chapter["number"])
        base = f"/footage/{grant}/gate-exit/{chapter['number']}"
        assert person.get(f"{base}/head.mp4").content == content[: found.fragments[0].offset]
        for place, start_us, end_us, size, is_key in chapter["pieces"]:
            entry = found.fragments[place]
            assert (entry.start_us, entry.end_us, entry.size_bytes) == (start_us, end_us, size)
            assert entry.is_key == bool(is_key)
            piece = person.get(f"{base}/{place}.m4s").content
            assert piece == content[entry.offset : entry.offset + entry.size_bytes]


def test_what_a_reason_does_not_cover_is_not_shown(site: ConsoleSite, store: Site) -> None:
    person, other = site.person(Role.HEAD), site.person(Role.HEAD, name="other-head")
    grant = granted(person, site, 3, 5)
    base = f"/footage/{grant}/gate-exit"
    # 3 to 5 s: the groups that touch it; their key frames are in them
    allowed = [place for place in range(3) if person.get(f"{base}/1/{place}.m4s").is_success]
    assert allowed == [1, 2]
    assert person.get(f"{base}/2/0.m4s").status_code == 403
    assert person.get(f"{base}/2/head.mp4").status_code == 403
    assert person.get(f"{base}/3/head.mp4").status_code == 403
    assert person.get(f"{base}/9/head.mp4").status_code == 404
    assert person.get(f"{base}/1/99.m4s").status_code == 404
    assert person.get(f"{base}/1/-1.m4s").status_code == 400
    assert listed(person, grant, 2, 5).status_code == 403
    assert listed(person, grant, 3, 6).status_code == 403
    assert person.get(f"/footage/{grant}/hall/1/head.mp4").status_code == 403
    assert person.get(f"{base}/still.jpg?at_us={T0}").status_code == 400
    assert other.get(f"{base}/1/1.m4s").status_code == 403
    assert person.get("/footage/x/gate-exit/1/1.m4s").status_code == 403
    site.clock.sleep(31 * 60)
    assert person.get(f"{base}/1/1.m4s").status_code in (401, 403)


def test_nothing_is_shown_before_a_reason_is_on_record(site: ConsoleSite) -> None:
    person = site.person(Role.HEAD)
    for fields in (
        {"reason": "x", "camera": "gate-exit", "from": _local(0), "to": _local(2)},
        {"reason": "家长询问", "from": _local(0), "to": _local(2)},
        {"reason": "家长询问", "camera": "gate-exit", "from": _local(2), "to": _local(0)},
        {"reason": "家长询问", "camera": "gate-exit", "from": "soon", "to": _local(0)},
        {"reason": "家长询问", "camera": "gate-exit", "from": _local(0), "to": _local(90_000)},
        {"reason": "家长询问", "camera": "nowhere", "from": _local(0), "to": _local(2)},
    ):
        assert person.post("/playback", **fields).status_code in (400, 404), fields
    assert [one for one in site.records() if one.action == "footage_access"] == []
    site.parts.audit.close()
    fields = {"reason": "家长询问", "camera": "gate-exit", "from": _local(0), "to": _local(2)}
    assert person.post("/playback", **fields).status_code == 503
    assert site.parts.grants._grants == {}


def test_who_may_not_is_refused(site: ConsoleSite) -> None:
    """Each wrong role, on each route that shows a picture; the time line is another permission."""
    grant = granted(site.person(Role.HEAD), site, 0, 6)
    for role in (Role.INTEGRATOR, Role.AUDITOR, Role.GUARD):
        person = site.person(role)
        for path in (
            "playlist.json",
            "still.jpg",
            "1/head.mp4",
            "1/0.m4s",
            "1/sound.mp4",
            "1/0.m4a",
        ):
            assert person.get(f"/footage/{grant}/gate-exit/{path}").status_code == 403
        assert person.post("/playback", reason="家长询问").status_code == 403
        has_line = person.get(f"/timeline/hall.json?from_us=0&to_us={S}&buckets=1").status_code
        assert has_line == (403 if role is Role.GUARD else 200)
    guard = site.person(Role.GUARD, Permission.PLAYBACK, Permission.TIMELINE, name="allowed")
    assert guard.get(f"/footage/{granted(guard, site, 0, 6)}/gate-exit/1/0.m4s").is_success


def test_sound_goes_beside_the_pictures(site: ConsoleSite, store: Site) -> None:
    person = site.person(Role.HEAD)
    grant = granted(person, site, 0, 6, "hall", "gate-exit")
    (chapter,) = listed(person, grant, 0, 6, "hall").json()["chapters"]
    assert chapter["audio_type"] == 'audio/mp4; codecs="flac"'
    base = f"/footage/{grant}/hall/1"
    _, content = segment(store, 1, "hall")
    assert person.get(f"{base}/head.mp4").content != content[: len(content)]
    assert b"alaw" in person.get(f"{base}/head.mp4").content  # hidden, not taken out
    assert b"fLaC" in person.get(f"{base}/sound.mp4").content
    assert person.get(f"{base}/0.m4a").content[4:8] == b"moof"
    assert person.get(f"/footage/{grant}/gate-exit/1/sound.mp4").status_code == 404


def test_a_still_is_decoded_by_the_box(site: ConsoleSite) -> None:
    person = site.person(Role.HEAD)
    grant = granted(person, site, 0, 6)
    answer = person.get(f"/footage/{grant}/gate-exit/still.jpg?at_us={T0 + 5 * S}")
    assert answer.content[:3] == b"\xff\xd8\xff"
    assert answer.headers["x-instant-us"] == str(T0 + 4 * S)


def test_time_lines_tell_gaps_and_hours(site: ConsoleSite) -> None:
    person = site.person(Role.AUDITOR)
    told = person.get(
        f"/timeline/gate-exit.json?from_us={T0 - 6 * S}&to_us={T0 + 24 * S}&buckets=15"
    ).json()
    assert told["gap_count"] == 1
    assert told["gaps"][0]["cause"] == "network"
    assert told["recorded_us"] == 16 * S
    assert told["missing_us"] == 8 * S
    assert [one[3] for one in told["buckets"]] == [0] * 9 + [1] * 4 + [0] * 2
    hours = person.get("/timeline/gate-exit/hours.json").json()
    assert len(hours["days"]) == 91
    assert all(len(day["hours"]) == 24 for day in hours["days"])
    cells = [cell for day in hours["days"] for cell in day["hours"]]
    assert sum(cell[0] for cell in cells) == 16 * S
    assert sum(cell[1] for cell in cells) == 8 * S
    for query in (
        "",
        "from_us=5&to_us=4&buckets=1",
        "from_us=0&to_us=10&buckets=0",
        "from_us=0&to_us=10&buckets=2001",
        "from_us=-1&to_us=10&buckets=2",
        f"from_us=0&to_us={1 << 59}&buckets=2",
        "from_us=a&to_us=10&buckets=2",
    ):
        assert person.get(f"/timeline/gate-exit.json?{query}").status_code == 400, query
    assert person.get("/timeline/nowhere.json?from_us=0&to_us=9&buckets=2").status_code == 404


def test_an_index_that_does_not_answer_is_told_as_that(tmp_path: Path) -> None:
    with ConsoleSite(tmp_path) as found:
        person = found.person(Role.HEAD)
        answer = person.get("/timeline/gate-exit.json?from_us=0&to_us=10&buckets=2")
        assert answer.status_code == 503
        assert "不等于没有录像" in answer.json()["error"]
        assert parse(found.parts.config_path.read_text(), file="x") == found.parts.settings


def test_live_view_is_off_unless_the_site_opens_it(site: ConsoleSite) -> None:
    """Also for who was allowed by name; and never for a camera that is no gate."""
    site.add("boss", Role.HEAD)
    guard = site.person(Role.GUARD, Permission.LIVE)
    assert "未开启实时画面" in guard.get("/live").text
    assert guard.post("/live", camera="gate-exit", reason="早间入园值守").status_code == 403
    settings = site.parts.settings
    console = settings.console.model_copy(update={"live": True})
    site.parts.settings = settings.model_copy(update={"console": console})
    assert "没有可供实时查看的摄像机" in guard.get("/live").text  # role = general
    assert guard.post("/live", camera="gate-exit", reason="早间入园值守").status_code == 403
    gates = tuple(one.model_copy(update={"role": "face"}) for one in settings.camera)
    site.parts.settings = site.parts.settings.model_copy(update={"camera": gates})
    answer = guard.post("/live", camera="gate-exit", reason="早间入园值守")
    assert answer.status_code == 303
    stream = f"{answer.headers['location']}/gate-exit/stream"
    assert guard.get(stream).status_code == 503  # edge does not run here
    assert site.person(Role.HEAD).get(stream).status_code == 403
    assert guard.get(stream.replace("gate-exit", "hall")).status_code == 403
    site.parts.settings = settings
    assert guard.get(stream).status_code == 403


def delivered(site: ConsoleSite) -> list[tuple[str, str, str]]:
    """Camera, what, ranges of every record of what went out."""
    return [
        (one.subject.partition(":")[2], str(one.detail["what"]), str(one.detail["ranges"]))
        for one in site.records()
        if one.action == "footage_access" and one.outcome == "done"
    ]


def span(from_s: int, to_s: int) -> str:
    return f"{format_instant(T0 + from_s * S)}/{format_instant(T0 + to_s * S)}"


def test_what_went_out_is_on_record_when_its_grant_has_ended(site: ConsoleSite) -> None:
    """The ranges really fetched, not the ranges that might have been; twice fetched told once."""
    person = site.person(Role.HEAD)
    grant = granted(person, site, 0, 24, "gate-exit", "hall")
    base = f"/footage/{grant}"
    for path in (
        "gate-exit/1/head.mp4",
        "gate-exit/1/1.m4s",
        "gate-exit/1/2.m4s",
        "gate-exit/2/0.m4s",  # follows on without a hole
        "gate-exit/2/0.m4s",
        "gate-exit/3/1.m4s",
        f"gate-exit/still.jpg?at_us={T0 + 21 * S}",
        "hall/1/head.mp4",
        "hall/1/sound.mp4",
        "hall/1/0.m4a",
    ):
        assert person.get(f"{base}/{path}").is_success, path
    assert person.get(f"{base}/gate-exit/1/99.m4s").status_code == 404
    asyncio.run(site.parts.record_deliveries())
    assert delivered(site) == []  # the grant is in force, and little time has gone
    person.post("/logout")
    asyncio.run(site.parts.record_deliveries())
    assert sorted(delivered(site)) == [
        ("gate-exit", "pictures", f"{span(2, 8)}, {span(22, 24)}"),
        ("gate-exit", "still", span(20, 20)),
        ("hall", "sound", span(0, 2)),
    ]
    last = [one for one in site.records() if one.outcome == "done"][-1]
    assert (last.actor, last.detail["grant"]) == ("person:head", grant)
    asyncio.run(site.parts.record_deliveries())
    assert len(delivered(site)) == 3


def test_a_long_look_is_on_record_while_it_goes_on(site: ConsoleSite) -> None:
    """Also what could not be written at first, and a service that ends leaves nothing out."""
    person = site.person(Role.HEAD)
    base = f"/footage/{granted(person, site, 0, 24)}/gate-exit"
    assert person.get(f"{base}/1/0.m4s").is_success
    site.clock.sleep(RECORD_US / US_PER_S)
    log, closed = site.parts.audit, AuditLog(site.folder / "closed", "console", site.clock)
    closed.close()
    site.parts.audit = closed
    asyncio.run(site.parts.record_deliveries())
    site.parts.audit = log
    assert delivered(site) == []
    asyncio.run(site.parts.record_deliveries())
    assert delivered(site) == [("gate-exit", "pictures", span(0, 2))]
    assert person.get(f"{base}/1/1.m4s").is_success
    for _, futures in site.parts.submit_deliveries(is_end=True):
        assert futures[0].result(10)
    assert delivered(site)[1:] == [("gate-exit", "pictures", span(2, 4))]


@given(st.sets(st.integers(0, 40), min_size=1))
def test_ranges_hold_what_went_out_and_nothing_else(places: set[int]) -> None:
    """Fragments of two seconds, some of them fetched."""
    one = Delivery(
        grant=cast(Grant, None),
        camera="gate",
        what=What.PICTURES,
        since_us=0,
        fragments={(place * 2 * S, (place + 1) * 2 * S) for place in places},
    )
    told = one.ranges
    assert all(before[1] < after[0] for before, after in pairwise(told))
    covered = {second for start, end in told for second in range(start // S, end // S)}
    assert covered == {second for place in places for second in (2 * place, 2 * place + 1)}
