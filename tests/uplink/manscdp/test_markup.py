"""The reader mends what platforms break; the writer is read by expat."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.manscdp import markup
from uplink.manscdp.markup import Element, MarkupMalformed, leaf, node, optional, parse, render


def test_elements_attributes_and_text_are_read() -> None:
    root = parse(
        '<?xml version="1.0"?><A x="1 &amp; 2"><B> b </B><!-- c --><C/><D y=\'z\'>d</D></A>'
    )
    assert (root.name, root.attributes) == ("A", {"x": "1 & 2"})
    assert [(one.name, one.text, one.attributes) for one in root.children] == [
        ("B", " b ", {}),
        ("C", "", {}),
        ("D", "d", {"y": "z"}),
    ]
    assert root.value("b") == "b"


def test_an_end_tag_that_lost_its_bracket_ends_its_element() -> None:
    # as the open platform's alarm subscription has it
    root = parse("<Query><EndAlarmPriority>4/EndAlarmPriority><AlarmMethod>0</AlarmMethod></Query>")
    assert root.value("EndAlarmPriority") == "4"
    assert [one.name for one in root.children] == ["EndAlarmPriority", "AlarmMethod"]


@pytest.mark.parametrize(
    "text",
    [
        "<A><B>1</B><C>2</C>",  # cut off
        "<A><B>1</X></B><C>2</C></A>",  # an end of nothing
        "<A><B>1</b><c>2</C></a>",  # case
        "<n:A xmlns:n='u'><n:B>1</n:B><n:C>2</n:C></n:A>",  # prefixes
        "  junk <A>\n<B>1</B>\n<C>2</C>\n</A> more <Z/>",
    ],
)
def test_what_is_not_quite_xml_is_taken(text: str) -> None:
    root = parse(text)
    assert (root.value("B"), root.value("C")) == ("1", "2")


def test_an_element_left_open_hides_nothing() -> None:
    root = parse("<Query><SN>1<DeviceID>2</DeviceID></Query>")
    assert (root.value("SN"), root.value("DeviceID")) == ("1", "2")


def test_entities_and_lone_signs() -> None:
    root = parse("<A>&lt;&#20013;&#x4e2d;&nbsp; & < 3 &#0;<![CDATA[<x>]]></A>")
    assert root.text == "<中中&nbsp; & < 3 \ufffd<x>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "<a><!DOCTYPE b></a>",
        "<a><!-- never ends",
        "<a>" * (markup.DEPTH_MAX + 1),
        "<a>" + "<b/>" * markup.ELEMENTS_MAX,
        "<a>" + " " * markup.CHARACTERS_MAX,
    ],
)
def test_what_would_cost_too_much_is_refused(text: str) -> None:
    with pytest.raises(MarkupMalformed):
        parse(text)


_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
_TEXTS = st.text(max_size=60)
_TREES = st.recursive(
    st.builds(leaf, _NAMES, _TEXTS),
    lambda below: st.builds(
        lambda name, children, value: node(name, *children, Num=value),
        _NAMES,
        st.lists(below, min_size=1, max_size=4),
        _TEXTS,
    ),
    max_leaves=12,
)


@given(_TREES)
def test_what_is_written_is_xml_and_reads_back(tree: Element) -> None:
    text = render(tree)
    judge = ET.fromstring(text)
    ours = parse(text)

    def same(one: Element, other: ET.Element) -> None:
        assert (one.name, one.attributes) == (other.tag, other.attrib)
        if not one.children:
            assert one.text == (other.text or "")
        assert len(one.children) == len(other)
        for ours_below, judge_below in zip(one.children, other, strict=True):
            same(ours_below, judge_below)

    same(ours, judge)


@given(_TEXTS)
def test_text_survives_but_for_what_xml_cannot_hold(text: str) -> None:
    kept = parse(render(leaf("A", text))).text
    assert kept == markup._cleaned(text)
    assert len(kept) <= len(text)
    assert "\n" not in kept


def test_no_value_is_no_element_and_long_text_is_cut() -> None:
    assert optional("A", None) is None
    assert optional("A", "") is None
    assert optional("A", 0) == leaf("A", 0)
    assert len(parse(render(leaf("A", "x" * 5000))).text) == markup.TEXT_CHARACTERS_MAX


_PIECES = st.sampled_from(
    ["<", ">", "/", "<a>", "</a>", "<b x='", '"', "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>"]
    + ["&", "&#", "&#x", ";", "&lt;", "/a>", " ", "中", "\x00", "<SN>", "<!", "="]
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=5)), max_size=60).map("".join))
def test_the_reader_never_raises_anything_else(text: str) -> None:
    try:
        root = parse(text)
    except MarkupMalformed:
        return
    assert root.name
    assert sum(len(one.text) for one in root.walk()) <= len(text)


@pytest.mark.parametrize(
    "piece",
    ["<", "<a", "<!--", "<a x='", "&#", "&", "<a>x/a>", "<![CDATA[", "</a>", "<a ", "x</b>"],
)
def test_hostile_repetition_is_read_within_the_suite_s_time(piece: str) -> None:
    """Quadratic work on the largest body would take minutes: pytest-timeout is the judge."""
    text = "<r>" + piece * (markup.CHARACTERS_MAX // len(piece) - 1)
    try:
        parse(text)
    except MarkupMalformed:
        pass
