"""Charsets of the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.manscdp.charset import Charset, decode, encode, size

TEXT = "<A>阳光托育中心北门</A>"


@pytest.mark.parametrize(
    "declared", ["GB2312", "gbk", "GB18030", "gb-2312", "UTF-8", "utf8", "cp936"]
)
def test_declared_charsets_are_honoured(declared: str) -> None:
    codec = "utf-8" if declared.lower().startswith("utf") else "gb18030"
    body = f'<?xml version="1.0" encoding="{declared}"?>{TEXT}'.encode(codec)
    assert decode(body).endswith(TEXT)


def test_wrong_declarations_are_survived() -> None:
    assert decode(f'<?xml version="1.0" encoding="UTF-8"?>{TEXT}'.encode("gb18030")).endswith(TEXT)
    # Not every UTF-8 text is impossible as GB 18030; this one is.
    utf8 = '<?xml version="1.0" encoding="GB2312"?><A>中</A>'.encode()
    assert decode(utf8).endswith("<A>中</A>")
    assert decode(f'<?xml version="1.0" encoding="klingon"?>{TEXT}'.encode()).endswith(TEXT)
    assert decode(f'<?xml version="1.0"?>{TEXT}'.encode("gb18030")).endswith(TEXT)
    assert decode(TEXT.encode("gb18030")) == TEXT
    assert decode(TEXT.encode()) == TEXT


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(mark: str) -> None:
    assert decode(TEXT.encode(mark)) == TEXT


@given(st.binary(max_size=200))
def test_decoding_never_raises(body: bytes) -> None:
    assert len(decode(body)) <= len(body)


@given(st.text(max_size=50), st.sampled_from(list(Charset)))
def test_what_is_encoded_is_decoded(text: str, charset: Charset) -> None:
    clean = text.encode("utf-8", "replace").decode()
    body = encode(f"<A>{clean}</A>", charset)
    prolog, _, rest = body.partition(b"\r\n")
    assert charset.value.encode() in prolog
    assert len(rest) == size(f"<A>{clean}</A>", charset)
    assert decode(body).partition("\r\n")[2] == f"<A>{clean}</A>"
