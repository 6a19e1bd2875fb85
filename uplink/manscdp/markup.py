"""The XML of MANSCDP bodies: a tolerant reader, a strict writer. Core.

What platforms send is not always XML: end tags lose their ``<``, ampersands stand alone, elements
are left open. The reader takes what it can and refuses only what would cost memory or time: no
document type (hence no entities), a bound on size, on depth and on the number of elements. It runs
in time linear to the body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from config.errors import XueliangError

CHARACTERS_MAX = 256 * 1024
DEPTH_MAX = 32
ELEMENTS_MAX = 10_000

#: Longest text of an element or attribute that we write, in characters.
TEXT_CHARACTERS_MAX = 1024

_TAG = re.compile(r"<(/?)\s{0,8}([A-Za-z_][A-Za-z0-9_.:-]{0,99})([^<>]*)>")
_ATTRIBUTE = re.compile(
    r"([A-Za-z_][A-Za-z0-9_.:-]{0,99})\s{0,8}=\s{0,8}(?:\"([^\"]*)\"|'([^']*)')"
)
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
#: What XML 1.0 cannot carry at all (section 2.2), and surrogates, which no encoding can.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class MarkupMalformed(XueliangError):
    """The text holds no element, or more than the reader is willing to take."""

    code = "markup_malformed"


@dataclass(slots=True)
class Element:
    """One element: its name, the text in front of its first child, attributes and children."""

    name: str
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)

    def child(self, name: str) -> Element | None:
        """The first child of this name, whatever its case."""
        wanted = name.lower()
        return next((one for one in self.children if one.name.lower() == wanted), None)

    def find(self, name: str) -> Element | None:
        """The first child of this name, else the first descendant: broken markup nests things."""
        wanted = name.lower()
        found = self.child(name)
        if found is not None:
            return found
        return next((one for one in self.walk() if one.name.lower() == wanted), None)

    def value(self, name: str) -> str:
        """The text of :meth:`find`, without blanks around it; empty where there is none."""
        found = self.find(name)
        return "" if found is None else found.text.strip()

    def walk(self) -> Iterator[Element]:
        """Every descendant, parents first."""
        waiting = list(reversed(self.children))
        while waiting:
            one = waiting.pop()
            yield one
            waiting.extend(reversed(one.children))


def node(name: str, *children: Element | None, **attributes: object) -> Element:
    """An element around children; those that are None are left out."""
    return Element(
        name,
        attributes={key: str(value) for key, value in attributes.items()},
        children=[one for one in children if one is not None],
    )


def leaf(name: str, value: object) -> Element:
    """An element around plain text."""
    return Element(name, text=str(value))


def optional(name: str, value: object) -> Element | None:
    """A leaf, or nothing where there is no value: empty elements make strict parsers fail."""
    return None if value is None or value == "" else leaf(name, value)


# Reading -------------------------------------------------------------------------------------


def parse(text: str) -> Element:
    """The root element of ``text``.

    Mended on the way: end tags that match nothing, elements left open, an end tag that lost its
    ``<`` (one platform sends ``<EndAlarmPriority>4/EndAlarmPriority>``), lone ``&`` and ``<``.

    Raises:
        MarkupMalformed: no element, a document type, or beyond a bound.
    """
    if len(text) > CHARACTERS_MAX:
        raise MarkupMalformed(f"the body has more than {CHARACTERS_MAX} characters")
    builder = _Builder()
    place = 0
    while place < len(text) and not builder.is_whole:
        if text[place] != "<":
            end = text.find("<", place)
            end = len(text) if end < 0 else end
            builder.add_text(_unescaped(text[place:end]))
            place = end
            continue
        place = _markup(text, place, builder)
    return builder.finish()


def _markup(text: str, place: int, builder: _Builder) -> int:
    """What begins with the ``<`` at ``place``; the place behind it."""
    if text.startswith("<!--", place):
        return _behind(text, place + 4, "-->")
    if text.startswith("<![CDATA[", place):
        end = _behind(text, place, "]]>")
        builder.add_text(text[place + 9 : end - 3])
        return end
    if text.startswith("<?", place):
        return _behind(text, place, "?>")
    if text.startswith("<!", place):
        raise MarkupMalformed("the body declares a document type")
    tag = _TAG.match(text, place)
    if tag is None:
        builder.add_text("<")
        return place + 1
    name = tag[2].rpartition(":")[2]
    if tag[1]:
        builder.end(name)
    else:
        builder.start(name, tag[3])
    return tag.end()


def _behind(text: str, place: int, end: str) -> int:
    found = text.find(end, place)
    if found < 0:
        raise MarkupMalformed(f"the body ends before {end}")
    return found + len(end)


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self.is_whole = False
        self._open: list[Element] = []
        self._texts: list[list[str]] = []  # of the open elements, joined when they end
        self._elements = 0

    def start(self, name: str, rest: str) -> None:
        self._elements += 1
        if self._elements > ELEMENTS_MAX or len(self._open) >= DEPTH_MAX:
            raise MarkupMalformed("the body holds too many elements, or too deep ones")
        found = _ATTRIBUTE.findall(rest)
        element = Element(name, attributes={one[0]: _unescaped(one[1] or one[2]) for one in found})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        if not rest.endswith("/"):
            self._open.append(element)
            self._texts.append([])
        self.is_whole = not self._open

    def end(self, name: str) -> None:
        """Close the innermost open element of this name and all inside it."""
        wanted = name.lower()
        for depth in range(len(self._open) - 1, -1, -1):
            if self._open[depth].name.lower() == wanted:
                self._close(depth)
                return

    def add_text(self, text: str) -> None:
        if not self._open or self._open[-1].children:
            return  # between children there are only blanks
        name = self._open[-1].name
        lost = f"/{name}>"
        stripped = text.rstrip()
        if len(self._open) > 1 and stripped.endswith(lost):
            self._texts[-1].append(stripped[: -len(lost)])
            self.end(name)
        else:
            self._texts[-1].append(text)

    def finish(self) -> Element:
        if self.root is None:
            raise MarkupMalformed("the body holds no XML element")
        self._close(0)
        return self.root

    def _close(self, depth: int) -> None:
        for element, texts in zip(self._open[depth:], self._texts[depth:], strict=True):
            element.text = "".join(texts)
        del self._open[depth:]
        del self._texts[depth:]
        self.is_whole = not self._open


def _unescaped(text: str) -> str:
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    if found[3]:
        return _NAMED[found[3]]
    number = int(found[1]) if found[1] else int(found[2], 16)
    character = chr(number) if number <= 0x10FFFF else "\x00"
    return "\ufffd" if _FORBIDDEN.match(character) else character


# Writing -------------------------------------------------------------------------------------


def render(root: Element) -> str:
    """``root`` with CRLF line ends, an element a line as devices write it; without a prolog."""
    lines: list[str] = []
    _render(root, lines)
    return "\r\n".join(lines) + "\r\n"


def _render(element: Element, lines: list[str]) -> None:
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in element.attributes.items())
    start, end = f"<{element.name}{attributes}>", f"</{element.name}>"
    if not element.children:
        lines.append(f"{start}{escape(element.text)}{end}")
        return
    lines.append(start)
    for child in element.children:
        _render(child, lines)
    lines.append(end)


def escape(text: str) -> str:
    """``text`` as character data: one line, no control characters, the five named entities.

    Never a numeric reference: some platforms drop every ``&`` that is none of the five.
    """
    return _cleaned(text)[:TEXT_CHARACTERS_MAX].translate(_ENTITIES)


def _cleaned(text: str) -> str:
    return _FORBIDDEN.sub("", text.replace("\r", " ").replace("\n", " ").replace("\t", " "))


_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
