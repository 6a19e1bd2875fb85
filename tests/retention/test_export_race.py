"""Exports while edge goes on: whatever it commits between any two statements that the plan reads,
what is handed out is what the chain says, and what is not handed out is told as a gap."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from retention.checkpoints import Checkpoints
from retention.export import Exported, ExportFailed, FootageGone, Order, plan_export, write_export
from retention.export_verifier import verify_export
from retention.index import read, rows
from retention.index.read import Index
from retention.journal import key_id
from retention.keys import signing_key
from tests.retention.evidence import GONE, copy_of, make_store
from tests.retention.storing import S, Site
from tests.retention.writing import T0, wait_until

SHIFT_S = 1000
OPEN = 8


@pytest.fixture(scope="module")
def buried(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Segments 2 and 3 have their tombstone, and are there still; 8 is being written."""
    site = make_store(tmp_path_factory.mktemp("store") / "box", is_swept=False)
    site.at(60)
    with site.running(("gate", "hall"), boot="boot-4") as recorder:
        recorder.record(OPEN, 40, 3, is_sealed=False)
        wait_until(lambda: _durable(site, OPEN) == 3)
        return copy_of(site, tmp_path_factory.mktemp("kept") / "box")


def _durable(site: Site, number: int) -> int:
    with Index.open_read(site.index_path) as index:
        found = index.read(lambda connection: rows.segment(connection, "gate", number))
    return len(found.fragments) if found is not None else 0


# What the store may be like, one after the other -------------------------------------------------


