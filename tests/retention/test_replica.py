"""Index and replicas of the journal come level, whatever either of them lost."""

from __future__ import annotations

from pathlib import Path

from retention.index import rows
from retention.index.read import Index
from retention.journal import Entry, Head, Journal, Kind, longest_chain, verify
from retention.model import GapCause
from retention.reindex import reindex
from retention.replica import read_replica
from tests.retention.indexing import KEY, gaps_of
from tests.retention.storing import S, Site
from tests.retention.writing import T0


def chain_on(site: Site, place: int = 0) -> list[Entry]:
    chain, others = longest_chain(read_replica(site.volumes[place]).entries)
    assert others == []
    verify(chain)
    return chain


def journal_file(site: Site, place: int = 0) -> Path:
    return sorted((site.volumes[place] / "journal").iterdir())[-1]


def chain_in_index(site: Site) -> list[bytes]:
    with Index.open_read(site.index_path) as index:
        return index.read(lambda connection: list(rows.journal_lines(connection)))


def test_every_volume_holds_the_whole_journal(tmp_path: Path) -> None:
    site = Site.make(tmp_path, 2)
    with site.running() as recorder:
        recorder.opened.ledger.gap("gate", T0, T0 + 9 * S, GapCause.NETWORK)
    for place in (0, 1):
        kinds = [entry.kind for entry in chain_on(site, place)]
        assert kinds[0] is Kind.KEY
        assert kinds.count(Kind.VOLUME) == 2
        assert kinds[-1] is Kind.SERVICE


def test_a_volume_that_was_away_catches_up_at_the_next_start(tmp_path: Path) -> None:
    site = Site.make(tmp_path, 2)
    with site.running():
        pass
    (tmp_path / "volume1").rename(tmp_path / "away")
    with site.running() as recorder:
        recorder.opened.ledger.gap("gate", T0, T0 + 9 * S, GapCause.NETWORK)
    (tmp_path / "away").rename(tmp_path / "volume1")
    with site.running():
        pass
    assert [entry.line for entry in chain_on(site, 0)] == [e.line for e in chain_on(site, 1)]


def test_a_torn_line_is_written_anew_behind_it(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running():
        pass
    path = journal_file(site)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with site.running():
        pass
    assert path.read_bytes().startswith(whole[:-30] + b"\n")
    assert len(chain_on(site)) == chain_on(site)[-1].seq


def test_a_lost_replica_is_written_anew(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running():
        pass
    journal_file(site).unlink()
    with site.running():
        pass
    assert chain_on(site)[0].seq == 1


def test_what_only_a_volume_knows_is_taken_into_the_index(tmp_path: Path) -> None:
    """Killed while the index hung: the volumes had the entry, the index had not."""
    site = Site.make(tmp_path)
    with site.running():
        pass
    from retention.keys import signing_key

    chain = chain_on(site)
    journal = Journal(signing_key(site.index_path.parent), Head.of(chain[-1]))
    data = {"event": "gap", "camera": "gate", "start_us": T0, "end_us": T0 + 9 * S}
    entry = journal.entry(Kind.GAP, {**data, "cause": "network", "detail": ""}, T0)
    with journal_file(site).open("ab") as file:
        file.write(entry.line + b"\n")
    with site.running() as recorder:
        assert [gap.cause for gap in gaps_of(recorder.opened.index)] == [GapCause.NETWORK]
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []


def test_what_a_stranger_signed_is_not_taken(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running():
        pass
    forger = Journal(KEY, Head.of(chain_on(site)[-1]))
    data = {"event": "gap", "camera": "gate", "start_us": T0, "end_us": T0 + 9 * S}
    entry = forger.entry(Kind.GAP, {**data, "cause": "network", "detail": ""}, T0)
    with journal_file(site).open("ab") as file:
        file.write(entry.line + b"\n")
    with site.running() as recorder:
        assert gaps_of(recorder.opened.index) == []


def test_garbage_in_a_replica_costs_nothing_else(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    with site.running():
        pass
    path = journal_file(site)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\xff\x00{]\n" + b"".join(lines[2:]))
    before = len(chain_in_index(site))
    with site.running():
        pass
    chain = chain_on(site)
    assert len(chain) == chain[-1].seq > before


def test_a_second_branch_is_kept_and_told_and_harms_nothing(tmp_path: Path) -> None:
    """Index and newest replica lost together, then the replica comes back."""
    site = Site.make(tmp_path, 2)
    with site.running():
        pass
    (tmp_path / "volume1").rename(tmp_path / "away")
    with site.running():  # volume 0 goes on alone ...
        pass
    (tmp_path / "volume0").rename(tmp_path / "away0")
    (tmp_path / "away").rename(tmp_path / "volume1")
    site.index_path.unlink()  # ... and is lost with the index
    with site.running() as recorder:
        recorder.opened.ledger.gap("gate", T0, T0 + 9 * S, GapCause.NETWORK)
        recorder.opened.ledger.gap("gate", T0 + 20 * S, T0 + 29 * S, GapCause.NETWORK)
    (tmp_path / "away0").rename(tmp_path / "volume0")
    with site.running():
        pass
    in_index = chain_in_index(site)
    rebuilt = reindex(site.index_path, site.volumes, dry_run=True)
    assert rebuilt.differences == []
    assert rebuilt.entries == len(in_index)


def test_a_newest_part_without_a_whole_line_is_no_lost_replica(tmp_path: Path) -> None:
    """Killed while the journal went on in a new part: nothing is written a second time."""
    site = Site.make(tmp_path)
    with site.running():
        pass
    before = read_replica(site.volumes[0]).entries
    (site.volumes[0] / "journal" / "00000002.jsonl").write_bytes(before[-1].line[:20])
    with site.running():
        pass
    found = read_replica(site.volumes[0])
    assert len(found.entries) == len({entry.seq for entry in found.entries}) > len(before)
    assert found.damaged_lines == 1
