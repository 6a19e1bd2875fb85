"""Are camera LAN, reserved interface and management kept apart (GB 55029-2022, 2.0.4)? Core.

What a look at the machine found goes in, what is wrong comes out. Loopback is nobody's side: a demo
records there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

LOOPBACK = "lo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A way out over ``interface``; ``gateway`` is empty for a network that is directly there."""

    network: str
    gateway: str
    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket that anybody may speak to; ``host`` is ``0.0.0.0`` or ``::`` for every address."""

    protocol: str  # tcp | udp
    host: str
    port: int

    @property
    def is_everywhere(self) -> bool:
        return ipaddress.ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return f"{self.protocol} {self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What a machine's network looks like, and which side is which."""

    forwarding: tuple[str, ...] = ()  # sysctls that let packets through
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by interface
    routes: tuple[Route, ...] = ()
    listeners: tuple[Listener, ...] = ()
    camera_interfaces: frozenset[str] = frozenset()
    reserved_interfaces: frozenset[str] = frozenset()
    #: Sockets that belong on the reserved interface: (protocol, port).
    reserved_ports: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that joins what must be apart; ``is_bad`` unless it only may."""

    thing: str
    sentence: str
    mend: str
    is_bad: bool = True


def faults(network: Network) -> list[Fault]:
    """Every fault, the gravest kind first."""
    return [
        *_forwarding(network),
        *_shared(network),
        *_ways_out(network),
        *_listeners(network),
    ]


def _sides(network: Network) -> dict[str, frozenset[str]]:
    return {
        "the camera LAN": network.camera_interfaces - {LOOPBACK},
        "the reserved interface": network.reserved_interfaces - {LOOPBACK},
    }


def _forwarding(network: Network) -> Iterator[Fault]:
    if not any(_sides(network).values()):
        return
    for name in network.forwarding:
        yield Fault(
            thing="forwarding",
            sentence=f"{name} is on: packets pass between the networks of this box",
            mend=f"sysctl -w {name}=0, and write it to /etc/sysctl.d/",
        )


def _shared(network: Network) -> Iterator[Fault]:
    for name in sorted((network.camera_interfaces & network.reserved_interfaces) - {LOOPBACK}):
        yield Fault(
            thing=f"interface {name}",
            sentence="carries the cameras and a platform",
            mend="give the platform an interface of its own",
        )


def _ways_out(network: Network) -> Iterator[Fault]:
    for route in network.routes:
        if route.gateway and route.interface in network.camera_interfaces - {LOOPBACK}:
            yield Fault(
                thing=f"camera LAN {route.interface}",
                sentence=f"has a way out: {route.network} over {route.gateway}",
                mend="take the gateway out of that interface's settings: cameras need none",
            )


def _listeners(network: Network) -> Iterator[Fault]:
    for listener in network.listeners:
        address = ipaddress.ip_address(listener.host)
        if address.is_loopback:
            continue
        for side, interfaces in _sides(network).items():
            on_reserved = side == "the reserved interface"
            is_ours = (listener.protocol, listener.port) in network.reserved_ports
            if not interfaces or (on_reserved and is_ours):
                continue
            here = {one for name in interfaces for one in network.addresses.get(name, ())}
            if listener.is_everywhere:
                yield Fault(
                    thing=f"listener {listener}",
                    sentence=f"listens on every address, so on {side}, too",
                    mend="bind it to the management address, or load nftables (see the sample)",
                    is_bad=False,
                )
            elif str(address) in here:
                yield Fault(
                    thing=f"listener {listener}",
                    sentence=f"listens on {side}",
                    mend="bind it to the management address",
                )
