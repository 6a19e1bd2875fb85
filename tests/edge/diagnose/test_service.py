"""The service on real segments: a staged defect begins an alarm after three checks, and ends it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from config.load import load
from config.schema import Settings
from edge.alarms.codes import Code
from edge.diagnose.baseline import USABLE, Light
from edge.diagnose.defects import Defect, Failure, Outcome
from edge.diagnose.keeping import forget_baselines, read_baselines
from edge.diagnose.report_file import FOLDER, read_report
from edge.diagnose.service import Service
from edge.diagnosis import SILENT_US, Diagnosis
from retention.audit import AuditLog
from retention.audit_read import records
from retention.clock import SystemClock
from tests.edge.diagnose.looks import Stage, record
from tests.edge.diagnose.store import Footage
from tests.retention.storing import S
from tests.support.box import free_port

MINUTES = 60 * S


def write_config(footage: Footage, more: str = "") -> Path:
    path = footage.site.folder / "xueliang.toml"
    volumes = json.dumps([str(volume) for volume in footage.site.volumes])
    path.write_text(
        f'[site]\nname = "站"\n[storage]\nvolumes = {volumes}\n'
        f'state_dir = "{footage.site.index_path.parent}"\n'
        f'[metrics]\nbind = "127.0.0.1:{free_port()}"\n{more}'
        f'[[camera]]\nid = "{footage.camera}"\nname = "门"\nrtsp = "rtsp://192.0.2.1/a"\n'
    )
    return path


@contextmanager
def serving(footage: Footage, config: Path) -> Iterator[Service]:
    settings = load(config)
    with AuditLog(settings.storage.state_dir, "diagnose", SystemClock()) as audit:
        service = Service(config, settings, footage.site.clock, audit)
        service._record.begin(settings)
        try:
            yield service
        finally:
            service._inspector.close()
            service._record.end()


def exposed(diagnosis: Diagnosis, registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_a_defect_begins_and_ends_an_alarm(tmp_path: Path) -> None:
    """Through a restart of the service; edge tells alarms, figures and status of it."""
    footage = Footage(tmp_path / "box")
    config = write_config(footage)
    settings = load(config)
    state_dir = settings.storage.state_dir
    registry = CollectorRegistry()
    clock = footage.site.clock
    edge = Diagnosis(lambda: settings, registry, clock)
    assert edge.look() == []

    def told() -> set[Code]:
        return {fault.code for fault in edge.look()}

    record(footage, *(Stage(at=6 * n) for n in range(USABLE)))
    footage.site.at(footage.minutes * 60)
    with serving(footage, config) as service:
        for minute in range(USABLE):
            footage.site.at((minute + 1) * 60 - 1)
            service.check("gate")
            assert told() == set()
        report = read_report(state_dir)
        assert report is not None
        assert report.cameras["gate"].outcome is Outcome.NORMAL
        assert report.cameras["gate"].learnt == USABLE
        service.check("gate")
        report = read_report(state_dir)
        assert report is not None
        assert report.cameras["gate"].failure is Failure.NO_FOOTAGE, "it was seen before"
        assert report.cameras["gate"].checks == {
            Outcome.NORMAL: USABLE,
            Outcome.ABNORMAL: 0,
            Outcome.UNKNOWN: 0,
            Outcome.FAILED: 1,
        }
    covered = [Stage(Defect.COVERED, at=5 * n) for n in range(3)]
    record(footage, *covered, *(Stage(at=7 * n) for n in range(3)))
    seen: list[bool] = []
    for half in (range(2), range(2, 6)):  # two services, one account
        with serving(footage, config) as service:
            for minute in half:
                footage.site.at((USABLE + minute + 1) * 60 - 1)
                service.check("gate")
                seen.append(Code.PICTURE_COVERED in told())
                if minute == 2:
                    assert edge.defects("gate") == ["covered"]
                    figures = exposed(edge, registry)
                    found = 'nvr_diagnose_found_active{camera="gate",kind="covered"}'
                    assert figures[found] == 1
                    assert (
                        figures['nvr_diagnose_checks_total{camera="gate",outcome="abnormal"}'] == 3
                    )
    assert seen == [False, False, True, True, True, False]
    assert edge.defects("gate") == []
    learnt = read_baselines(state_dir, "gate")
    assert set(learnt) == {Light.DAY}
    assert learnt[Light.DAY].count == USABLE + 3, "what was covered was not learnt"
    names = {one.name for one in (state_dir / FOLDER).iterdir()}
    assert names == {"report.json", "baseline-gate.json"}
    clock.now_us += SILENT_US + 1
    assert told() == {Code.SERVICE_DOWN}
    kept = [one for one in records(state_dir, "diagnose", 0) if one.action == "diagnosis"]
    assert [one.outcome for one in kept] == ["begun", "done"] * 3
    assert kept[-1].detail["normal"] == 3


def test_a_scene_is_learnt_anew_when_an_administrator_says_so(tmp_path: Path) -> None:
    footage = Footage(tmp_path / "box")
    config = write_config(footage)
    state_dir = load(config).storage.state_dir
    record(footage, *(Stage(at=6 * n) for n in range(USABLE)))
    record(footage, *(Stage(Defect.MOVED, strength=1.0, at=5 * n) for n in range(USABLE + 4)))
    with serving(footage, config) as service:

        def standing(minutes: range) -> list[bool]:
            found = []
            for minute in minutes:
                footage.site.at((minute + 1) * 60 - 1)
                service.check("gate")
                report = read_report(state_dir)
                assert report is not None
                found.append(Defect.MOVED in report.cameras["gate"].standing)
            return found

        assert standing(range(USABLE)) == [False] * USABLE
        assert standing(range(USABLE, USABLE + 3))[-1]
        assert forget_baselines(state_dir, "gate")
        assert not forget_baselines(state_dir, "gate")
        after = standing(range(USABLE + 3, footage.minutes))
        assert after[0], "it stands until three checks found the new scene as learnt"
        assert read_baselines(state_dir, "gate")[Light.DAY].count == USABLE + 1


def test_what_is_off_ends(tmp_path: Path) -> None:
    footage = Footage(tmp_path / "box")
    settings = load(write_config(footage, "[diagnose]\nenabled = false\n"))
    registry = CollectorRegistry()
    edge = Diagnosis(lambda: settings, registry, footage.site.clock)
    assert edge.look() == []
    assert not [name for name in exposed(edge, registry) if "camera=" in name]


@pytest.fixture
def footage(tmp_path: Path) -> Footage:
    footage = Footage(tmp_path / "box")
    record(footage, Stage())
    return footage


def command(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "edge.cli", "diagnose", *arguments]
        + ["-c", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_looks_once_and_on_record(footage: Footage) -> None:
    config = write_config(footage)
    settings: Settings = load(config)
    result = command(config, "gate", "--at", "2026-11-24T08:00:59", "--json")
    document = json.loads(result.stdout)
    assert result.returncode == 0, document
    assert document["outcome"] == "normal"
    assert document["footage"] == "2026-11-24T08:00:58.000+08:00"
    assert document["checks"]["black"] == "normal"
    assert document["checks"]["moved"] == "unknown"
    begun, done = records(settings.storage.state_dir, "cli", 0)
    assert (begun.action, begun.subject, begun.outcome) == ("diagnosis", "gate", "begun")
    assert (done.outcome, done.detail["footage_us"]) == ("done", footage.start_us + 58 * S)
    before = command(config, "gate", "--at", "2026-11-23T00:00:00", "--json")
    assert before.returncode == 1
    assert json.loads(before.stdout)["failure"] == "no_footage"
    assert command(config, "yard").returncode == 1
    assert "尚未学习" in command(config, "gate", "--relearn").stdout
