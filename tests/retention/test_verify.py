"""Verifying a store: what is sound passes, and whatever somebody changed is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.export_verifier import statements_in, verify_export
from retention.index import rows
from retention.index.read import Index
from retention.journal import Kind
from retention.keys import KEY_NAME
from retention.model import Segment
from retention.verify import Verified, Window, verify_camera
from tests.retention.evidence import GONE, SEGMENTS, copy_of, make_store, statement_of, verified
from tests.retention.storing import S, Site, path_of
from tests.retention.sweeping import Sweeper, record_hours
from tests.retention.test_export import exported
from tests.retention.test_sweep import tell_hold
from tests.retention.writing import T0


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_store(tmp_path_factory.mktemp("store") / "box")


@pytest.fixture
def site(sound: Site, tmp_path: Path) -> Site:
    return copy_of(sound, tmp_path / "box")


def _segment(site: Site, number: int) -> Segment:
    with Index.open_read(site.index_path) as index:
        found = index.read(lambda connection: rows.segment(connection, "gate", number))
    assert found is not None
    return found


def _file(site: Site, number: int) -> Path:
    segment = _segment(site, number)
    paths = [path_of(site, segment, place) for place in range(len(site.volumes))]
    return next(path for path in paths if path.exists())


def _sql(site: Site, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(site.index_path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        assert connection.execute(statement, values).rowcount
        connection.commit()


def _told(result: Verified) -> str:
    return "\n".join(map(str, result.differences))


def test_a_sound_store_verifies(site: Site) -> None:
    result = verified(site)
    assert result.differences == []
    assert result.segments == SEGMENTS - len(GONE)
    assert result.chained == 4
    assert result.deleted == len(GONE)
    assert result.unchained == ((7, 7),)
    assert len(result.keys) == 1
    assert verified(site, "hall").differences == []


def test_only_the_window_is_read_but_the_chain_is_walked_whole(site: Site) -> None:
    window = Window(from_us=T0 + 12 * S, to_us=T0 + 15 * S)
    result = verify_camera(site.index_path, site.volumes, "gate", window, is_live=False)
    assert result.differences == []
    assert result.segments == 1
    assert result.chained == 4


def test_it_verifies_while_edge_records(site: Site) -> None:
    with site.running(("gate", "hall"), boot="boot-4") as recorder:
        recorder.open(8, 40)
        recorder.opened.ledger.flushed().result()
        result = verify_camera(site.index_path, site.volumes, "gate", is_live=True)
        assert result.differences == []


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(1))


def _swap_files(site: Site) -> None:
    one, other = _file(site, 4), _file(site, 6)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _swap_rows(site: Site) -> None:
    one, other = _segment(site, 1), _segment(site, 4)
    for number, digest in ((1, other.digest), (4, one.digest)):
        _sql(
            site,
            "UPDATE segment SET digest = ? WHERE camera = 'gate' AND number = ?",
            digest,
            number,
        )


def _doom(site: Site) -> None:
    """Footage taken out as if policy was just about to."""
    _file(site, 4).unlink()
    _sql(site, "INSERT INTO doomed VALUES ('gate', 4)")


def _put_in(site: Site) -> None:
    """A file that names itself properly, copied from another box of the same make."""
    path = _file(site, 6)
    path.with_name(path.name.replace("-6.mp4", "-9.mp4")).write_bytes(path.read_bytes())


def _bring_back(site: Site) -> None:
    segment = _segment(site, 4)
    _sql(
        site,
        "INSERT INTO segment SELECT camera, 2, run, volume, start_us, end_us, state, size_bytes,"
        " end_reason, digest, fragments, offset_us FROM segment WHERE camera = 'gate'"
        " AND number = ?",
        segment.number,
    )


def _resealed(site: Site) -> None:
    """Media changed by who knows the format: file and row agree, only the chain does not."""
    from dataclasses import replace

    from retention.digest import segment_digest
    from retention.index.write import put_segment
    from retention.mp4.scan import scan
    from retention.mp4.trailer import Trailer, trailer_bytes

    path, segment = _file(site, 4), _segment(site, 4)
    content = path.read_bytes()
    scanned = scan(lambda at, size: content[at : at + size], len(content))
    assert scanned.trailer is not None
    entries = scanned.entries[:-1]
    digest = segment_digest(scanned.header_bytes, entries)
    trailer = Trailer(
        end_us=entries[-1].end_us,
        end_reason=scanned.trailer.end_reason,
        fragments=entries,
        digest=digest,
    )
    end = entries[-1].offset + entries[-1].size_bytes
    path.write_bytes(content[:end] + trailer_bytes(trailer))
    shorter = replace(
        segment,
        end_us=entries[-1].end_us,
        size_bytes=path.stat().st_size,
        digest=digest,
        fragments=tuple(replace(entry, sha256=b"") for entry in entries),
    )
    with closing(sqlite3.connect(site.index_path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM segment WHERE camera = 'gate' AND number = 4")
        put_segment(connection, shorter)


def _remove_with_row(site: Site) -> None:
    _file(site, 5).unlink()
    _sql(site, "DELETE FROM segment WHERE camera = 'gate' AND number = 5")


def _forge_journal(site: Site) -> None:
    """A tombstone of one's own making, signed with a key of one's own."""
    from retention.index.entries import add_entries
    from retention.journal import Head, Journal, Kind

    with closing(sqlite3.connect(site.index_path, isolation_level=None)) as connection:
        journal = Journal(Ed25519PrivateKey.generate(), Head.of(rows.last_entry(connection)))
        entry = journal.entry(Kind.SERVICE, {"event": "started", "boot": "x"}, T0)
        add_entries(connection, [entry])


ATTACKS: dict[str, tuple[Callable[[Site], None], str]] = {
    "media": (lambda site: _flip(_file(site, 4), 3000), "segment gate 4"),
    "header": (lambda site: _flip(_file(site, 4), 40), "segment gate 4"),
    "trailer": (lambda site: _flip(_file(site, 4), -100), "segment gate 4"),
    "length": (lambda site: _append(_file(site, 4)), "segment gate 4"),
    "file gone": (lambda site: _file(site, 6).unlink(), "segment gate 6"),
    "file gone under a mark of one's own": (_doom, "segment gate 4: its file is not there"),
    "file put in": (_put_in, "the index knows nothing of it"),
    "files swapped": (_swap_files, "segment gate 4"),
    "rows swapped": (_swap_rows, "do not lead to the link"),
    "resealed": (_resealed, "do not lead to the link"),
    "removed with its row": (_remove_with_row, "neither it nor a tombstone"),
    "brought back": (_bring_back, "in spite of the tombstone"),
    "row": (
        lambda site: _sql(site, "UPDATE segment SET end_us = end_us + 1 WHERE number = 4"),
        "segment gate 4",
    ),
    "hold released by hand": (
        lambda site: _sql(site, "DELETE FROM hold"),
        "the journal tells of it, the index does not",
    ),
    "checkpoint": (
        lambda site: _sql(site, "UPDATE checkpoint SET after = before WHERE camera = 'gate'"),
        "checkpoint gate 0: changed",
    ),
    "tombstone": (lambda site: _sql(site, "UPDATE tombstone SET at_us = 5"), "tombstone"),
    "gap": (lambda site: _sql(site, "UPDATE OR IGNORE gap SET cause = 'expired'"), "gap gate"),
    "journal cut short": (
        lambda site: _sql(site, "DELETE FROM journal WHERE seq > 9"),
        "entry 10 is signed, and not in the index's journal",
    ),
    "journal line": (
        lambda site: _sql(site, "UPDATE journal SET line = replace(line, 'cable', 'fable')"),
        "not signed as it says",
    ),
    "forged journal": (_forge_journal, "not signed as it says"),
    "replica": (
        lambda site: _flip(site.volumes[1] / "journal" / "00000001.jsonl", 700),
        "a line is damaged or forged",
    ),
    "key": (
        lambda site: (site.index_path.parent / "signing-key.pem").unlink(),
        "this box's key never came into use",
    ),
    "volume gone": (
        lambda site: (site.volumes[1] / ".xueliang-volume").unlink(), "is not there, and holds"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_was_changed_is_told(site: Site, attack: str) -> None:
    change, told = ATTACKS[attack]
    change(site)
    assert told in _told(verified(site))


def test_a_torn_line_of_a_power_cut_is_no_attack(site: Site) -> None:
    path = site.volumes[0] / "journal" / "00000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:50], b"\n", *lines[3:]]))
    assert verified(site).differences == []
    path.write_bytes(b"".join(lines[:-1]))
    result = verified(site)
    assert result.differences == []
    assert "lacks the entries" in str(result.notes[0])
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    assert "lacks the entries 4 to 4" in _told(verified(site))


def test_a_deletion_under_way_is_no_difference(tmp_path: Path) -> None:
    """Killed between tombstone and unlink: the next start goes on."""
    site = make_store(tmp_path / "box", is_swept=False)
    result = verified(site)
    assert result.differences == []
    assert result.deleted == len(GONE)
    _file(site, GONE[0]).unlink()
    assert verified(site).differences == []
    _sql(site, "DELETE FROM doomed")
    assert "segment 2 is there in spite of the tombstone" in _told(verified(site))


def test_after_sweeps_around_held_footage_everything_verifies(tmp_path: Path) -> None:
    """The real sweeper, in two turns, with a hold between them."""
    site = Site.make(tmp_path / "box", 2)
    with site.running() as recorder:
        record_hours(recorder, range(1, 11))
        tell_hold(recorder, 3_000, 4_500)
        sweeper = Sweeper(recorder)
        sweeper.turn(9_700)
        result = verify_camera(site.index_path, site.volumes, "gate", is_live=True)
        assert result.differences == []
        assert (result.segments, result.deleted) == (5, 5)
        recorder.opened.ledger.decide(
            lambda _: (None, [(Kind.HOLD, {"event": "released", "id": "h1", "by": "Li"})]), T0
        ).result()
        sweeper.turn(9_800)
        exported(site, tmp_path / "out", 0, 10_000)
    result = verified(site)
    assert result.differences == []
    assert (result.segments, result.deleted) == (3, 7)
    report = verify_export(tmp_path / "out")
    assert report.differences == []
    assert len(report.manifest["tombstones"]) == 2


def test_after_a_kill_at_any_step_of_a_sweep_everything_verifies(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "box")
    with site.running() as recorder:
        record_hours(recorder, range(1, 11))
        sweeper = Sweeper(recorder, is_idle=True)  # killed between tombstone and unlink
        sweeper.turn(9_700)
    result = verified(site)
    assert result.differences == []
    assert result.deleted == 7
    for path in site.files()[:3]:
        path.unlink()  # some went, none is forgotten
    assert verified(site).differences == []
    exported(site, tmp_path / "out", 0, 10_000)
    report = verify_export(tmp_path / "out")  # what policy took is not handed out, and told
    assert report.differences == []
    assert [one["number"] for one in report.manifest["segments"]] == [8, 9]
    assert [gap["cause"] for gap in report.manifest["gaps"]].count("expired") == 7


def test_who_has_the_boxes_own_key_can_sign_another_past_but_the_witness_knew_the_first(
    sound: Site, tmp_path: Path
) -> None:
    told = statement_of(sound)
    key = (sound.index_path.parent / KEY_NAME).read_bytes()
    other = make_store(tmp_path / "box", seconds=2, key=key)
    assert verified(other).differences == []
    assert "knew another entry" in _told(verified(other, statements=[told]))
    exported(other, tmp_path / "out", 0, 40)
    assert verify_export(tmp_path / "out").differences == []
    report = verify_export(tmp_path / "out", "", [told])
    assert "this past was signed anew" in "\n".join(report.differences)


def test_what_the_witness_knew_and_is_still_so_is_told(sound: Site, tmp_path: Path) -> None:
    told = statement_of(sound)
    result = verified(sound, statements=[told])
    assert result.differences == []
    assert result.witnessed == told["journal"]["seq"]
    exported(sound, tmp_path / "out", 0, 40)
    notes = verify_export(tmp_path / "out", "", [told]).notes
    assert any("the witness knew the checkpoint" in note for note in notes)
    assert any("is in no statement" in note for note in notes)


def test_statements_that_do_not_fit_are_told(sound: Site, tmp_path: Path) -> None:
    told = statement_of(sound)
    stranger = statement_of(make_store(tmp_path / "stranger"))
    assert "was told by another box" in _told(verified(sound, statements=[stranger]))
    bent = {**told, "at_us": 3}
    assert "not signed as it says" in _told(verified(sound, statements=[bent]))
    older = copy_of(sound, tmp_path / "older")
    with older.running(("gate", "hall"), boot="boot-9"):
        pass
    ahead = statement_of(older)
    assert "and it ends at" in _told(verified(sound, statements=[ahead]))


def test_statements_are_read_however_the_witness_kept_them() -> None:
    assert statements_in(b'{"a": 1}') == [{"a": 1}]
    assert statements_in(b'[{"a": 1}, {"b": 2}]') == [{"a": 1}, {"b": 2}]
    assert statements_in(b'{"a": 1}\n\n{"b": 2}\n') == [{"a": 1}, {"b": 2}]
    with pytest.raises(ValueError, match="Expecting"):
        statements_in(b"hello")
