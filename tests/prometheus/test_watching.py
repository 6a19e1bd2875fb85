"""A real Prometheus and Alertmanager scrape a running site: what breaks is told, and its end."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.media_receiver import Receiver
from tests.prometheus.dashboards import EMPTY_HERE, Query, all_queries
from tests.prometheus.metrics_table import CONTRACT, NOT_BUILT
from tests.prometheus.names import used_names
from tests.prometheus.site import CAMERAS, CONFIG, SITE, Running, Watch, running_site, watched
from tests.support.box import XUELIANG, wait_for
from tests.support.calls import PeerCall, offer
from tests.support.disks import Disk

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
MINUTE_US = 60_000_000
SERVICES = ("edge", "uplink", "console")
HALL = "34020000001320000002"
_TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The box's folder, with a small disk for its volume where that may be mounted."""
    found = tmp_path_factory.mktemp("site")
    volume = found / "volume"
    volume.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(volume)]
    is_mounted = os.geteuid() == 0 and subprocess.run(command, check=False).returncode == 0
    yield found
    if is_mounted:
        subprocess.run(["umount", "-l", str(volume)], check=False)


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Running]:
    with running_site(folder) as one:
        yield one


@pytest.fixture(scope="module")
def scraped(site: Running) -> dict[str, str]:
    return {service: site.scrape(service) for service in SERVICES}


def test_what_the_contract_names_is_there(scraped: dict[str, str]) -> None:
    types = dict(pair for text in scraped.values() for pair in _TYPE.findall(text))
    found = {name: types.get(name) for name in CONTRACT}
    assert found == {name: kind for name, (kind, _) in CONTRACT.items()}
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    for name in NOT_BUILT:
        assert name not in types, f"{name} is built: it belongs to the contract's table"
        assert name in architecture


def test_no_metric_is_told_twice(scraped: dict[str, str]) -> None:
    for service, text in scraped.items():
        names = [name for name, _ in _TYPE.findall(text)]
        assert [name for name in names if names.count(name) > 1] == [], service


def test_labels_are_those_of_the_contract(scraped: dict[str, str]) -> None:
    for text in scraped.values():
        for name, labels in re.findall(
            r"^(\w+?)(?:_bucket|_sum|_count)?\{(.+)\} ", text, re.MULTILINE
        ):
            if name in CONTRACT:
                found = set(re.findall(r'(\w+)="', labels)) - {"le"}
                expected = set(CONTRACT[name][1])
                # uplink and console have no index
                assert found in (expected, expected - {"schema"}), name


def test_rules_and_dashboards_name_only_what_exists(scraped: dict[str, str]) -> None:
    known = {name for text in scraped.values() for name, _ in _TYPE.findall(text)}
    for where, names in used_names().items():
        assert names <= known, where


