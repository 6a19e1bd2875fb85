"""The night's check is made once, in a process of its own, and made up for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from config.load import load
from edge.night_results import newest, results
from edge.nightly import RETRY_US, Nightly
from retention.audit_read import records
from retention.completeness import DAY_US
from tests.edge.test_self_check import DAY, NEXT_NIGHT
from tests.retention.storing import FakeClock, Site, run_of

pytestmark = pytest.mark.integration


class Clock(FakeClock):
    """Monotonic time as set, too."""

    monotonic_now_us = RETRY_US

    def monotonic_us(self) -> int:
        return self.monotonic_now_us


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.make(tmp_path)
    with site.running() as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 5)
        site.at(5)
    return site


@pytest.fixture
def config(site: Site) -> Path:
    path = site.folder / "xueliang.toml"
    path.write_text(
        f'[site]\nname = "站"\n[storage]\nvolumes = ["{site.volumes[0]}"]\n'
        f'state_dir = "{site.index_path.parent}"\n'
        '[[camera]]\nid = "gate"\nname = "门"\nrtsp = "rtsp://192.0.2.1/a"\n'
    )
    return path


def test_it_is_made_once_and_put_on_record(site: Site, config: Path) -> None:
    settings, clock = load(config), Clock(NEXT_NIGHT)
    nightly = Nightly(config, lambda: settings, clock)
    assert asyncio.run(nightly.check_if_due())
    state_dir = settings.storage.state_dir
    told = newest(state_dir)
    assert told is not None
    assert (told["date"], told["summary"]["played"]) == (DAY.isoformat(), 2)
    begun, done = records(state_dir, "cli")
    assert (begun.action, begun.outcome, begun.subject) == ("self_check", "begun", DAY.isoformat())
    assert done.outcome == "done"
    assert len(str(done.detail["sha256"])) == 64
    clock.monotonic_now_us += RETRY_US
    assert not asyncio.run(nightly.check_if_due())
    assert len(results(state_dir)) == 1


def test_a_night_before_the_first_camera_is_not_checked(site: Site, config: Path) -> None:
    settings = load(config)
    nightly = Nightly(config, lambda: settings, Clock(NEXT_NIGHT - 2 * DAY_US))
    assert not asyncio.run(nightly.check_if_due())
    assert results(settings.storage.state_dir) == []


def test_one_that_fails_is_told_and_tried_again_later(
    site: Site, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, clock = load(config), Clock(NEXT_NIGHT)
    good = config.read_text()
    config.write_text("no settings")
    nightly = Nightly(config, lambda: settings, clock)
    assert not asyncio.run(nightly.check_if_due())
    assert "self_check_failed" in caplog.text
    config.write_text(good)
    assert not asyncio.run(nightly.check_if_due()), "not at once"
    clock.monotonic_now_us += RETRY_US
    assert asyncio.run(nightly.check_if_due())
    assert json.loads(results(settings.storage.state_dir)[0].read_bytes())["cameras"]
