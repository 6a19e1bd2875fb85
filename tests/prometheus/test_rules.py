"""Every rule, by Prometheus's own tool: each alert fires where it should and nowhere else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.prometheus.cases import CASES, FLEET, FLEET_RESULTS, Case
from tests.prometheus.names import recorded_names

CONFIG = Path(__file__).parents[2] / "config" / "prometheus"
ALERTS, RECORDING = CONFIG / "alerts.yml", CONFIG / "recording.yml"
#: A general rule that fires beside the one that is tested.
GENERAL = {"NvrAlarmCritical", "NvrAlarmWarning"}


def rules(path: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load(path.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def run(*command: str | Path, cwd: Path = CONFIG) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_every_file_is_valid() -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", ALERTS, RECORDING)
    run("promtool", "check", "config", "--syntax-only", "prometheus.yml")
    run("amtool", "check-config", "alertmanager.yml")


def test_every_alert_says_what_in_both_languages() -> None:
    for rule in rules(ALERTS):
        name, told = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), name
        assert "for" in rule, name
        assert set(told) == {"summary", "summary_en", "description", "description_en"}, name
        for key, text in told.items():
            is_english = key.endswith("_en")
            assert text, name
            assert text.isascii() or not is_english, name
        assert not told["summary"].isascii(), name


def test_every_rule_has_its_test() -> None:
    assert [rule["alert"] for rule in rules(ALERTS)] == list(CASES), "a case each, in their order"
    assert [rule["record"] for rule in rules(RECORDING)] == list(FLEET_RESULTS)


def test_dashboards_use_only_what_is_recorded() -> None:
    known = {rule["record"] for rule in rules(RECORDING)}
    used = recorded_names()
    assert used["district.json"]
    for name, names in used.items():
        assert names <= known, name


def _test(
    name: str, series: dict[str, str], minutes: float, expressions: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "30s",
        "input_series": [{"series": name, "values": told} for name, told in series.items()],
        "promql_expr_test": [
            {"expr": expression, "eval_time": f"{round(minutes * 60)}s", "exp_samples": samples}
            for expression, samples in expressions.items()
        ],
    }


def test_each_alert_fires_and_does_not(tmp_path: Path) -> None:
    """One run for all: starting promtool takes longer than what it does."""
    tests = [test for name, case in CASES.items() for test in _tests_of(name, case)]
    _promtool(tmp_path, ALERTS, tests)


def _tests_of(name: str, case: Case) -> list[dict[str, Any]]:
    firing = f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
    others = "|".join(sorted({name, *GENERAL, "NvrAbsent"}))
    loud = {
        firing: [{"labels": "{}", "value": case.count}],
        # nothing else cries along
        f'ALERTS{{alertname!~"{others}", alertstate="firing"}}': [],
    }
    return [
        _test(f"{name} fires", case.fires, case.minutes, loud),
        _test(f"{name} does not", case.quiet, case.minutes, {f'ALERTS{{alertname="{name}"}}': []}),
    ]


def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """The tests above can fail: a threshold is turned round, and a rule is left out."""
    text = ALERTS.read_text()
    for old, new in (
        ("nvr_volume_temperature_celsius > 60", "nvr_volume_temperature_celsius < 60"),
        ("alert: NvrSmart", "alert: NvrSmartest"),
    ):
        assert old in text
        wrong = tmp_path / "wrong.yml"
        wrong.write_text(text.replace(old, new))
        tests = [
            test for name in ("NvrDiskHot", "NvrSmart") for test in _tests_of(name, CASES[name])
        ]
        with pytest.raises(AssertionError, match="FAILED"):
            _promtool(tmp_path, wrong, tests)


def test_the_fleet_adds_up(tmp_path: Path) -> None:
    expressions = {
        name: [
            {"labels": (name if labels == "{}" else f"{name}{labels}"), "value": value}
            for labels, value in told.items()
        ]
        for name, told in FLEET_RESULTS.items()
    }
    _promtool(tmp_path, RECORDING, [_test("fleet", FLEET, 10, expressions)])


def _promtool(folder: Path, rule_file: Path, tests: list[dict[str, Any]]) -> None:
    document = {"rule_files": [str(rule_file)], "evaluation_interval": "60s", "tests": tests}
    path = folder / "test.yml"
    path.write_text(json.dumps(document, ensure_ascii=False))  # JSON is YAML
    run("promtool", "test", "rules", path)
