"""Retention in edge: bands from settings, what is told of danger, documents for status."""

from __future__ import annotations

from config.schema import Settings
from edge.sweeping import RetentionFigures, figures_document, rules_of, standing_document
from retention.forecast import Outlook
from retention.policy import DAY_US, Band, Plan
from retention.standing import Binding, Standing, State

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
