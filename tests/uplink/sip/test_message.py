"""The message parser against what platforms send, and against anything."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uplink.sip.dialogs import Dialog
from uplink.sip.headers import Headers, Malformed
from uplink.sip.message import (
    FIELDS_MAX,
    HEAD_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Request,
    Response,
    parse,
)

#: Composed after gb28181.md 2.2, 3.1 and 4.1.
QUERY = (
    b"MESSAGE sip:34020000001180000001@192.0.2.10:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK71c2\r\n"
    b"From: <sip:34020000002000000001@3402000000>;tag=88a1\r\n"
    b"To: <sip:34020000001180000001@3402000000>\r\n"
    b"Call-ID: 5f0c2e6a1b\r\n"
    b"CSeq: 20 MESSAGE\r\n"
    b"Content-Type: Application/MANSCDP+xml\r\n"
    b"Max-Forwards: 70\r\n"
    b"Content-Length: 4\r\n"
    b"\r\n"
    b"\xb1\xb1\xc3\xc5"
)


def a_request(**changes: str) -> Request:
    message = parse(QUERY)
    assert isinstance(message, Request)
    for name, value in changes.items():
        message.headers.set(name.replace("_", "-"), value)
    return message


def test_a_query() -> None:
    message = a_request()
    assert message.method == "MESSAGE"
    assert message.uri == "sip:34020000001180000001@192.0.2.10:5060"
    assert message.via.branch == "z9hG4bK71c2"
    assert message.via.wants_rport
    assert message.sender.tag == "88a1"
    assert message.to.user == "34020000001180000001"
    assert (message.cseq.number, message.cseq.method) == (20, "MESSAGE")
    assert message.content_type == "application/manscdp+xml"
    assert message.body == "北门".encode("gb18030")


def test_written_again_it_reads_the_same() -> None:
    assert parse(a_request().serialize()) == a_request()


@pytest.mark.parametrize(
    "changed",
    [
        QUERY.replace(b"\r\n", b"\n"),
        b"\r\n\r\n" + QUERY,
        QUERY.replace(b"Via:", b"v :").replace(b"From:", b"f:").replace(b"To:", b"t:")
        .replace(b"Call-ID:", b"i:").replace(b"Content-Length:", b"l:")
        .replace(b"Content-Type:", b"c:"),
        QUERY.replace(b"Call-ID:", b"CALL-ID  :").replace(b"Via", b"VIA").replace(b"CSeq", b"cseq"),
        QUERY.replace(b";rport;", b";rport\r\n  ;"),
        QUERY.replace(b"SIP/2.0\r\nVia", b"sip/2.0\r\nVia").replace(b"MESSAGE s", b"message   s"),
        QUERY.replace(b"Content-Length: 4\r\n", b""),
        QUERY.replace(b"Content-Length: 4", b"Content-Length: 400"),
        QUERY.replace(b"Content-Length: 4", b"Content-Length: many"),
        QUERY + b"trailing",
        QUERY.replace(b"Max-Forwards", b"no field here\r\n: nor here\r\nMax-Forwards"),
        QUERY.replace(b"Call-ID", b"Subject: \xd6\xd0\xce\xc4\r\nCall-ID"),
        QUERY.replace(b"To: ", b"Call-ID: 5f0c2e6a1b\r\nTo: "),
    ],
    ids=["lf", "blank lines", "compact", "case", "folded", "start line", "no length", "long length",
         "no number", "trailing", "stray lines", "gb2312 field", "doubled"],
)  # fmt: skip
def test_tolerated(changed: bytes) -> None:
    """As platforms send it (gb28181.md 0.19 and 2.1), it reads as the plain one."""
    plain, message = a_request(), parse(changed)
    assert isinstance(message, Request)
    assert (message.method, message.uri, message.cseq) == (plain.method, plain.uri, plain.cseq)
    assert message.call_id == plain.call_id
    assert message.via.branch == plain.via.branch
    assert message.sender == plain.sender
    assert message.to == plain.to
    assert message.content_type == plain.content_type
    is_cut = b"Content-Length: 4\r\n" in changed
    assert message.body == plain.body if is_cut else message.body.startswith(plain.body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        QUERY.replace(b"Call-ID", b"X-Call-ID"),
        QUERY.replace(b"Via: ", b"X-Via: "),
        QUERY.replace(b"Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK71c2", b"Via: "),
        QUERY.replace(b"Via: ", b"Via:, "),  # found by tests.fuzz
        QUERY.replace(b"CSeq: 20 MESSAGE", b"CSeq: 20 INVITE"),
        QUERY.replace(b"CSeq: 20", b"CSeq: minus"),
        QUERY.replace(b"From: <sip", b"From: <"[:6] + b"<sip<"),
        QUERY.replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"),
        b"SIP/2.0 999 no\r\n" + QUERY.split(b"\r\n", 1)[1],
        b"SIP/2.0 20 no\r\n" + QUERY.split(b"\r\n", 1)[1],
        b"A" * (HEAD_BYTES_MAX + 1),
        QUERY.replace(b"Max-Forwards: 70\r\n", b"X: y\r\n" * (FIELDS_MAX + 1)),
        QUERY + b"x" * MESSAGE_BYTES_MAX,
        QUERY.replace(b";rport", b";a" * 100),
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


@pytest.mark.parametrize("behind", [b";rport", b"To: <sip:34020000001180000001@3402000000>"])
def test_an_answer_to_whatever_was_taken_can_be_read(behind: bytes) -> None:
    """Also where Via or To has as many parameters as it may (found by tests.fuzz)."""
    taken = 0
    for count in range(50, 70):
        try:
            message = parse(QUERY.replace(behind, behind + b";b" * count))
        except Malformed:
            continue
        assert isinstance(message, Request)
        taken += 1
        dialog = Dialog.of_request(message, "t")
        parse(dialog.request("BYE", via="SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1").serialize())
        message.headers.set("Via", str(message.via.stamped("198.51.100.1", 5060)))
        parse(Response.to_request(message, 200, to_tag="t").serialize())
    assert 5 < taken < 15


def test_an_answer_copies_what_it_must() -> None:
    request = a_request()
    request.headers.add("Via", "SIP/2.0/UDP second;branch=2")
    request.headers.add("Record-Route", "<sip:p;lr>")
    answer = parse(Response.to_request(request, 404, to_tag="ours").serialize())
    assert isinstance(answer, Response)
    assert (answer.status, answer.reason) == (404, "Not Found")
    assert answer.headers.all("Via") == request.headers.all("Via")
    assert answer.sender == request.sender
    assert answer.call_id == request.call_id
    assert answer.to.tag == "ours"
    assert answer.cseq == request.cseq
    assert answer.headers.all("Record-Route") == ["<sip:p;lr>"]
    in_dialog = a_request(To="<sip:a@b>;tag=theirs")
    assert Response.to_request(in_dialog, 200, to_tag="ours").to.tag == "theirs"


def test_what_cannot_be_read_is_echoed_byte_for_byte() -> None:
    data = QUERY.replace(b"From: <", b'From: "\xd6\xd0\xce\xc4" <')
    request = parse(data)
    assert isinstance(request, Request)
    assert b'"\xd6\xd0\xce\xc4" <sip:3402' in Response.to_request(request, 200).serialize()


def test_the_writer_is_strict() -> None:
    with pytest.raises(ValueError, match="start line"):
        Request(method="MESSAGE", uri="sip:a\r\nX: y").serialize()
    with pytest.raises(ValueError, match="start line"):
        Response(status=200, reason="a\nb").serialize()
    empty = Request(method="OPTIONS", uri="sip:a", headers=Headers(("A", "b"))).serialize()
    assert empty == b"OPTIONS sip:a SIP/2.0\r\nA: b\r\nContent-Length: 0\r\n\r\n"


PIECES = st.sampled_from(
    [QUERY[:n] for n in range(0, len(QUERY), 23)]
    + [line + b"\r\n" for line in QUERY.split(b"\r\n")]
    + [
        b"\r\n\r\n",
        b"\n",
        b" ",
        b";",
        b"<",
        b'"',
        b",",
        b"\\",
        b"\xff\xfe",
        b"\0",
        b"SIP/2.0 401 U",
    ]
)


@given(
    st.binary(max_size=300) | st.lists(PIECES | st.binary(max_size=9), max_size=14).map(b"".join)
)
@example(b"SIP/2.0 200\r\nv:SIP/2.0/UDP a\r\nf:<a>\r\nt:<b>\r\ni:c\r\nCSeq:1 A")
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    """And whatever was taken can be answered and written again."""
    try:
        message = parse(data)
    except Malformed:
        return
    again = parse(message.serialize())
    assert again.cseq == message.cseq
    assert again.body == message.body
    if isinstance(message, Request):
        stamped = message.via.stamped("192.0.2.1", 5060)
        message.headers.set("Via", str(stamped))
        answer = parse(Response.to_request(message, 200, to_tag="t").serialize())
        assert answer.call_id == message.call_id
    assert isinstance(message.contact, str)
    assert isinstance(message.content_type, str)
    assert isinstance(message.addresses("Record-Route"), tuple)


@given(
    st.binary(max_size=200),
    st.lists(st.tuples(st.sampled_from(["Subject", "X-A"]), st.text(max_size=20)), max_size=4),
)
def test_bodies_and_fields_survive(body: bytes, fields: list[tuple[str, str]]) -> None:
    request = Request(method="MESSAGE", uri="sip:a@b", headers=a_request().headers, body=body)
    for name, value in fields:
        request.headers.add(name, value)
    try:
        data = request.serialize()
    except (ValueError, UnicodeError):
        return
    assert parse(data).body == body
