from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.address import Address, PortRange


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.10:80", "192.0.2.10", 80),
        ("[2001:db8::1]:8080", "2001:db8::1", 8080),
        ("camera-1.lan:80", "camera-1.lan", 80),
        ("localhost:1", "localhost", 1),
    ],
)
def test_addresses_round_trip(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert address == Address(host=host, port=port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.10", "192.0.2.10:", ":80", "192.0.2.10:0", "192.0.2.10:65536", "192.0.2.300:80",
        "http://192.0.2.10:80", "2001:db8::1:80", "[192.0.2.10]:80", "a b:80", "-x:80", "u@h:80",
        "", "h:８０", "h:+8",
    ],
)  # fmt: skip
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no "):
        Address.parse(text)


def test_loopback_is_known() -> None:
    assert Address.parse("127.0.0.1:1").is_loopback
    assert Address.parse("[::1]:1").is_loopback
    assert not Address.parse("0.0.0.0:1").is_loopback
    assert not Address.parse("localhost:1").is_ip


@pytest.mark.parametrize("text", ["30000", "30199-30000", "1-70000", "0-5", "5-5", "a-b", "-1-2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no range of ports"):
        PortRange.parse(text)


def test_both_ends_belong_to_a_range() -> None:
    ports = PortRange.parse("30000-30199")
    assert 30000 in ports
    assert 30199 in ports
    assert 30200 not in ports
    assert str(ports) == "30000-30199"


@given(st.text(max_size=300))
def test_fuzz(text: str) -> None:
    for parse in (Address.parse, PortRange.parse):
        message = ""
        try:
            parse(text)
        except ValueError as error:
            message = str(error)
        assert len(message) < 400
