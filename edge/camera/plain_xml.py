"""XML from the network, read without anything that XML can do to a reader. Core.

expat, as far as elements, attributes and text go: no document type, hence no entities and nothing
from outside; no processing instructions' effects; bounded in bytes, depth and number of elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

BYTES_MAX = 1024 * 1024
DEPTH_MAX = 64
NODES_MAX = 20_000
_SEPARATOR = "\n"  # cannot stand in a name space without being normalised away


class XmlRefused(ValueError):
    """It is no XML, or more of it than anybody needs."""


@dataclass(slots=True)
class Node:
    """An element: its name space, local name, attributes by local name, text and children."""

    namespace: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def find(self, name: str) -> Node | None:
        """The first child of that local name."""
        return next((one for one in self.children if one.name == name), None)

    def all(self, name: str) -> Iterator[Node]:
        """Every element of that local name below this one, in order of the document."""
        stack = list(reversed(self.children))
        while stack:
            node = stack.pop()
            if node.name == name:
                yield node
            stack.extend(reversed(node.children))

    def first(self, name: str) -> Node | None:
        """The first element of that local name below this one."""
        return next(self.all(name), None)

    def text_of(self, name: str) -> str:
        """The text of the first element of that name below; empty where there is none."""
        found = self.first(name)
        return "" if found is None else found.text.strip()


def read_xml(data: bytes, *, bytes_max: int = BYTES_MAX) -> Node:
    """The document element.

    Raises:
        XmlRefused: malformed, with a document type, or above a bound.
    """
    if len(data) > bytes_max:
        raise XmlRefused(f"more than {bytes_max} bytes")
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError, UnicodeError) as error:
        raise XmlRefused(str(error)) from None
    if builder.root is None:
        raise XmlRefused("no element")
    return builder.root


def _refuse_document_type(*_arguments: object) -> None:
    raise XmlRefused("a document type is not allowed")


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > NODES_MAX or len(self._open) >= DEPTH_MAX:
            raise XmlRefused("too many elements, or too deep")
        space, _, local = name.rpartition(_SEPARATOR)
        node = Node(
            namespace=space,
            name=local,
            attributes={key.rpartition(_SEPARATOR)[2]: one for key, one in attributes.items()},
        )
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def end(self, _name: str) -> None:
        self._open.pop()

    def characters(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text
