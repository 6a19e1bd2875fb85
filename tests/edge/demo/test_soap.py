"""edge.demo.soap: calls in, envelopes out."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.demo import soap
from edge.demo.soap import EnvelopeMalformed, Token

_CALL = b"""<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>
<GetProfile xmlns="http://www.onvif.org/ver10/media/wsdl"><ProfileToken> main </ProfileToken>
</GetProfile></e:Body></e:Envelope>"""


def test_a_call_is_read() -> None:
    call = soap.parse_call(_CALL)
    assert (call.operation, call.namespace) == (
        "GetProfile",
        "http://www.onvif.org/ver10/media/wsdl",
    )
    assert call.arguments == {"ProfileToken": "main"}
    assert call.token is None


@pytest.mark.parametrize(
    "body",
    [b"", b"garbage", b"<a/>", b"<!DOCTYPE a><a/>", b'<?xml version="1.0" encoding="no"?><a/>'],
)
def test_what_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeMalformed):
        soap.parse_call(body)


@given(st.binary(max_size=300), st.integers(0, len(_CALL)))
@settings(max_examples=60)
def test_any_bytes_give_a_call_or_our_error(noise: bytes, at: int) -> None:
    for body in (noise, _CALL[:at] + noise + _CALL[at:]):
        try:
            assert soap.parse_call(body).operation is not None
        except EnvelopeMalformed:
            pass


@pytest.mark.parametrize(
    ("created", "us"),
    [
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("1970-01-01T08:00:00+08:00", 0),
        ("1970-01-01T00:00:00", None),
        ("yesterday", None),
    ],
)
def test_created_is_an_instant_or_nothing(created: str, us: int | None) -> None:
    token = Token(username="u", password_digest="d", nonce="n", created=created)
    assert token.created_us() == us


def test_text_is_escaped() -> None:
    root = ET.fromstring(soap.envelope(soap.element("x", soap.text("y", "<&>"), a='"<')))
    found = root.find(".//x")
    assert found is not None
    assert found.get("a") == '"<'
    assert found.findtext("y") == "<&>"


def test_a_fault_nests_its_subcodes() -> None:
    root = ET.fromstring(soap.fault(subcodes=("ter:InvalidArgVal", "ter:NoProfile"), reason="no"))
    values = [one.text for one in root.iter(f"{{{soap.ENVELOPE}}}Value")]
    assert values == ["s:Sender", "ter:InvalidArgVal", "ter:NoProfile"]
