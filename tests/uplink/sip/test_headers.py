"""Structured header fields: what platforms write, and what only an attacker would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.sip.headers import (
    CSeq,
    Headers,
    Malformed,
    NameAddress,
    SipUri,
    Via,
    quote,
    seconds,
    split,
    unquote,
)


def test_names_compare_without_case_and_compact_ones_are_written_out() -> None:
    headers = Headers(("v", "SIP/2.0/UDP a;branch=1"), ("CALL-id", "x"), ("l", "0"))
    assert headers.get("via") == headers.get("V") == "SIP/2.0/UDP a;branch=1"
    assert headers.get("Call-ID") == "x"
    assert [name for name, _ in headers] == ["Via", "CALL-id", "Content-Length"]
    headers.set("call-id", "y")
    headers.add("via", "two")
    assert headers.all("Via")[1] == "two"
    assert headers.serialize().startswith("Via: SIP/2.0/UDP a;branch=1\r\nCALL-id: y\r\n")


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "a\0b"])
def test_a_field_stays_one_field(value: str) -> None:
    with pytest.raises(ValueError, match="no header field"):
        Headers(("Subject", value)).serialize()
    with pytest.raises(ValueError, match="no header field"):
        Headers((value, "x")).serialize()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1",
            "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1",
        ),
        (
            "SIP / 2.0 / udp  host : 5061 ; branch = z3hG9bK ",
            "SIP/2.0/UDP host:5061;branch=z3hG9bK",
        ),
        ("SIP/2.0/TCP [2001:db8::1]:5060;branch=x", "SIP/2.0/TCP [2001:db8::1]:5060;branch=x"),
        ("SIP/2.0/UDP [2001:db8::1]", "SIP/2.0/UDP [2001:db8::1]"),
    ],
)
def test_via(text: str, written: str) -> None:
    assert str(Via.parse(text)) == written


def test_via_learns_where_it_came_from() -> None:
    """RFC 3581 4 with rport; RFC 3261 18.2.1 without."""
    asked = Via.parse("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=b").stamped("192.0.2.9", 4711)
    assert str(asked) == "SIP/2.0/UDP 10.0.0.1:5060;rport=4711;branch=b;received=192.0.2.9"
    unasked = Via.parse("SIP/2.0/UDP 192.0.2.9:5060;branch=b").stamped("192.0.2.9", 4711)
    assert str(unasked) == "SIP/2.0/UDP 192.0.2.9:5060;branch=b"


@pytest.mark.parametrize(
    "text",
    ["", "SIP/2.0/UDP", "SIP/3.0/UDP a", "HTTP/2.0/UDP a", "SIP/2.0/UDP a:0", "SIP/2.0/UDP a:99999",
     "SIP/2.0/UDP [::1", "SIP/2.0/ a:5060", "SIP/2.0/UDP a b:5060"],
)  # fmt: skip
def test_no_via(text: str) -> None:
    with pytest.raises(Malformed):
        Via.parse(text)


@pytest.mark.parametrize(
    ("text", "uri", "tag", "user"),
    [
        ("<sip:34020000002000000001@3402000000>;tag=a91", None, "a91", "34020000002000000001"),
        ('"a \\" <b>" <sip:u@h:5060;transport=tcp>;TAG=x;y', None, "x", "u"),
        ("sip:u@h;tag=bare", "sip:u@h", "bare", "u"),
        ("<sip:h>", "sip:h", "", ""),
        ("<tel:+8612345>;tag=t", "tel:+8612345", "t", ""),
        ("名字 <sip:u:pw@h>", "sip:u:pw@h", "", "u"),
    ],
)
def test_name_address(text: str, uri: str | None, tag: str, user: str) -> None:
    address = NameAddress.parse(text)
    assert uri is None or address.uri == uri
    assert address.tag == tag
    assert address.user == user
    assert NameAddress.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "<sip:a", "<>", "<sip:a b>", "sip:a b"])
def test_no_name_address(text: str) -> None:
    with pytest.raises(Malformed):
        NameAddress.parse(text)


def test_uri() -> None:
    uri = SipUri.parse("SIP:u@[2001:db8::5]:5070;transport=tcp?x=y")
    assert (uri.user, uri.host, uri.port) == ("u", "2001:db8::5", 5070)
    assert str(uri) == "sip:u@[2001:db8::5]:5070;transport=tcp"
    for text in ("tel:1", "sip:", "sip:a:b:c@", "sip:u@h:x"):
        with pytest.raises(Malformed):
            SipUri.parse(text)


def test_cseq() -> None:
    assert CSeq.parse(" 7   message ") == CSeq(number=7, method="MESSAGE")
    for text in ("", "x MESSAGE", "1", "99999999999 MESSAGE", "-1 MESSAGE", "٣ MESSAGE"):
        with pytest.raises(Malformed):
            CSeq.parse(text)


def test_seconds() -> None:
    assert (seconds(" 3600;x"), seconds("0"), seconds("-1"), seconds("")) == (3600, 0, None, None)


@given(st.text(max_size=40))
def test_quoting_is_undone(text: str) -> None:
    assert unquote(quote(text)) == text
    assert split(f"{quote(text)},b", ",") == [quote(text), "b"]


@given(st.text(max_size=60))
def test_nothing_but_malformed_is_raised(text: str) -> None:
    for parse in (Via.parse, NameAddress.parse, SipUri.parse, CSeq.parse):
        try:
            parse(text)
        except Malformed:
            pass
