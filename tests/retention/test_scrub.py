"""Scrubbing: everything is reread, at the pace that was asked, from where it stood."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from retention import scrub
from retention.index import rows
from retention.index.read import Index
from retention.scrub import DAY_S, Scrubbed, Scrubber, ScrubResult
from retention.stamp import read_stamp
from retention.volume_errors import VolumeUnavailable
from tests.retention.evidence import GONE, copy_of, make_store
from tests.retention.storing import Site, path_of
from tests.retention.writing import wait_until


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_store(tmp_path_factory.mktemp("store") / "box")


@pytest.fixture
def site(sound: Site, tmp_path: Path) -> Site:
    return copy_of(sound, tmp_path / "box")


def _scrubber(
    site: Site,
    report: Callable[[Scrubbed], None],
    pause: Callable[[float], bool] = lambda _seconds: False,
    place: int = 0,
    days: float = 30,
) -> Scrubber:
    return Scrubber(
        index_path=site.index_path,
        root=site.volumes[place],
        days=lambda: days,
        report=report,
        clock=site.clock,
        pause=pause,
    )


def _round(site: Site, place: int = 0) -> list[Scrubbed]:
    told: list[Scrubbed] = []
    with Index.open_read(site.index_path) as index:
        _scrubber(site, told.append, place=place).run_round(index)
    return told


def _file(site: Site, number: int) -> Path:
    with Index.open_read(site.index_path) as index:
        segment = index.read(lambda connection: rows.segment(connection, "gate", number))
    assert segment is not None
    paths = [path_of(site, segment, place) for place in range(2)]
    return next(path for path in paths if path.exists())


def test_every_sealed_segment_of_the_volume_is_reread_once_a_round(site: Site) -> None:
    told = [*_round(site), *_round(site, 1)]
    assert {one.result for one in told} == {ScrubResult.OK}
    assert Counter((one.camera, one.number) for one in told) == {
        ("gate", 1): 1,
        ("gate", 4): 1,
        ("gate", 5): 1,
        ("gate", 6): 1,
        ("gate", 7): 1,
        ("hall", 1): 1,
    }


def test_what_changed_or_cannot_be_read_is_told_and_stays(site: Site) -> None:
    changed, gone = _file(site, 4), _file(site, 6)
    assert changed.parents[5] == gone.parents[5]
    content = bytearray(changed.read_bytes())
    content[-300] ^= 1
    changed.write_bytes(content)
    gone.unlink()
    gone.mkdir()  # opens, and cannot be read
    told = {one.number: one for one in _round(site) if one.camera == "gate"}
    assert told[4].result is ScrubResult.MISMATCH
    assert told[6].result is ScrubResult.UNREADABLE
    assert told[4].faults
    assert told[6].faults
    assert changed.read_bytes() == content
    assert told[4].volume == str(site.volumes[0])


def test_what_policy_is_taking_away_is_no_alarm(tmp_path: Path) -> None:
    site = make_store(tmp_path / "box", is_swept=False)
    for number in GONE:
        _file(site, number).unlink()
    told = [*_round(site), *_round(site, 1)]
    assert {one.result for one in told} == {ScrubResult.OK}
    _file(site, 6).unlink()
    told = [one for one in _round(site) if one.result is not ScrubResult.OK]
    assert [(one.number, one.result) for one in told] == [(6, ScrubResult.UNREADABLE)]


def test_it_goes_on_where_it_was_after_a_restart(site: Site) -> None:
    class Killed(BaseException):
        pass

    told: list[int] = []

    def report(one: Scrubbed) -> None:
        told.append(one.number)
        if len(told) == 2:
            raise Killed

    with Index.open_read(site.index_path) as index:
        first = _scrubber(site, report, place=1)
        first._saved_us = -(1 << 60)  # saves behind each segment
        with pytest.raises(Killed):
            first.run_round(index)
        assert told == [1, 5]
        _scrubber(site, lambda one: told.append(one.number), place=1).run_round(index)
    assert told == [1, 5, 5, 7]  # the one that was not finished is read again


def test_a_place_that_cannot_be_read_begins_a_new_round(site: Site) -> None:
    volume = read_stamp(site.volumes[1])[0]
    folder = site.index_path.parent / scrub.FOLDER
    folder.mkdir()
    (folder / f"{volume}.json").write_bytes(b"{torn")
    assert [one.number for one in _round(site, 1)] == [1, 5, 7]


def test_a_round_takes_the_days_and_no_more(site: Site) -> None:
    """Pauses add up to what the rate asks for; the volume's own use sets the rate."""
    waited = [0.0]

    def pause(seconds: float) -> bool:
        waited[0] += seconds
        return False

    told: list[Scrubbed] = []
    scrubber = _scrubber(site, told.append, pause, days=2)
    used_bytes = 50_000.0
    scrubber.bytes_per_s = (  # type: ignore[method-assign]
        lambda: used_bytes / (2 * DAY_S * scrub.SHARE)
    )
    with Index.open_read(site.index_path) as index:
        scrubber.run_round(index)
    read_bytes = sum(_file(site, one.number).stat().st_size for one in told if one.camera == "gate")
    assert read_bytes <= used_bytes
    share = waited[0] / (2 * DAY_S * scrub.SHARE)
    assert read_bytes / used_bytes <= share <= 1.2


