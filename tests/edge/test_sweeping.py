"""Retention in edge: bands from settings, what is told of danger, documents for status."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest

from config.schema import Settings
from edge.metrics import EdgeMetrics, Snapshot
from edge.status import retention_lines
from edge.sweeping import (
    RetentionFigures,
    Sweeping,
    figures_document,
    rules_of,
    standing_document,
)
from retention.audit import AuditLog
from retention.checkpoints import Checkpoints
from retention.forecast import HOUR_US, Outlook
from retention.index.write import put_segment
from retention.policy import DAY_US, Band, Plan
from retention.standing import Binding, Standing, State
from tests.retention.indexing import segment_of
from tests.retention.storing import Site
from tests.retention.writing import T0

BAND = Band(min_us=90 * DAY_US, max_us=97 * DAY_US)


def settings_of(**camera: int) -> Settings:
    document = {
        "site": {"name": "site"},
        "storage": {"volumes": ["/srv/a"], "state_dir": "/var/lib/x"},
        "retention": {"on_full": "stop"},
        "camera": [
            {"id": "gate", "name": "gate", "rtsp": "rtsp://192.0.2.1/", **camera},
            {"id": "yard", "name": "yard", "rtsp": "rtsp://192.0.2.2/"},
        ],
    }
    return Settings.model_validate(document)


def standing_of(state: State) -> Standing:
    return Standing(
        camera="gate",
        band=BAND,
        state=state,
        binds=Binding.DISK,
        oldest_us=5 * DAY_US,
        breach_us=5 * DAY_US if state is State.BREACHED else None,
    )


def outlook_of(danger_days: float | None) -> Outlook:
    danger_us = None if danger_days is None else int(danger_days * DAY_US)
    return Outlook(steady_us=120 * DAY_US, ages_us=(), danger_us=danger_us)


def test_a_camera_may_have_a_band_of_its_own() -> None:
    rules = rules_of(settings_of(min_days=180, max_days=190))
    assert rules.band_of("gate") == Band(min_us=180 * DAY_US, max_us=190 * DAY_US)
    assert rules.band_of("yard") == rules.band_of("long-gone") == BAND
    assert not rules.overwrites


def test_the_worst_is_told_first() -> None:
    assert RetentionFigures().risk() == ""
    assert RetentionFigures(ahead=outlook_of(None)).risk() == ""
    assert "12 days" in RetentionFigures(ahead=outlook_of(12)).risk()
    assert "full" in RetentionFigures(plan=Plan(is_short=True)).risk()
    broken = RetentionFigures(standings={"gate": standing_of(State.BREACHED)}, ahead=outlook_of(12))
    assert "gate" in broken.risk()


def test_what_status_shows() -> None:
    assert standing_document(standing_of(State.HELD), 100 * DAY_US) == {
        "min_days": 90,
        "max_days": 97,
        "state": "held",
        "binds": "disk",
        "oldest_days": 95.0,
        "breach_days": None,
    }
    found = figures_document(RetentionFigures(ahead=outlook_of(3.5), is_time_trusted=True))
    assert (found["forecast_days"], found["danger_days"]) == (120.0, 3.5)
    assert found["time_trusted"]


def test_what_the_disks_will_hold_is_not_told_before_a_rate_is_measured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At an assumed rate these disks would be far too small: that is no figure, and no alarm."""
    site = Site.make(tmp_path / "box")
    settings = settings_of()
    settings = settings.model_copy(
        update={
            "storage": settings.storage.model_copy(
                update={"volumes": site.volumes, "state_dir": site.index_path.parent}
            )
        }
    )
    published: list[RetentionFigures] = []

    def no_snapshot() -> Snapshot:
        raise NotImplementedError

    with (
        AuditLog(site.index_path.parent, "edge", site.clock) as audit,
        site.running(["gate", "yard"]) as recorder,
    ):
        index = recorder.opened.index
        sweeping = Sweeping(
            opened=recorder.opened,
            checkpoints=Checkpoints(index, recorder.opened.ledger),
            metrics=EdgeMetrics(no_snapshot),
            audit=audit,
            clock=site.clock,
            settings=lambda: settings,
            due_us=lambda: None,
            publish=published.append,
            again=lambda job: None,
        )

        def told(until: int) -> RetentionFigures:
            site.clock.now_us = until * HOUR_US
            sweeping.turn(None)
            sweeping.survey()
            return sweeping.figures

        def record(number: int, start_us: int, length_us: int) -> None:
            for camera in ("gate", "yard"):
                one = segment_of(number, start_us, start_us + length_us, camera=camera)
                index.submit(partial(put_segment, segment=one)).result()

        hour = T0 // HOUR_US + 1
        for number, length_us in enumerate((HOUR_US // 3, HOUR_US // 2, HOUR_US // 60)):
            young = told(hour + number)
            assert young.ahead is None
            assert young.risk() == ""
            record(number + 1, (hour + number) * HOUR_US, length_us)
        # footage of less than an hour in all, hours ago
        found = figures_document(told(hour + 9))
        assert (found["forecast_known"], found["forecast_days"], found["danger_days"]) == (
            False,
            None,
            None,
        )
        lines = retention_lines({"retention": found, "cameras": []})
        assert "尚未测得" in lines[0]
        assert "not yet known" in lines[0]
        assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
        record(9, (hour + 9) * HOUR_US, HOUR_US)
        known = told(hour + 13)
        assert known.ahead is not None
        assert known.ahead.danger_us is None
        assert figures_document(known)["forecast_days"] > 10_000
