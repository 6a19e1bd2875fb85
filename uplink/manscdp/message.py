"""MANSCDP messages: what every body has in common, and how answers are put together. Core.

GB/T 28181-2022 annex A.2: a root (Query, Control, Notify, Response) with CmdType, SN and DeviceID
first, whatever follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from uplink.manscdp import markup
from uplink.manscdp.charset import Charset, decode, encode, size
from uplink.manscdp.markup import Element, MarkupMalformed, leaf, node

#: What a body names itself is echoed and logged: kept short, and of plain characters.
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_SN = re.compile(r"[0-9A-Za-z_-]{1,32}", re.ASCII)
_CODE = re.compile(r"[0-9]{2,20}", re.ASCII)
#: For a body that is too broken to be read as a tree.
_HEAD = {
    name: re.compile(rf"<\s{{0,8}}{name}\s{{0,8}}>\s{{0,16}}([0-9A-Za-z_-]{{1,64}})", re.IGNORECASE)
    for name in ("CmdType", "SN", "DeviceID")
}
_ROOT = re.compile(r"<(Query|Control|Notify|Response)\b", re.IGNORECASE)
#: GB/T 28181-2022 annex M: at most so many items in one message.
ITEMS_PER_PART_MAX = 10_000


class Kind(StrEnum):
    QUERY = "Query"
    CONTROL = "Control"
    NOTIFY = "Notify"
    RESPONSE = "Response"


class Result(StrEnum):
    OK = "OK"
    ERROR = "ERROR"


class MessageMalformed(MarkupMalformed):
    """Not even root, CmdType and SN can be read."""

    code = "message_malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One body of a platform."""

    kind: Kind
    command: str  # CmdType, as sent
    sn: str  # echoed as sent
    device_id: str  # 2 to 20 digits; empty: the device itself
    root: Element

    def value(self, *path: str) -> str:
        """The text at the end of ``path``, without blanks; empty where there is none."""
        place: Element | None = self.root
        for name in path[:-1]:
            place = None if place is None else place.find(name)
        return "" if place is None else place.value(path[-1])

    def number(self, *path: str) -> int | None:
        """A whole number of at most nine digits, else None."""
        text = self.value(*path)
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,9}", text, re.ASCII) else None


def read(body: bytes) -> Message:
    """The message of a body, as far as it can be understood.

    Raises:
        MessageMalformed: no root that we know, no CmdType or no SN; SIP 400.
    """
    text = decode(body[: markup.CHARACTERS_MAX])
    try:
        root = markup.parse(text)
        kind = _kind(root.name)
        heads = {name: root.value(name) for name in _HEAD}
    except MarkupMalformed:
        root, kind, heads = _rescued(text)
    command, sn, device_id = heads["CmdType"], heads["SN"], heads["DeviceID"]
    if not _WORD.fullmatch(command):
        raise MessageMalformed("the body has no CmdType")
    if not _SN.fullmatch(sn):
        raise MessageMalformed("the body has no SN")
    if not _CODE.fullmatch(device_id):
        device_id = ""
    return Message(kind=kind, command=command, sn=sn, device_id=device_id, root=root)


def _kind(name: str) -> Kind:
    try:
        return Kind(name.capitalize())
    except ValueError:
        raise MessageMalformed("the body's root is none of MANSCDP's") from None


def _rescued(text: str) -> tuple[Element, Kind, dict[str, str]]:
    """Root and head of a body that is no tree, found as plain text; nothing else is believed."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise MessageMalformed("the body declares a document type")
    root = _ROOT.search(text)
    if root is None:
        raise MessageMalformed("the body's root is none of MANSCDP's")
    found = {name: pattern.search(text) for name, pattern in _HEAD.items()}
    heads = {name: "" if match is None else match[1] for name, match in found.items()}
    return Element(root[1]), _kind(root[1]), heads


# Answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What an answer repeats of its question, or a notification says of itself."""

    kind: Kind
    command: str
    sn: str
    device_id: str

    def body(self, charset: Charset, *children: Element | None) -> bytes:
        """A whole body around ``children``."""
        return encode(markup.render(self._tree(*children)), charset)

    def _tree(self, *children: Element | None) -> Element:
        return node(
            self.kind.value,
            leaf("CmdType", self.command),
            leaf("SN", self.sn),
            leaf("DeviceID", self.device_id),
            *children,
        )

    def parts(
        self,
        charset: Charset,
        *leading: Element | None,
        list_name: str,
        items: Iterable[Element],
        total: int,
        bytes_max: int,
    ) -> Iterator[bytes]:
        """A list in as many bodies as ``bytes_max`` demands: at least one item in each.

        ``SumNum`` is ``total`` in every part, ``Num`` the items of this one; without items one
        body says ``SumNum`` 0 and has no list (GB/T 28181-2022 annex M).
        """
        begun: list[Element] = []
        frame = len(self._part(charset, leading, total, list_name, begun))
        used = frame
        for item in items:
            weight = size(markup.render(item), charset)
            if begun and (used + weight > bytes_max or len(begun) >= ITEMS_PER_PART_MAX):
                yield self._part(charset, leading, total, list_name, begun)
                begun, used = [], frame
            begun.append(item)
            used += weight
        if begun:
            yield self._part(charset, leading, total, list_name, begun)
        elif total == 0:
            yield self.body(charset, *leading, leaf("SumNum", 0))

    def _part(
        self,
        charset: Charset,
        leading: Iterable[Element | None],
        total: int,
        list_name: str,
        items: list[Element],
    ) -> bytes:
        listed = Element(list_name, attributes={"Num": str(len(items))}, children=items)
        return self.body(charset, *leading, leaf("SumNum", total), listed)


def response(message: Message, device_id: str) -> Head:
    """The head of the answer to ``message``; ``device_id`` where it named none."""
    return Head(
        kind=Kind.RESPONSE,
        command=message.command,
        sn=message.sn,
        device_id=message.device_id or device_id,
    )
