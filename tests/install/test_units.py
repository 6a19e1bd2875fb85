"""The systemd units: fenced well, and understood by systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.fence import drop_ins

SYSTEMD = Path(__file__).parents[2] / "systemd"
SERVICES = sorted(path.name for path in (SYSTEMD / "system").glob("xueliang-*.service"))
#: systemd's own scale: 0 is shut, 10 is open.
EXPOSURE_MAX = 2.0
SITE = {
    "storage": {"volumes": ["/srv/xueliang/a"]},
    "camera": [{"onvif": "192.0.2.10:80"}],
    "platform": [{"server": "192.0.2.200:5060", "interface": "eth1"}],
    "console": {"bind": "192.168.1.2:8443"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with our units, as a site's settings open them."""
    made = tmp_path_factory.mktemp("root")
    folder = made / "usr/lib/systemd/system"
    shutil.copytree(SYSTEMD / "system", folder)
    for service, text in drop_ins(SITE).items():
        below = folder / f"xueliang-{service}.service.d"
        below.mkdir(exist_ok=True)
        (below / "50-settings.conf").write_text(text)
    for program in ("usr/lib/xueliang-edge/current/bin/python", "usr/lib/xueliang-edge/rescue"):
        (made / program).parent.mkdir(parents=True, exist_ok=True)
        (made / program).write_text("#!/bin/sh\n")
        (made / program).chmod(0o755)
    return made


def analyze(root: Path, unit: str, *words: str) -> subprocess.CompletedProcess[str]:
    name = unit.replace("@.", "@xueliang-edge.")
    command = ["systemd-analyze", *words, f"--root={root}", name]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure(root: Path, unit: str) -> None:
    answer = analyze(root, unit, "security", "--no-pager", "--offline=yes")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", answer.stdout)
    assert found, answer.stderr
    assert float(found[1]) < EXPOSURE_MAX, answer.stdout


@pytest.mark.parametrize("unit", SERVICES)
def test_systemd_understands_every_line(root: Path, unit: str) -> None:
    answer = analyze(root, unit, "verify", "--man=no", "--recursive-errors=no")
    told = [line for line in answer.stderr.splitlines() if "xueliang" in line]
    assert [line for line in told if "not executable" not in line] == []


def test_each_service_has_a_user_of_its_own() -> None:
    users = {}
    for unit in SERVICES:
        text = (SYSTEMD / "system" / unit).read_text()
        found = re.search(r"^User=(.+)$", text, re.MULTILINE)
        if found:
            users[unit] = found[1]
    assert len(set(users.values())) == len(users) >= 2
    known = (SYSTEMD / "sysusers.d/xueliang-edge.conf").read_text()
    for user in users.values():
        assert f"\nu {user} " in known


def test_nothing_in_tmpfiles_ages() -> None:
    """tmpfiles.d(5): the sixth field would have files removed by their age."""
    for line in (SYSTEMD / "tmpfiles.d/xueliang-edge.conf").read_text().splitlines():
        if not line.startswith("#"):
            kind, path, mode, user, group = line.split()
            assert kind == "d", line
            assert user == "root" or user.startswith("xueliang-"), line
            assert path.startswith("/"), line
            assert mode[-1] in "015", line
            assert group in ("root", "xueliang", "xueliang-console"), line


def test_no_unit_says_what_the_common_sandbox_takes_back() -> None:
    """A drop-in is read after the unit: it wins, and an empty list empties what the unit said."""
    common = (SYSTEMD / "system/xueliang-.service.d/10-sandbox.conf").read_text()
    settled = {
        key
        for key, _, value in (line.partition("=") for line in common.splitlines())
        if value in ("yes", "no", "") or key == "CapabilityBoundingSet"
    } - {"[Service]", ""}
    assert "CapabilityBoundingSet" in settled
    for unit in SERVICES:
        for line in (SYSTEMD / "system" / unit).read_text().splitlines():
            assert line.partition("=")[0] not in settled, (unit, line)
