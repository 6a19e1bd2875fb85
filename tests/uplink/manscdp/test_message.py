"""Heads of messages, and lists in parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.uplink.bodies import DEVICE, asked, judged, judged_all
from uplink.manscdp.charset import Charset
from uplink.manscdp.markup import leaf, node
from uplink.manscdp.message import Head, Kind, MessageMalformed, read, response


def test_a_query_is_read() -> None:
    message = read(asked("RecordInfo", "<StartTime> x </StartTime><Info><A>1</A></Info>"))
    assert (message.kind, message.command, message.sn) == (Kind.QUERY, "RecordInfo", "17")
    assert message.device_id == DEVICE
    assert message.value("StartTime") == "x"
    assert message.number("Info", "A") == 1
    assert message.value("Info", "B") == message.value("None", "B") == ""


def test_order_case_and_blanks_do_not_matter() -> None:
    body = (
        b"<query><DeviceID> 34020000001180000001\n</DeviceID><New/>"
        b"<sn> 5 </sn><cmdtype>Catalog</cmdtype></query>"
    )
    message = read(body)
    assert (message.kind, message.command, message.sn) == (Kind.QUERY, "Catalog", "5")
    assert message.device_id == DEVICE


def test_without_a_device_the_answer_names_ours() -> None:
    message = read(b"<Query><CmdType>Catalog</CmdType><SN>5</SN><DeviceID></DeviceID></Query>")
    assert message.device_id == ""
    assert response(message, DEVICE).device_id == DEVICE


def test_a_body_that_is_no_tree_is_rescued() -> None:
    body = b"<Query><!-- <CmdType>Catalog</CmdType><SN>5</SN><DeviceID>34</DeviceID>"
    message = read(body)
    assert (message.command, message.sn, message.device_id) == ("Catalog", "5", "34")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"<Query><SN>1</SN></Query>",
        b"<Query><CmdType>Catalog</CmdType></Query>",
        b"<Query><CmdType>Cat&alog</CmdType><SN>1</SN></Query>",
        b"<Query><CmdType>Catalog</CmdType><SN>1 OR 1=1</SN></Query>",
        b"<Other><CmdType>Catalog</CmdType><SN>1</SN></Other>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><Query><CmdType>Catalog</CmdType><SN>1</SN></Query>',
    ],
)
def test_what_is_no_message(body: bytes) -> None:
    with pytest.raises(MessageMalformed):
        read(body)


@given(
    st.binary(max_size=300)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes(body: bytes) -> None:
    try:
        read(body)
    except MessageMalformed:
        pass


@given(st.data())
def test_a_damaged_query_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(asked("RecordInfo", "<StartTime>2026-11-23T08:00:00</StartTime>"))
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    try:
        message = read(bytes(body[:cut]))
    except MessageMalformed:
        return
    assert message.command
    assert message.sn


_HEAD = Head(kind=Kind.RESPONSE, command="Catalog", sn="9", device_id=DEVICE)


@given(
    st.lists(st.text(max_size=120), max_size=40),
    st.integers(300, 3000),
    st.sampled_from(list(Charset)),
)
def test_parts_hold_every_item_and_their_bound(
    names: list[str], bytes_max: int, charset: Charset
) -> None:
    items = [node("Item", leaf("Name", f"{n}")) for n in range(len(names))]
    for item, name in zip(items, names, strict=True):
        item.children.append(leaf("Text", name))
    parts = list(
        _HEAD.parts(charset, list_name="List", items=items, total=len(items), bytes_max=bytes_max)
    )
    found = judged_all(parts, bytes_max, "List")
    assert [item.findtext("Name") for item in found] == [f"{n}" for n in range(len(names))]
    for part in parts:
        listed = judged(part).find("List")
        is_alone = listed is None or len(listed) == 1
        assert is_alone or len(part) <= bytes_max + 8  # Num grows by a few digits


def test_an_empty_list_is_one_body_without_the_list() -> None:
    (only,) = _HEAD.parts(Charset.GB2312, list_name="List", items=(), total=0, bytes_max=900)
    root = judged(only)
    assert [child.tag for child in root] == ["CmdType", "SN", "DeviceID", "SumNum"]
    assert root.findtext("SumNum") == "0"
