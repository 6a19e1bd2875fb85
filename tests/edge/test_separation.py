"""Camera LAN, reserved interface and management: what joins them is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.separation import Listener, Network, Route, faults
from tests.support.netns import ReservedNet

SAMPLE = Path(__file__).parents[2] / "systemd/nftables/xueliang.nft"


def network(**changes: object) -> Network:
    found = {
        "addresses": {"eth0": ("192.168.10.2",), "eth1": ("192.0.2.50",), "lo": ("127.0.0.1",)},
        "camera_interfaces": frozenset({"eth0"}),
        "reserved_interfaces": frozenset({"eth1"}),
        "reserved_ports": frozenset({("udp", 5060)}),
        **changes,
    }
    return Network(**found)  # type: ignore[arg-type]


def listener(host: str, port: int = 22, protocol: str = "tcp") -> Listener:
    return Listener(protocol=protocol, host=host, port=port)


def test_a_box_that_is_kept_apart_has_no_fault() -> None:
    routes = (
        Route(network="192.168.10.0/24", gateway="", interface="eth0"),
        Route(network="default", gateway="192.0.2.1", interface="eth1"),
    )
    listeners = (
        listener("127.0.0.1"),
        listener("192.168.20.2", 8443),
        listener("192.0.2.50", 5060, "udp"),
    )
    assert faults(network(routes=routes, listeners=listeners)) == []


@pytest.mark.parametrize(
    ("changes", "things"),
    [
        ({"forwarding": ("net.ipv4.ip_forward",)}, ["forwarding"]),
        ({"reserved_interfaces": frozenset({"eth0"})}, ["interface eth0"]),
        (
            {"routes": (Route(network="default", gateway="192.168.10.1", interface="eth0"),)},
            ["camera LAN eth0"],
        ),
        ({"listeners": (listener("192.168.10.2"),)}, ["listener tcp 192.168.10.2:22"]),
        ({"listeners": (listener("192.0.2.50", 8443),)}, ["listener tcp 192.0.2.50:8443"]),
    ],
)
def test_each_join_is_a_fault(changes: dict[str, object], things: list[str]) -> None:
    found = faults(network(**changes))
    assert [one.thing for one in found] == things
    assert all(one.is_bad and one.mend for one in found)


def test_a_listener_on_every_address_is_a_warning_for_each_side() -> None:
    found = faults(network(listeners=(listener("0.0.0.0"), listener("::", 80))))
    assert len(found) == 4
    assert not any(one.is_bad for one in found)


def test_a_demo_on_loopback_has_no_sides() -> None:
    found = network(
        forwarding=("net.ipv4.ip_forward",),
        camera_interfaces=frozenset({"lo"}),
        reserved_interfaces=frozenset(),
        listeners=(listener("0.0.0.0"),),
    )
    assert faults(found) == []


# With a kernel ------------------------------------------------------------------------------


@pytest.fixture
def net() -> Iterator[ReservedNet]:
    with ReservedNet() as made:
        yield made


LOOK = """
import json, socket, sys
from pathlib import Path
from config.load import parse
from edge import separation, separation_look
sockets = [socket.create_server((host, port)) for host, port in json.loads(sys.argv[2])]
network = separation_look.look(parse(sys.argv[1], file="test"))
print(json.dumps([[one.thing, one.is_bad] for one in separation.faults(network)]))
"""


def looked(net: ReservedNet, camera: str, listeners: list[tuple[str, int]]) -> list[list[object]]:
    settings = (
        '[site]\nname = "x"\n[storage]\nvolumes = ["/tmp/xl-v"]\nstate_dir = "/tmp/xl-s"\n'
        f'[[camera]]\nid = "a"\nname = "a"\nrtsp = "rtsp://{camera}/1"\n'
    )
    command = [*net.wrapper, sys.executable, "-c", LOOK, settings, json.dumps(listeners)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[list[object]] = json.loads(done.stdout)
    return found


@pytest.mark.root
def test_the_kernel_is_asked(net: ReservedNet) -> None:
    camera, own = net.address(1), net.address(10)
    assert looked(net, camera, [("127.0.0.1", 7000)]) == []
    assert looked(net, camera, [(own, 7001)]) == [[f"listener tcp {own}:7001", True]]
    assert looked(net, camera, [("0.0.0.0", 7002)]) == [["listener tcp 0.0.0.0:7002", False]]
    net.inside("sysctl", "-qw", "net.ipv4.ip_forward=1")
    net.inside("ip", "route", "add", "default", "via", net.address(2))
    assert looked(net, camera, []) == [["forwarding", True], ["camera LAN eth9", True]]


@pytest.mark.root
def test_nftables_takes_the_sample(tmp_path: Path) -> None:
    """Checked in a network namespace, with users that stand in for the package's."""
    text = SAMPLE.read_text()
    for number, service in enumerate(("edge", "uplink", "console", "diagnose")):
        assert f'skuid "xueliang-{service}"' in text
        text = text.replace(f'"xueliang-{service}"', str(60000 + number))
    rules = tmp_path / "xueliang.nft"
    rules.write_text(text)
    load_twice = 'nft -c -f "$0" && nft -f "$0" && nft -f "$0"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", load_twice, rules], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
