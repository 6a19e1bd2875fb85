"""Days and windows as people and machines read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.schema import Settings
from edge.completeness_command import completeness_document, render_completeness
from edge.status import UnknownCamera, rounded, status_document
from retention.clock import SystemClock
from retention.model import GapCause
from tests.retention.storing import S, Site, run_of
from tests.retention.writing import T0


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Ten seconds of a day, and a gap behind them; then nobody recorded."""
    site = Site.make(tmp_path)
    with site.running(["gate", "gone"]) as recorder:
        recorder.opened.ledger.run_started(run_of("gate"))
        recorder.record(1, 0, 5)
        recorder.opened.ledger.gap("gate", T0 + 5 * S, T0 + 8 * S, GapCause.NETWORK, "")
        recorder.record(2, 8, 2)
        site.at(10)
    monkeypatch.setattr(SystemClock, "utc_us", lambda _self: T0 + 10 * S)
    return Settings.model_validate(
        {
            "site": {"name": "站"},
            "storage": {"volumes": [str(site.volumes[0])], "state_dir": str(tmp_path / "state")},
            "camera": [{"id": "gate", "name": "门", "rtsp": "rtsp://192.0.2.1/a"}],
        }
    )


def test_a_day_tells_its_gap_and_cause(settings: Settings) -> None:
    gate, gone = completeness_document(settings, None, 7)
    assert (gate["camera"], gate["in_service"], gate["mature"]) == ("gate", True, False)
    assert (gone["camera"], gone["in_service"]) == ("gone", False)
    today = gate["days"][-1]
    assert len(gate["days"]) == 8
    assert today["state"] == "running"
    assert (today["due_seconds"], today["recorded_seconds"], today["ratio"]) == (10, 7, 0.7)
    assert today["missing_seconds"] == {"network": 3}
    text = render_completeness([gate, gone])
    assert "70.0000 %" in text
    assert "网络不通 network 3 s" in text
    assert "历史未满" in text
    assert "removed" in text


def test_one_camera_and_none(settings: Settings) -> None:
    assert [one["camera"] for one in completeness_document(settings, "gone", 1)] == ["gone"]
    with pytest.raises(UnknownCamera, match="no-such"):
        completeness_document(settings, "no-such", 1)


def test_status_carries_it(settings: Settings) -> None:
    (camera,) = status_document(settings)["cameras"]
    assert camera["coverage"] == {"24h": 0.7, "7d": 0.7, "90d": 0.7}
    assert camera["history"]["mature"] is False
    assert camera["completeness"] == {"checked_days": 0, "complete_days": 0, "missing_days": []}


def test_a_second_missing_in_90_days_never_reads_as_whole() -> None:
    assert rounded(1 - 1 / (90 * 86_400)) == 0.999999
    assert rounded(1.0) == 1
    assert rounded(0.57, 2) == 0.57
    assert rounded(None) is None
