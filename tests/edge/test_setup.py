"""``xueliang setup``: a site file becomes settings, passwords, stamps and an account."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from config.load import load
from edge.cli import main
from edge.setup.disks import add_line
from edge.setup.site import SiteFileRefused, setup_plan
from edge.setup.toml_text import toml_text
from retention.stamp import read_stamp

SITE = """
[site]
name = "阳光托育中心"
[storage]
volumes = ["{0}/a", "{0}/b"]
state_dir = "{0}/state"
[[camera]]
id = "gate-exit"
name = "人行出口"
role = "face"
gb_id = "36010200001320000001"
onvif = "192.0.2.10:80"
username = "recorder"
password = "Gate-Exit-1 \\"雪\\""
[camera.archive]
address = "北门"
[[platform]]
name = "police"
authorised_by = "文号"
server = "192.0.2.200:5060"
server_id = "36010200002000000001"
domain = "3601020000"
device_id = "36010200001180000001"
password = "Platform-1"
interface = "eth1"
"""


def run(folder: Path, *arguments: str) -> Any:
    site = folder / "site.toml"
    if not site.exists():
        site.write_text(SITE.format(folder))
    config = folder / "etc/xueliang.toml"
    given = ("setup", "--site", str(site), "-c", str(config), "--json", *arguments)
    return CliRunner().invoke(main, given)


def test_a_bare_box_is_set_up(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    settings = load(Path(told["config"]))
    assert "Gate-Exit-1" not in Path(told["config"]).read_text()
    [camera], [platform] = settings.camera, settings.platform
    assert camera.archive.address == "北门"
    for path, text in (
        (camera.password_file, 'Gate-Exit-1 "雪"'),
        (platform.password_file, "Platform-1"),
    ):
        assert path is not None
        assert path.read_text() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(told["config"]).stat().st_mode) == 0o640
    assert [one["new"] for one in told["volumes"]] == [True, True]
    assert read_stamp(tmp_path / "a")[0] == told["volumes"][0]["uuid"]
    assert told["first_user"] == "admin"
    assert len(told["first_password"]) >= 8


def test_a_box_that_is_set_up_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path)
    before = (tmp_path / "etc/xueliang.toml").read_bytes()
    again = run(tmp_path)
    assert again.exit_code == 1
    assert "--replace" in again.output
    assert (tmp_path / "etc/xueliang.toml").read_bytes() == before
    kept = run(tmp_path, "--replace", "--adopt")
    assert kept.exit_code == 0, kept.output
    assert json.loads(kept.stdout)["first_password"] is None  # there is an account already


def test_disks_of_another_box_are_adopted_only_when_that_is_said(tmp_path: Path) -> None:
    run(tmp_path)
    stamps = [read_stamp(tmp_path / name)[0] for name in ("a", "b")]
    (tmp_path / "etc/xueliang.toml").unlink()
    (tmp_path / "state").rename(tmp_path / "lost")
    (tmp_path / "b/gate-exit/2026/11/25/08").mkdir(parents=True)  # it has recorded
    refused = run(tmp_path)
    assert refused.exit_code == 1
    assert "--adopt" in refused.output
    assert not (tmp_path / "etc/xueliang.toml").exists()
    adopted = run(tmp_path, "--adopt")
    assert adopted.exit_code == 0, adopted.output
    told = json.loads(adopted.stdout)
    uuids = [one["uuid"] for one in told["volumes"]]
    assert uuids == stamps
    assert [one["new"] for one in told["volumes"]] == [True, False]


def test_a_set_up_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    """The settings come last; stamps, passwords and an account may stand by then."""
    first = json.loads(run(tmp_path).stdout)
    (tmp_path / "etc/xueliang.toml").unlink()
    again = run(tmp_path)
    assert again.exit_code == 0, again.output
    told = json.loads(again.stdout)
    assert told["volumes"] == first["volumes"]
    assert (told["first_password"], told["adopted_segments"]) == (None, None)
    assert load(Path(told["config"]))


def test_a_line_of_fstab_is_added_whole(tmp_path: Path) -> None:
    fstab, link = tmp_path / "fstab", tmp_path / "link"
    link.symlink_to(fstab)
    add_line(link, "one\n")
    assert fstab.read_text() == "one\n"
    fstab.write_text("no end")
    fstab.chmod(0o644)
    add_line(link, "two\n")
    assert fstab.read_text() == "no end\ntwo\n"
    assert link.is_symlink()


def test_what_is_no_footage_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/holiday.jpg").write_text("photo")
    refused = run(tmp_path)
    assert refused.exit_code == 1
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["holiday.jpg"]
    assert not (tmp_path / "etc/xueliang.toml").exists()


def test_settings_that_would_be_refused_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE.format(tmp_path).replace("gb_id", "gb_idd"))
    refused = run(tmp_path)
    assert refused.exit_code == 2
    assert "gb_idd" in refused.output
    assert not (tmp_path / "etc").exists()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "camera",
    [
        {"id": "a", "password": "x", "password_file": "/y"},
        {"id": "a", "password": 7},
        {"id": "a", "password": "x\n"},
        {"id": "../a", "password": "x"},
        {"password": "x"},
    ],
)
def test_a_password_that_has_no_place_is_refused(camera: dict[str, Any]) -> None:
    with pytest.raises(SiteFileRefused):
        setup_plan({"camera": [camera]}, Path("/secrets"))


VALUES = st.one_of(
    st.text(), st.integers(-(2**60), 2**60), st.booleans(), st.floats(allow_nan=False),
    st.lists(st.text(), max_size=3),
)  # fmt: skip
TABLES = st.recursive(
    st.dictionaries(st.text(), VALUES, max_size=4),
    lambda below: st.dictionaries(
        st.text(), st.one_of(VALUES, below, st.lists(below, min_size=1, max_size=3)), max_size=4
    ),
    max_leaves=8,
)


@given(TABLES)
def test_toml_reads_back(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(document)) == document
