"""edge.camera.plain_xml: nothing that XML can do to a reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.plain_xml import DEPTH_MAX, NODES_MAX, XmlRefused, read_xml

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;">]><b>&b;</b>'
)  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        BOMB.encode(),
        BOMB.encode("utf-16"),
        b'<!DOCTYPE b SYSTEM "file:///etc/passwd"><b/>',
        b"<a>&nosuch;</a>",
        b'<?xml version="1.0" encoding="nosuch"?><a/>',
        b"<a>" * (DEPTH_MAX + 1) + b"</a>" * (DEPTH_MAX + 1),
        b"<a>" + b"<b/>" * NODES_MAX + b"</a>",
        b"<a>" + b" " * 1024 * 1024 + b"</a>",
        b"<x:a/>",
    ],
)
def test_what_is_malformed_or_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(XmlRefused):
        read_xml(data)


def test_names_attributes_and_text_are_read_whatever_the_prefixes() -> None:
    root = read_xml(
        '<p:a xmlns:p="urn:1" x="1" p:y="2">t<b xmlns="urn:2"> 名 <c/></b><b>2</b></p:a>'.encode()
    )
    assert (root.namespace, root.name, root.attributes) == ("urn:1", "a", {"x": "1", "y": "2"})
    assert [one.namespace for one in root.all("b")] == ["urn:2", ""]
    assert root.text_of("b") == "名"
    assert root.find("c") is None
    assert root.first("c") is not None
    assert root.text_of("nosuch") == ""


@given(st.binary(max_size=300) | st.text(alphabet="<>/a&;!'\"[] =x:", max_size=80).map(str.encode))
def test_any_bytes_are_an_element_or_refused(data: bytes) -> None:
    try:
        read_xml(data)
    except XmlRefused:
        pass
