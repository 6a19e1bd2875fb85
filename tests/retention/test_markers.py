"""Markers of cameras' events: no identity, in the store as long as the footage that they are in."""

from __future__ import annotations

from pathlib import Path

from retention.index import rows
from retention.journal import Kind
from retention.model import US_PER_S, Marker, MarkerKind
from retention.read import Store
from tests.retention.indexing import ledger_on
from tests.retention.storing import Site
from tests.retention.writing import T0

S = US_PER_S


def seen(*instants_s: int, camera: str = "gate") -> list[Marker]:
    return [Marker(at_us=T0 + one * S, camera=camera, kind=MarkerKind.MOTION) for one in instants_s]


def test_they_are_read_by_camera_and_window(tmp_path: Path) -> None:
    site = Site.make(tmp_path, 1)
    with site.running(["gate", "yard"]) as recorder:
        told = [*seen(5, 1, 3), *seen(2, camera="yard")]
        told.append(Marker(at_us=T0 + 3 * S, camera="gate", kind=MarkerKind.FACE))
        recorder.opened.ledger.markers_seen(told, T0 + 6 * S).result()
        with Store(site.index_path, site.volumes) as store:
            found = store.markers("gate", T0 + S, T0 + 5 * S)
            assert store.markers("yard", 0, 1 << 60) == seen(2, camera="yard")
            assert store.markers("nosuch", 0, 1 << 60) == []
    assert [(one.at_us, one.kind.value) for one in found] == [
        (T0 + S, "motion"),
        (T0 + 3 * S, "face"),
        (T0 + 3 * S, "motion"),
    ]


def test_an_entry_names_instant_and_kind_and_nothing_else(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        ledger.markers_seen(seen(1, 2), T0 + 3 * S).result()
        entry = index.submit(rows.last_entry).result()
    assert entry is not None
    assert entry.kind is Kind.MARKER
    assert entry.data == {
        "event": "seen",
        "epoch": 0,
        "markers": {"gate": [[T0 + S, "motion"], [T0 + 2 * S, "motion"]]},
    }


def test_they_go_with_their_footage(tmp_path: Path) -> None:
    """A tombstone takes what lies in its spans; what lay in a gap goes once all before it has."""
    tombstone = {
        "camera": "gate",
        "reason": "age",
        "segments": 1,
        "bytes": 1,
        "pieces": [],
        "spans": [[T0 + 10 * S, T0 + 20 * S]],
    }
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        ledger.markers_seen([*seen(5, 10, 19, 20), *seen(15, camera="yard")], T0).result()
        ledger._record(Kind.DELETION, tombstone, T0 + 30 * S).result()
        left = index.submit(lambda c: c.execute("SELECT camera, at_us FROM marker").fetchall())
        assert left.result() == [
            ("gate", T0 + 5 * S),
            ("gate", T0 + 20 * S),
            ("yard", T0 + 15 * S),
        ]
        assert ledger.drop_markers(T0 + 30 * S).result().entries == ()  # no footage is known


def test_what_is_older_than_all_footage_goes(tmp_path: Path) -> None:
    site = Site.make(tmp_path, 1)
    with site.running() as recorder:
        recorder.record(1, 10, 5)
    with site.running() as recorder:
        ledger = recorder.opened.ledger
        ledger.markers_seen(seen(9, 10, 30), T0 + 30 * S)
        first = ledger.drop_markers(T0 + 40 * S).result()
        assert first.result == 1
        assert ledger.drop_markers(T0 + 40 * S).result().result == 0
        with Store(site.index_path, site.volumes) as store:
            assert store.markers("gate", 0, 1 << 60) == seen(10, 30)


def test_an_entry_of_unknown_kinds_changes_nothing(tmp_path: Path) -> None:
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):
        for found in ([[T0, "plate"]], [["x", "face"]], [[T0]], 7):
            data = {"event": "seen", "epoch": 0, "markers": {"gate": found}}
            ledger._record(Kind.MARKER, data, T0).result()
        count = index.submit(lambda c: c.execute("SELECT count(*) FROM marker").fetchone())
        assert count.result() == (0,)


def test_a_tombstone_of_another_time_takes_none(tmp_path: Path) -> None:
    """What a wrong clock dated is not of that day's footage; re-timed, it is of where it goes."""

    def judged(epoch: int, event: str) -> dict[str, object]:
        told = {"event": event, "epoch": epoch, "boot": "b", "skew_us": epoch, "code": "x"}
        return {**told, "cause": "clock_stepped", "previous_end_us": T0}

    tombstone = {"camera": "gate", "reason": "age", "segments": 1, "bytes": 1, "pieces": []}
    with ledger_on(tmp_path / "index.db") as (index, ledger, _):

        def kept() -> list[int]:
            rows = index.submit(
                lambda c: c.execute("SELECT at_us FROM marker ORDER BY 1").fetchall()
            )
            return [(row[0] - T0) // S for row in rows.result()]

        ledger._record(Kind.TIME, judged(1, "trusted"), T0)
        ledger._record(Kind.TIME, judged(2, "untrusted"), T0)
        ledger.markers_seen(seen(10), T0, epoch=1)
        ledger.markers_seen(seen(11), T0, epoch=2)
        spans = [[T0, T0 + 20 * S]]
        ledger._record(Kind.DELETION, {**tombstone, "spans": spans, "epoch": 0}, T0).result()
        assert kept() == [11]
        offset = {"event": "retimed", "epoch": 2, "offset_us": 3600 * S, "estimated": False}
        ledger._record(Kind.TIME, offset, T0).result()
        assert kept() == [3611]
        ledger._record(Kind.DELETION, {**tombstone, "spans": spans, "epoch": 2}, T0).result()
        assert kept() == []