def _change(site: Site, *statements: str) -> None:
    with closing(sqlite3.connect(site.index_path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    _unlink_forgotten(site)


def _unlink_forgotten(site: Site) -> None:
    for path in site.files():
        if path.parts[-6] == "gate" and not _durable(site, int(path.stem.rpartition("-")[2])):
            path.unlink()


def _before_the_tombstone(site: Site) -> None:
    _change(
        site,
        "DELETE FROM tombstone",
        "DELETE FROM doomed",
        "DELETE FROM gap WHERE cause = 'expired'",
    )


def _as_buried(site: Site) -> None:
    pass


def _first_one_gone(site: Site) -> None:
    _change(site, f"DELETE FROM segment WHERE camera = 'gate' AND number = {GONE[0]}")


def _last_one_gone(site: Site) -> None:
    _change(site, f"DELETE FROM segment WHERE camera = 'gate' AND number = {GONE[-1]}")


def _all_gone(site: Site) -> None:
    _change(
        site,
        f"DELETE FROM segment WHERE camera = 'gate' AND number IN {GONE}",
        "DELETE FROM doomed",
    )


def _moved(site: Site) -> None:
    by_us = SHIFT_S * S
    _change(
        site,
        f"UPDATE segment SET start_us = start_us + {by_us}, end_us = end_us + {by_us},"
        f" offset_us = {by_us}",
        f"UPDATE gap SET start_us = start_us + {by_us}, end_us = end_us + {by_us}",
        f"UPDATE camera SET commissioned_us = commissioned_us + {by_us}",
        f"UPDATE run SET offset_us = {by_us}",
    )


def _given_up(site: Site) -> None:
    """As the end of a volume's process leaves what it was writing."""
    _change(
        site,
        "UPDATE segment SET state = 'sealed', end_reason = 'io_error'"
        f" WHERE camera = 'gate' AND number = {OPEN}",
    )


def _sealed_and_chained(site: Site) -> None:
    with site.running(("gate", "hall"), boot="boot-5") as recorder:
        opened = recorder.opened
        assert Checkpoints(opened.index, opened.ledger).make(site.clock.utc_us()) == 2


_State = Callable[[Site], None]
STATES: dict[str, _State] = {
    one.__name__.strip("_"): one
    for one in (
        _before_the_tombstone,
        _as_buried,
        _first_one_gone,
        _last_one_gone,
        _all_gone,
        _moved,
        _given_up,
        _sealed_and_chained,
    )
}
#: From which to which, in one step or several.
STEPS = [
    ("before_the_tombstone", "as_buried"),
    ("before_the_tombstone", "first_one_gone"),
    ("before_the_tombstone", "all_gone"),
    ("as_buried", "first_one_gone"),
    ("as_buried", "last_one_gone"),
    ("first_one_gone", "all_gone"),
    ("as_buried", "moved"),
    ("as_buried", "sealed_and_chained"),
    ("given_up", "sealed_and_chained"),
]


@dataclass(slots=True)
class _Switch:
    """Makes a store become another one, just before its readers' n-th statement."""

    now: Site
    then: Site
    at: int
    count: int = 0

    def note(self, _statement: str) -> None:
        self.count += 1
        if self.count == self.at:
            self.turn()

    def turn(self) -> None:
        with closing(sqlite3.connect(self.now.index_path, isolation_level=None)) as writer:
            writer.execute("ATTACH ? AS other", (str(self.then.index_path),))
            writer.execute("BEGIN IMMEDIATE")
            for (table,) in writer.execute(
                "SELECT name FROM main.sqlite_master WHERE type = 'table'"
            ).fetchall():
                writer.execute(f'DELETE FROM main."{table}"')
                writer.execute(f'INSERT INTO main."{table}" SELECT * FROM other."{table}"')
            writer.execute("COMMIT")
        for mine, other in zip(self.now.volumes, self.then.volumes, strict=True):
            for path in mine.rglob("*.mp4"):
                new = other / path.relative_to(mine)
                if new.exists():
                    path.write_bytes(new.read_bytes())
                else:
                    path.unlink()


def _export(site: Site, folder: Path) -> Exported:
    order = Order(camera="gate", from_us=T0, to_us=T0 + 50 * S, reason="case", actor="os:admin")
    key = signing_key(site.index_path.parent)
    now_us = T0 + 2 * SHIFT_S * S

    def once(*, is_last_try: bool) -> Exported:
        plan = plan_export(site.index_path, order, key_id(key.public_key()), now_us)
        return write_export(
            plan,
            site.volumes,
            folder,
            key,
            now_us=now_us,
            record={"service": "cli", "seq": 1, "hash": "0" * 64},
            is_last_try=is_last_try,
        )

    try:
        return once(is_last_try=False)
    except FootageGone:
        return once(is_last_try=True)


@pytest.mark.parametrize("state", STATES)
def test_a_store_in_any_of_these_states_gives_an_export_that_is_proven(
    buried: Site, tmp_path: Path, state: str
) -> None:
    site = copy_of(buried, tmp_path / "box")
    STATES[state](site)
    if state == "moved":
        with pytest.raises(ExportFailed, match="no footage"):
            _export(site, tmp_path / "out")
        return
    result = _export(site, tmp_path / "out")
    report = verify_export(tmp_path / "out", result.fingerprint)
    assert report.differences == []
    assert result.damaged == []
    numbers = [one["number"] for one in report.manifest["segments"]]
    gone = set() if state == "before_the_tombstone" else set(GONE)
    assert numbers == [number for number in (1, 2, 3, 4, 5, 6, 7, OPEN) if number not in gone]
    causes = [gap["cause"] for gap in report.manifest["gaps"]]
    assert causes.count("expired") == bool(gone)


@pytest.mark.parametrize(("before", "after"), STEPS)
def test_whatever_is_committed_between_two_statements_the_export_is_proven(
    buried: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    stores = {}
    for name in (before, after):
        stores[name] = copy_of(buried, tmp_path / name)
        STATES[name](stores[name])
    opened = read._open
    at = 0
    while True:
        at += 1
        now = copy_of(stores[before], tmp_path / "now")
        switch = _Switch(now, stores[after], at)

        def watched(path: Path, *, immutable: bool, switch: _Switch = switch) -> sqlite3.Connection:
            connection = opened(path, immutable=immutable)
            connection.set_trace_callback(switch.note)
            return connection

        monkeypatch.setattr(read, "_open", watched)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        result = None
        with suppress(ExportFailed) if after == "moved" else nullcontext():
            result = _export(now, tmp_path / "out")
        if result is None:  # all of it is elsewhere in time
            continue
        report = verify_export(tmp_path / "out", result.fingerprint)
        assert report.differences == [], f"before statement {at} of {switch.count}"
        assert result.damaged == []
        if switch.count < at:
            break
    assert at > 10