def test_what_breaks_is_told_and_that_it_is_over(
    site: Running, folder: Path, tmp_path: Path
) -> None:
    """Five faults at once, each with its alert; then all are mended."""
    disk = Disk(folder / "volume")
    if not os.path.ismount(disk.root):
        pytest.skip("needs root, to mount a small disk")
    with watched(site, tmp_path) as watch:
        wait_for("a scrape of each service", lambda: _scraped(watch) == 3 or None)
        expected = {
            ("NvrCameraDown", "gate"),
            ("NvrCameraClockOff", "hall"),
            ("NvrVolumesFull", ""),
            ("NvrUplinkDown", "police"),
            ("NvrCameraTamper", "yard"),
        }
        assert not expected & watch.alerts("firing")
        asked = Asked(watch)
        _call(site, watch)
        site.demo.do("gate", "unplug")
        site.diagnose("yard", is_covered=True)
        site.demo.do("hall", "clock", offset_us=-7_000_000)
        filler = disk.fill()
        site.peer.mood = "silent"
        _wait(watch, "firing", expected, 100, asked.again)
        _check_texts(watch)
        try:
            wait_for("all queries answered", lambda: not asked.again(), 30)
        except AssertionError:
            raise AssertionError(f"no answer to {sorted(asked.again())}") from None
        site.demo.do("gate", "plug")
        site.diagnose("yard", is_covered=False)
        site.demo.do("hall", "clock", offset_us=0)
        filler.unlink()
        site.peer.mood = "kind"
        _wait(watch, "resolved", expected, 100)
        assert site.posts("picture_covered") == ["begun", "ended"]
        rules = [rule for group in watch.ask("rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} == {"ok"}
        online = "site:nvr_cameras_online:ratio"
        wait_for("all online again", lambda: _number(watch, online) == 1.0 or None)
        assert _number(watch, "site:nvr_cameras:count") == len(CAMERAS)


def test_the_report_tells_of_it(site: Running, tmp_path: Path) -> None:
    """The evidence pack of the running site, from the command line."""
    pack = tmp_path / "pack"
    command = [*XUELIANG, "report", "--days", "2", "-o", str(pack), "-c", site.box.config]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    told = json.loads((pack / "report.json").read_bytes())
    assert told["edge_running"]
    assert [one["id"] for one in told["cameras"]] == list(CAMERAS)
    gate = told["cameras"][0]
    causes = {gap["cause"] for gap in gate["gaps"]["rows"]}
    assert causes & {"camera_offline", "camera_refused", "network"}, causes
    assert 0 < gate["kpis"]["online"]["ratio"] < 1
    assert told["cameras"][2]["kpis"]["online"]["ratio"] == 1, "its disk was full, it was there"
    assert "retention_at_risk" in {one["code"] for one in told["alarms"]["rows"]}
    for page in ("report.zh.html", "report.en.html"):
        assert "<svg" in (pack / page).read_text()
    verified = subprocess.run([*XUELIANG, "verify", str(pack)], capture_output=True, check=False)
    assert verified.returncode == 0


def test_a_host_clock_that_is_off_is_told_and_that_it_is_over(
    site: Running, tmp_path: Path
) -> None:
    """The host's clock is stepped by a minute, which the platform's Date gives away, and back."""
    with watched(site, tmp_path) as watch:
        wait_for("a scrape of each service", lambda: _scraped(watch) == 3 or None)
        told = 'nvr_clock_offset_seconds{source="platform"}'
        wait_for("the platform's time", lambda: watch.ask("query", query=told)["result"] or None)
        assert abs(_number(watch, told)) < 2
        expected = {("NvrClockOff", "platform"), ("NvrTimeUntrusted", "")}
        stepped = {("NvrClockStepped", "")}
        assert not (expected | stepped) & watch.alerts("firing")
        site.clock.set(MINUTE_US)
        _wait(watch, "firing", expected | stepped, 60)
        assert abs(_number(watch, told) + 60) < 2
        _check_texts(watch)
        site.clock.set(0, is_synchronized=True)
        _wait(watch, "resolved", expected, 60)


def _number(watch: Watch, query: str) -> float:
    (one,) = watch.ask("query", query=query)["result"]
    return float(one["value"][1])


def _scraped(watch: Watch) -> int:
    try:
        return sum(one["health"] == "up" for one in watch.ask("targets")["activeTargets"])
    except OSError:
        return 0


def _wait(
    watch: Watch,
    status: str,
    expected: set[tuple[str, str]],
    timeout_s: float,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    def are_told() -> bool:
        meanwhile()
        return expected <= watch.alerts(status)

    try:
        wait_for(status, are_told, timeout_s)
    except AssertionError:
        missing = expected - watch.alerts(status)
        firing = watch.ask("alerts")["alerts"]
        raise AssertionError(
            f"not {status}: {missing}; now: {[one['labels']['alertname'] for one in firing]}"
        ) from None


def _check_texts(watch: Watch) -> None:
    for message in watch.told:
        for one in message["alerts"]:
            assert "site" in one["labels"] or one["labels"]["alertname"] == "NvrAbsent"
            for text in one["annotations"].values():
                assert text
                assert "<error" not in text
                assert "no value" not in text


class Asked:
    """Every query of the dashboards, asked again until it was answered once."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._open = all_queries({"site": re.escape(SITE), "camera": ".*"})

    def again(self) -> frozenset[str]:
        """Those that have no answer yet, nor are expected to."""
        self._open = [query for query in self._open if not self._is_answered(query)]
        return frozenset(query.where for query in self._open) - EMPTY_HERE

    def _is_answered(self, query: Query) -> bool:
        found = self._watch.ask("query", query=query.expression)["result"]
        for one in found:
            assert query.legend <= one["metric"].keys(), query
        return any(one["value"][1] != "NaN" for one in found)


def _call(site: Running, watch: Watch) -> None:
    """The platform looks at a camera twice, and asks it for something."""
    for count in (1, 2):
        with Receiver().start() as receiver:
            call = PeerCall(site.peer, HALL, offer(receiver))
            assert call.invite().status == 200
            told = "sum(nvr_gb28181_first_packet_seconds_count)"
            wait_for("its figures", lambda: _is(watch, told, count))  # noqa: B023
            assert call.bye().status == 200
    body = (
        '<?xml version="1.0"?>\n<Control><CmdType>DeviceControl</CmdType><SN>1</SN>'
        f"<DeviceID>{HALL}</DeviceID><IFameCmd>Send</IFameCmd></Control>"
    )
    fields = (("Content-Type", "Application/MANSCDP+xml"),)
    order = site.peer.request("MESSAGE", target=HALL, body=body.encode(), fields=fields)
    assert site.peer.ask(order).status == 200


def _is(watch: Watch, query: str, value: float) -> bool:
    return [one["value"][1] for one in watch.ask("query", query=query)["result"]] == [str(value)]


def test_the_sample_of_a_district_is_what_prometheus_takes() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", CONFIG / "prometheus.yml"], check=False
    )
    assert done.returncode == 0