def test_the_rate_follows_from_use_and_days(site: Site) -> None:
    one, other = (_scrubber(site, print, days=days) for days in (30, 3))
    assert other.bytes_per_s() == pytest.approx(10 * one.bytes_per_s(), rel=0.01)


def test_a_volume_that_is_not_there_is_waited_for(site: Site) -> None:
    stamp = site.volumes[0] / ".xueliang-volume"
    content = stamp.read_bytes()
    stamp.unlink()
    with pytest.raises(VolumeUnavailable):
        _round(site)
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 2:
            stamp.write_bytes(content)
        return len(pauses) == 3

    told: list[Scrubbed] = []
    scrubber = _scrubber(site, told.append, pause)
    scrubber.bytes_per_s = lambda: 1e12  # type: ignore[method-assign]
    scrubber.start()  # ends at the third pause, which comes behind the whole round
    wait_until(lambda: len(pauses) == 3)
    scrubber.stop()
    assert pauses == [scrub.RETRY_S] * 3
    assert len(told) == 3
    assert {one.result for one in told} == {ScrubResult.OK}


def test_what_was_recorded_since_is_read_in_the_next_round(site: Site) -> None:
    """An empty volume is not left alone for days: rounds follow one another."""
    told: list[Scrubbed] = []
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 1:
            with closing(sqlite3.connect(site.index_path)) as connection:
                connection.executemany(f"INSERT INTO segment VALUES ({marks})", kept)
                connection.commit()
        return len(pauses) == 2

    with closing(sqlite3.connect(site.index_path)) as connection:
        kept = connection.execute("SELECT * FROM segment").fetchall()
        marks = ", ".join("?" * len(kept[0]))
        connection.execute("DELETE FROM segment")
        connection.commit()
    scrubber = _scrubber(site, told.append, pause)
    scrubber.bytes_per_s = lambda: 1e12  # type: ignore[method-assign]
    scrubber.start()
    wait_until(lambda: len(pauses) == 2)
    scrubber.stop()
    assert len(told) == 3


def test_a_disk_that_goes_away_in_between_makes_no_false_alarm(site: Site) -> None:
    stamp = site.volumes[1] / ".xueliang-volume"
    told: list[Scrubbed] = []

    def report(one: Scrubbed) -> None:
        told.append(one)
        for path in site.files():
            path.unlink()
        stamp.unlink()

    with Index.open_read(site.index_path) as index, pytest.raises(VolumeUnavailable):
        _scrubber(site, report, place=1).run_round(index)
    assert [one.result for one in told] == [ScrubResult.OK]


def test_it_stops_in_the_middle_of_a_pause(site: Site) -> None:
    told: list[Scrubbed] = []
    scrubber = Scrubber(
        index_path=site.index_path,
        root=site.volumes[0],
        days=lambda: 10_000,
        report=told.append,
        clock=site.clock,
    )
    scrubber.start()
    wait_until(lambda: scrubber.place.began_us > 0)
    scrubber.stop()
    assert not any(thread.name.startswith("scrub") for thread in threading.enumerate())
