"""What the settings open in the services' fences."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import config
from config.fence import drop_ins, mount_unit

EXAMPLE = Path(config.__file__).parent / "xueliang.example.toml"


def lines(text: str, key: str) -> list[str]:
    return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(f"{key}=")]


def test_edge_reaches_its_cameras_networks_and_writes_its_disks_alone() -> None:
    made = drop_ins(tomllib.loads(EXAMPLE.read_text()))
    assert lines(made["edge"], "IPAddressAllow") == [
        "192.0.2.0/24",
        "239.255.255.250/32",
        "ff02::c/128",
    ]
    writes = lines(made["edge"], "ReadWritePaths")
    assert writes == ["-/srv/xueliang/a", "-/srv/xueliang/b", "-/var/lib/xueliang"]
    assert lines(made["edge"], "After") == ["srv-xueliang-a.mount", "srv-xueliang-b.mount"]
    for service in ("uplink", "console", "diagnose"):
        assert not lines(made[service], "IPAddressAllow")  # no platform, a console on loopback
        assert lines(made[service], "ReadOnlyPaths") == ["-/srv/xueliang/a", "-/srv/xueliang/b"]
        assert all("/var/lib/xueliang/" in path for path in lines(made[service], "ReadWritePaths"))


def test_edge_looks_for_cameras_in_private_networks_until_one_is_named() -> None:
    allowed = lines(drop_ins({})["edge"], "IPAddressAllow")
    assert {"10.0.0.0/8", "192.168.0.0/16", "239.255.255.250/32"} <= set(allowed)
    assert "any" not in allowed
    allowed = lines(drop_ins({"camera": [{"onvif": "192.168.7.9:80"}]})["edge"], "IPAddressAllow")
    assert allowed == ["192.168.7.0/24", "239.255.255.250/32", "ff02::c/128"]


def test_edge_writes_exports_where_the_settings_say() -> None:
    made = drop_ins({"console": {"export_dir": "/srv/exports"}})
    assert lines(made["edge"], "ReadWritePaths") == ["-/var/lib/xueliang", "-/srv/exports"]
    assert "/srv/exports" not in made["console"]


def test_uplink_reaches_its_platforms_alone() -> None:
    platform = {
        "server": "192.0.2.200:5060",
        "peers": ["192.0.2.201"],
        "upload_hosts": ["198.51.100.7"],
        "interface": "eth1",
    }
    uplink = drop_ins({"platform": [platform]})["uplink"]
    assert lines(uplink, "IPAddressAllow") == [
        "192.0.2.200/32",
        "192.0.2.201/32",
        "198.51.100.7/32",
    ]
    assert lines(uplink, "RestrictNetworkInterfaces") == ["lo eth1"]


def test_a_name_cannot_be_fenced_in() -> None:
    made = drop_ins({"camera": [{"onvif": "192.0.2.1:80"}, {"rtsp": "rtsp://gate.lan/1"}]})
    assert lines(made["edge"], "IPAddressAllow") == ["any"]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"storage": 1, "camera": "x", "platform": [1], "console": {"bind": 7}},
        {"storage": {"volumes": ["a\nReadWritePaths=/", "/a b%d"], "state_dir": ["/"]}},
        {"platform": [{"server": "x\nIPAddressAllow=any", "interface": "eth0\nUser=root"}]},
    ],
)
def test_no_settings_write_lines_of_their_own(raw: dict[str, object]) -> None:
    for text in drop_ins(raw).values():
        assert "User" not in [line.split("=")[0] for line in text.splitlines()]
        assert "ReadWritePaths=/" not in text.splitlines()


@pytest.mark.parametrize("path", ["/srv/xueliang/a", "/srv/disk-1", "/srv/a b", "/", "/.x/雪"])
def test_mount_units_are_named_as_systemd_names_them(path: str) -> None:
    answer = subprocess.run(
        ["systemd-escape", "--path", "--suffix=mount", path], capture_output=True, text=True
    )
    assert mount_unit(path) == answer.stdout.strip()


def test_the_generator_imports_nothing_but_the_standard_library() -> None:
    """It delays the boot of the whole machine."""
    script = (
        "import sys; from config import fence_generator;"
        "print({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '.'); {script}"],
        capture_output=True,
        text=True,
        cwd=Path(config.__file__).parent.parent,
    )
    assert eval(answer.stdout) - {"__main__"} == {"config"}, answer.stderr
