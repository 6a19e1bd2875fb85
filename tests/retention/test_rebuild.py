"""Index and ledger from the volumes alone, after a long history: every row of every table.

``XUELIANG_FAULTS=full`` makes it 10,000 segments.
"""

from __future__ import annotations

import os

import pytest

from retention.policy import Reason
from retention.read import Store
from retention.reindex import reindex
from tests.retention.history import CAMERAS, History, causes, whole_dump
from tests.retention.storing import Site

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
SEGMENTS = 10_000 if IS_FULL else 600

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, Site]:
    history = History(tmp_path_factory.mktemp("history"), SEGMENTS, seed=6)
    return history, history.live()


def test_what_the_volumes_give_back_is_what_was_lost(history: tuple[History, Site]) -> None:
    lived, site = history
    original = whole_dump(site.index_path)
    assert len(original["segment"]) >= SEGMENTS
    assert lived.deleted > 10
    assert lived.reasons >= {Reason.AGE, Reason.OVER_FLOOR}
    assert IS_FULL or Reason.OVERWRITTEN in lived.reasons  # more of them than it takes, there
    for table in ("camera", "volume", "run", "gap", "hold", "checkpoint", "tombstone", "journal"):
        assert original[table], table
    assert {"expired", "network", "power_lost", "service_crashed"} <= set(causes(original))
    assert any(row[8] == "recovered" for row in original["segment"])
    with Store(site.index_path, site.volumes) as store:
        lines = {name: store.timeline(name, 0, 1 << 60, site.clock.now_us) for name in CAMERAS}

    for path in site.index_path.parent.iterdir():
        path.unlink()
    rebuilt = reindex(site.index_path, site.volumes, dry_run=False)

    assert rebuilt.segments == len(original["segment"])
    assert rebuilt.unreadable == []
    assert whole_dump(site.index_path) == original
    with Store(site.index_path, site.volumes) as store:
        for name, line in lines.items():
            assert store.timeline(name, 0, 1 << 60, site.clock.now_us) == line
    assert reindex(site.index_path, site.volumes, dry_run=True).differences == []
