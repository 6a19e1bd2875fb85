"""Pieces of a report's page: HTML out, values in. Core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from edge.report.words import Words

DETAIL_CHARACTERS_MAX = 160


def section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def bad(text: str) -> str:
    """What a reader must not miss."""
    return f"<span class='bad'>{escape(text)}</span>"


def note(text: str) -> str:
    return f"<p class='note'>{escape(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    """Of HTML."""
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, is_number: bool = False) -> str:
    """Cells are HTML; the head is text. Nothing where there are no rows."""
    if not rows:
        return ""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    kind = " class='numbers'" if is_number else ""
    head_html = f"<thead><tr>{titles}</tr></thead>"
    inside = f"<table{kind}>{head_html}<tbody>{body}</tbody></table>"
    return f"<div class='scroll'>{inside}</div>"


def percent(ratio: float | None, words: Words) -> str:
    """Rounded down already: what lacks a second does not read as 100 %."""
    if ratio is None:
        return words.say("未测", "not measured")
    return "100 %" if ratio == 1 else f"{int(ratio * 10_000) / 100:.2f} %"


def grade(ratio: float | None) -> str:
    if ratio is None:
        return "none"
    return "good" if ratio >= 0.995 else "fair" if ratio >= 0.95 else "bad"


def moment(text: str | None) -> str:
    return "-" if text is None else escape(text[:19].replace("T", " "))


def date(text: str | None) -> str:
    return "-" if text is None else escape(text[:10])


def duration(seconds: float) -> str:
    if seconds >= 86_400:
        return f"{seconds / 86_400:.1f} d"
    if seconds >= 3_600:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def detail(detail: Mapping[str, Any]) -> str:
    text = " ".join(f"{name}={value}" for name, value in detail.items() if value not in (None, ""))
    cut = text[:DETAIL_CHARACTERS_MAX]
    return cut if cut == text else f"{cut}…"


STYLE = """
:root{font:14px/1.5 "Noto Sans CJK SC","Source Han Sans SC","Microsoft YaHei",system-ui,sans-serif;
color:#222;background:#fff}
body{max-width:1080px;margin:0 auto;padding:16px 20px 40px}
h1{font-size:24px;margin:.2em 0 .4em}h2{font-size:18px;border-bottom:2px solid #20639b;
padding-bottom:3px;margin:1.8em 0 .7em}h3{font-size:15px;margin:1.2em 0 .4em}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0}
.facts dt{color:#555}.facts dd{margin:0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(125px,1fr));gap:10px}
.card{border:1px solid #d5d9dd;border-left:6px solid #888;padding:8px 10px;break-inside:avoid}
.card b{display:block;font-size:19px;white-space:nowrap}.card span{color:#444}
.card.good{border-left-color:#1f7a4d}.card.fair{border-left-color:#c98a00}
.card.bad{border-left-color:#b3261e}.card.bad span{font-weight:400}
.card.none b{font-size:15px;white-space:normal}
td .bad,.bad{color:#a3211a;font-weight:600}td .fair{color:#7a5200}.none{color:#6a6f75}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.5em 0;font-size:13px}
th,td{border-bottom:1px solid #dde1e4;padding:4px 8px;text-align:left;vertical-align:top}
th{background:#f2f4f6;font-weight:600}.numbers td:not(:first-child),
.numbers th:not(:first-child){text-align:right;white-space:nowrap}
td{overflow-wrap:anywhere}td small{color:#666}code{font-size:11px;overflow-wrap:anywhere}
svg{max-width:100%;height:auto;font:12px sans-serif;display:block;margin:.4em 0}
.legend span{display:inline-block;margin-right:16px}.legend i{display:inline-block;width:16px;
height:16px;margin-right:5px;vertical-align:-3px;text-align:center;font:11px/16px sans-serif}
.note{color:#555;font-size:13px}ul{margin:.3em 0;padding-left:1.3em}
@media print{@page{size:A4;margin:14mm}body{max-width:none;padding:0}:root{font-size:11px}
h2{break-after:avoid}tr,svg,.card{break-inside:avoid}table{font-size:10px}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}.scroll{overflow:visible}}
"""
