"""The report for people: whole, in two languages, from nowhere else, and harmless."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.report import charts
from edge.report.charts import Cell
from edge.report.page import page
from edge.report.words import ACTIONS, Language
from retention.audit_chain import Action
from tests.edge.report.documents import CAMERAS, document

LANGUAGES: tuple[Language, Language] = ("zh", "en")
_VOID = {"meta", "br", "hr", "img"}


class Reader(HTMLParser):
    """Fails where elements do not close in their order; keeps what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_whole_and_asks_for_nothing(language: Language) -> None:
    text = page(document(), language)
    read = Reader(text)
    assert read.addresses == []
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(read.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    seen = " ".join(read.text)
    for name, _ in CAMERAS.values():
        assert name in seen  # also the one that looks like HTML
    assert "<script>alert(1)</script>" in seen  # shown, not run
    assert read.tags.count("svg") >= 5


def test_each_page_speaks_its_language() -> None:
    zh, en = (" ".join(Reader(page(document(), language)).text) for language in LANGUAGES)
    for title in ("指标", "录像完整性", "保存天数", "时钟", "删除", "访问登记", "告警", "证据"):
        assert title in zh
    for title in ("Key figures", "Completeness", "Days kept", "Deletions", "Access register"):
        assert title in en
        assert title not in zh
    assert "断电" in zh
    assert "power lost" in en
    assert "画面遮挡" in zh
    assert "covered picture" in en


def test_no_action_is_left_without_words() -> None:
    """Whatever is put on record reads in both languages."""
    assert [action.value for action in Action if action.value not in ACTIONS] == []


def test_what_was_not_measured_is_no_number() -> None:
    told = document()
    zh = " ".join(Reader(page(told, "zh")).text)
    assert "未测" in zh
    told["edge_running"], told["retention"], told["clock"]["now"] = False, None, None
    for language in LANGUAGES:
        Reader(page(told, language))
    assert "未运行" in page(told, "zh")


def test_what_is_left_out_is_said() -> None:
    assert "40 of 64 are shown" in page(document(), "en")


def test_a_site_without_anything_is_told_as_such() -> None:
    empty = document(days=1)
    empty["cameras"] = []
    empty["deletions"] = {
        "count": 0,
        "by_reason": {},
        "bytes_by_day": {},
        "breaches": {"count": 0, "rows": []},
    }
    empty["holds"], empty["nights"] = [], []
    empty["alarms"] = empty["access"] = {"count": 0, "rows": [], "actions": {}}
    for language in LANGUAGES:
        Reader(page(empty, language))
    assert "Nothing was deleted under the floor." in page(empty, "en")


@given(st.text(max_size=40))
def test_no_name_breaks_the_page(name: str) -> None:
    told: dict[str, Any] = document(days=2)
    told["cameras"][0]["name"] = told["access"]["rows"][0]["detail"]["reason"] = name
    read = Reader(page(told, "zh"))
    assert "script" not in read.tags


@given(
    st.dictionaries(st.text(max_size=9), st.floats(0, 1e15), max_size=5),
    st.lists(st.none() | st.floats(0, 1), max_size=95),
)
def test_plots_are_xml_whatever_they_show(
    values: dict[str, float], ratios: list[float | None]
) -> None:
    texts = {key: value for key, value in values.items() if key.isprintable()}
    cells = [Cell(ratio=ratio, title="<&>") for ratio in ratios]
    days = [f"2026-01-{number:02}" for number in range(len(ratios))]
    for plot in (
        charts.bars(texts, "h", "x", (3.0, "<mark>")),
        charts.columns(texts, "GB", "x"),
        charts.strips(days, {"<a>": cells}, "x"),
        charts.dots(days or ["2026-01-01"], {"c": dict.fromkeys(days, 99.0)}, 5, "x"),
    ):
        root = ET.fromstring(plot)
        assert float(root.get("width", "0")) > 0


def test_levels_do_not_flatter() -> None:
    signs = [charts.level(ratio)[1] for ratio in (1.0, 0.999999, 0.99, 0.98, 0.5, 0.0)]
    assert signs == ["", "·", "–", "!", "×", "×"]
