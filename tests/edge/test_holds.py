"""Holds through the desk: on record first, on all volumes before they are confirmed, and never lost
with the index."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.schema import Settings
from edge import holds as holds_module
from edge.holds import HoldDesk, figures, stored_holds
from retention.audit import AuditLog, AuditUnavailable
from retention.audit_read import records, verify
from retention.holds import HoldRefused, HoldState
from retention.index import rows
from retention.index.errors import IndexUnavailable
from retention.journal import Kind
from retention.reindex import reindex
from retention.replica import read_replica
from tests.retention.storing import S, Site, run_of
from tests.retention.test_reindex import dumped
from tests.retention.writing import T0


def _settings(site: Site, **retention: Any) -> Settings:
    return Settings.model_validate(
        {
            "site": {"name": "站"},
            "storage": {
                "volumes": [str(path) for path in site.volumes],
                "state_dir": str(site.index_path.parent),
            },
            "retention": retention,
            "camera": [{"id": "gate", "name": "门", "rtsp": "rtsp://192.0.2.1/a"}],
        }
    )


@dataclass(slots=True)
class Office:
    """A box that records one camera, and its desk."""

    site: Site
    two_persons: bool = True
    desk: HoldDesk = field(init=False)

    @contextmanager
    def open(self) -> Iterator[HoldDesk]:
        state = self.site.index_path.parent
        with (
            AuditLog(state, "edge", self.site.clock) as audit,
            self.site.running() as recorder,
        ):
            opened = recorder.opened
            opened.ledger.run_started(run_of("gate"))
            self.desk = HoldDesk(
                index=opened.index,
                ledger=opened.ledger,
                volumes=opened.volumes,
                audit=audit,
                clock=self.site.clock,
                settings=lambda: _settings(self.site, two_person_release=self.two_persons),
            )
            yield self.desk

    def steps(self) -> list[tuple[str, str, str]]:
        found = records(self.site.index_path.parent, "edge")
        return [(record.action, record.outcome, record.actor) for record in found]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(Site.make(tmp_path, 2))


def _asked(**changes: Any) -> dict[str, Any]:
    return {
        "camera": "gate",
        "from_us": T0,
        "to_us": T0 + 60 * S,
        "case": "2026-17",
        "requester": "李警官",
        "unit": "派出所",
        "reason": "盗窃",
        "expires_us": None,
        "by": "os:root",
        **changes,
    }


def _held_lines(site: Site) -> list[int]:
    return [
        sum(entry.kind is Kind.HOLD for entry in read_replica(volume).entries)
        for volume in site.volumes
    ]


def test_a_hold_is_on_all_volumes_when_it_is_confirmed(office: Office) -> None:
    with office.open() as desk:
        answer = desk.add(_asked())
        assert answer["state"] == "active"
        assert answer["pending_volumes"] == []
        assert _held_lines(office.site) == [1, 1], "nothing was closed or synced since"
        (hold,) = stored_holds(office.site.index_path)
    assert (hold.id, hold.case, hold.requester, hold.unit) == (
        answer["id"],
        "2026-17",
        "李警官",
        "派出所",
    )
    assert office.steps() == [("hold_added", "begun", "os:root"), ("hold_added", "done", "os:root")]


def test_two_persons_release_a_hold_and_each_step_is_on_record(office: Office) -> None:
    with office.open() as desk:
        hold_id = desk.add(_asked())["id"]
        first = desk.release({"id": hold_id, "by": "王园长"})
        assert first["state"] == "release_asked"
        with pytest.raises(HoldRefused, match="another person"):
            desk.release({"id": hold_id, "by": "王园长"})
        second = desk.release({"id": hold_id, "by": "李主任"})
        assert second["state"] == "released"
        assert _held_lines(office.site) == [3, 3]
    assert office.steps()[2:] == [
        ("hold_release", "begun", "person:王园长"),
        ("hold_release", "done", "person:王园长"),
        ("hold_release", "begun", "person:王园长"),
        ("hold_release", "refused", "person:王园长"),
        ("hold_release", "begun", "person:李主任"),
        ("hold_release", "done", "person:李主任"),
    ]


def test_one_person_releases_where_the_settings_say_so(office: Office) -> None:
    office.two_persons = False
    with office.open() as desk:
        hold_id = desk.add(_asked())["id"]
        assert desk.release({"id": hold_id, "by": "王园长"})["state"] == "released"


def test_holds_are_rebuilt_from_the_volumes_alone(office: Office) -> None:
    """Every state of a hold, after index, key and audit logs are gone."""
    with office.open() as desk:
        ids = [desk.add(_asked(case=str(number)))["id"] for number in range(4)]
        desk.add(_asked(camera="", expires_us=T0 + 100 * S))
        desk.release({"id": ids[0], "by": "王园长"})
        desk.release({"id": ids[1], "by": "王园长"})
        desk.release({"id": ids[1], "by": "李主任"})
        assert desk.expire(T0 + 200 * S) != []
        before = stored_holds(office.site.index_path)
    original = dumped(office.site.index_path)
    shutil.rmtree(office.site.index_path.parent)
    office.site.index_path.parent.mkdir()
    reindex(office.site.index_path, office.site.volumes, dry_run=False)
    assert stored_holds(office.site.index_path) == before
    assert dumped(office.site.index_path) == original
    assert sorted(hold.state(None).value for hold in before) == [
        "active",
        "active",
        "expired",
        "release_asked",
        "released",
    ]


@pytest.mark.parametrize("lost", ["index", "volume0", "volume1"])
def test_a_hold_survives_the_loss_of_all_but_one_place(office: Office, lost: str) -> None:
    """What was confirmed is there again after a start on what is left."""
    with office.open() as desk:
        hold_id = desk.add(_asked())["id"]
    if lost == "index":
        shutil.rmtree(office.site.index_path.parent)
        office.site.index_path.parent.mkdir()
    else:
        office.site.index_path.unlink()
        journal = office.site.folder / lost / "journal"
        shutil.rmtree(journal)
        journal.mkdir()
    with office.open():
        (hold,) = stored_holds(office.site.index_path)
    assert (hold.id, hold.state(None)) == (hold_id, HoldState.ACTIVE)


def test_a_volume_that_is_away_is_named_and_gets_it_later(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds_module, "VOLUME_TIMEOUT_S", 0.5)
    office.site.volumes[1].rename(office.site.folder / "away")
    office.site.volumes[1].mkdir()
    (office.site.volumes[1] / "lost+found").mkdir()
    (office.site.volumes[1] / "another disk").touch()
    with office.open() as desk:
        assert desk.add(_asked())["pending_volumes"] == [str(office.site.volumes[1])]
    shutil.rmtree(office.site.volumes[1])
    (office.site.folder / "away").rename(office.site.volumes[1])
    with office.open():
        pass
    assert _held_lines(office.site) == [1, 1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"camera": "no-such"}, "unknown"),
        ({"to_us": T0}, "ends before it begins"),
        ({"from_us": "yesterday"}, "no instant"),
        ({"case": 7}, "no text"),
    ],
)
def test_what_is_no_hold_is_refused(office: Office, changes: dict[str, Any], sentence: str) -> None:
    with office.open() as desk, pytest.raises(HoldRefused, match=sentence):
        desk.add(_asked(**changes))
    assert stored_holds(office.site.index_path) == []
    assert _held_lines(office.site) == [0, 0]


def test_what_cannot_be_put_on_record_is_not_done(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    with office.open() as desk:
        hold_id = desk.add(_asked())["id"]

        def full(*_arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(AuditLog, "_append", full)
        with pytest.raises(AuditUnavailable, match="No space"):
            desk.release({"id": hold_id, "by": "王园长"})
        (hold,) = stored_holds(office.site.index_path)
        assert hold.state(None) is HoldState.ACTIVE


def test_a_hold_ends_by_its_term_once_and_is_told(office: Office) -> None:
    with office.open() as desk:
        hold_id = desk.add(_asked(expires_us=T0 + 100 * S))["id"]
        assert desk.expire(T0 + 100 * S - 1) == []
        assert desk.expire(T0 + 100 * S) == [hold_id]
        assert desk.expire(T0 + 200 * S) == []
        with pytest.raises(HoldRefused, match="released by expiry"):
            desk.release({"id": hold_id, "by": "王园长"})
    assert ("hold_expired", "done", "service:edge") in office.steps()


def test_an_index_that_does_not_answer_is_told(office: Office) -> None:
    with office.open() as desk:
        pass
    with AuditLog(office.site.index_path.parent, "edge", office.site.clock) as audit:
        desk._audit = audit
        with pytest.raises(IndexUnavailable):
            desk.add(_asked())


def test_figures_count_holds_and_what_they_keep(office: Office) -> None:
    with office.site.running(["gate", "yard"]) as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 5)
        recorder.record(2, 5, 5)
        recorder.record(3, 10, 5)
    with office.open() as desk:
        one = desk.add(_asked(from_us=T0 + 4 * S, to_us=T0 + 5 * S))["id"]
        desk.add(_asked(from_us=T0 + 4 * S, to_us=T0 + 6 * S))
        segments = desk._ask_index(lambda index: rows.segments_after(index, "gate", 0, -1, 3))
        sizes = [segment.size_bytes for segment in segments]
        found = figures(office.site.index_path, None)
        assert found.count == {"active": 2, "release_asked": 0, "expired": 0, "released": 0}
        assert found.bytes == {"gate": sizes[0] + sizes[1], "yard": 0}, "no byte is counted twice"
        desk.release({"id": one, "by": "王园长"})
        assert figures(office.site.index_path, None).count["release_asked"] == 1


# Random histories ------------------------------------------------------------------------------

_PERSONS = ("王园长", "李主任", "张三")
_STEPS = st.one_of(
    st.tuples(st.just("add"), st.none() | st.integers(1, 100)),
    st.tuples(st.just("release"), st.integers(0, 9), st.sampled_from(_PERSONS)),
    st.tuples(st.just("expire"), st.integers(0, 100)),
    st.tuples(st.just("restart"), st.sampled_from(["index", "journal0", "journal1", "nothing"])),
)


@given(st.lists(_STEPS, min_size=3, max_size=14))
@settings(max_examples=8)
def test_no_history_loses_a_hold(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    """Against a model of a few lines; index or one journal may go at any restart."""
    office = Office(Site.make(tmp_path_factory.mktemp("history"), 2))
    model: dict[str, dict[str, Any]] = {}
    pending = list(steps)
    while True:
        lost = "nothing"
        with office.open() as desk:
            found = {hold.id: hold.state(None).value for hold in stored_holds(_index(office))}
            assert found == {one: told["state"] for one, told in model.items()}
            while pending and lost == "nothing":
                step = pending.pop(0)
                if step[0] == "restart":
                    lost = step[1]
                    break
                _do(desk, model, step)
        _lose(office.site, lost)
        if not pending and lost == "nothing":
            break
    before = stored_holds(_index(office))
    _lose(office.site, "index")
    reindex(_index(office), office.site.volumes, dry_run=False)
    assert stored_holds(_index(office)) == before
    assert verify(office.site.index_path.parent, "edge").is_sound


def _index(office: Office) -> Path:
    return office.site.index_path


def _do(desk: HoldDesk, model: dict[str, dict[str, Any]], step: tuple[Any, ...]) -> None:
    match step:
        case ("add", term_s):
            expires_us = None if term_s is None else T0 + term_s * S
            hold_id = desk.add(_asked(expires_us=expires_us))["id"]
            model[hold_id] = {"state": "active", "expires_us": expires_us, "asked_by": None}
        case ("release", place, by):
            if not model:
                return
            hold_id = list(model)[place % len(model)]
            told = model[hold_id]
            if told["state"] in ("released", "expired") or told["asked_by"] == by:
                with pytest.raises(HoldRefused):
                    desk.release({"id": hold_id, "by": by})
                return
            desk.release({"id": hold_id, "by": by})
            told["state"] = "release_asked" if told["asked_by"] is None else "released"
            told["asked_by"] = told["asked_by"] or by
        case ("expire", second):
            desk.expire(T0 + second * S)
            for told in model.values():
                is_over = told["expires_us"] is not None and told["expires_us"] <= T0 + second * S
                if is_over and told["state"] != "released":
                    told["state"] = "expired"


def _lose(site: Site, what: str) -> None:
    if what == "index":
        site.index_path.unlink()
    elif what.startswith("journal"):
        for part in (site.volumes[int(what[-1])] / "journal").iterdir():
            part.unlink()
