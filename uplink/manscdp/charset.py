"""Bytes of a MANSCDP body to text and back. Core.

On the wire Chinese is GB 18030, whatever of its subsets the declaration names: GB/T 28181-2016
recommends GB 2312, 2022 asks for GB 18030, some devices and platforms write UTF-8, and not all
declarations tell the truth.
"""

from __future__ import annotations

import re
from enum import StrEnum

_DECLARATION = re.compile(
    rb"^\s{0,16}<\?xml[^>]{0,200}?encoding\s{0,8}=\s{0,8}[\"']([\w.:-]{1,40})"
)
_GB = "gb18030"
_UTF8 = "utf-8"
#: Spellings of the charsets, without hyphens and in lower case, to Python's codecs.
_CODECS = {
    "gb2312": _GB,
    "gbk": _GB,
    "cp936": _GB,
    "gb18030": _GB,
    "eucgb2312cn": _GB,
    "euccn": _GB,
    "utf8": _UTF8,
    "utf16": "utf-16",
}
_BOMS = ((b"\xef\xbb\xbf", _UTF8), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class Charset(StrEnum):
    """How we declare our own bodies; all but UTF-8 are encoded as GB 18030."""

    GB2312 = "GB2312"
    GBK = "GBK"
    GB18030 = "GB18030"
    UTF8 = "UTF-8"


def decode(body: bytes) -> str:
    """The text of ``body``: by its mark or declaration where that fits, else as UTF-8, else as
    GB 18030, where what is no character becomes U+FFFD. Never raises.
    """
    for mark, codec in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(codec, "replace")
    declared = _DECLARATION.match(body)
    name = "" if declared is None else declared[1].decode("ascii", "replace")
    stated = _CODECS.get(re.sub("[^a-z0-9]", "", name.lower()), _UTF8)
    for codec in (stated, _UTF8, _GB):
        try:
            return body.decode(codec)
        except UnicodeDecodeError:
            continue
    return body.decode(_GB, "replace")


def encode(text: str, charset: Charset) -> bytes:
    """``text`` behind a declaration of ``charset``."""
    prolog = f'<?xml version="1.0" encoding="{charset}"?>\r\n'
    return (prolog + text).encode(_UTF8 if charset is Charset.UTF8 else _GB, "replace")


def size(text: str, charset: Charset) -> int:
    """Bytes that ``text`` takes on the wire."""
    return len(text.encode(_UTF8 if charset is Charset.UTF8 else _GB, "replace"))
