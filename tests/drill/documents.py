"""Commands of the documents, as they stand in fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator

_INLINE = re.compile(r"(?<!`)`((?:xueliang|systemctl|journalctl|findmnt)(?: [^`]+)?)`")
_BLOCK = re.compile(r"(?ms)^```sh ?(\w*)\n(.*?)^```$")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Kind (empty, ``root``, ``disk``) and text of each block of commands."""
    for kind, commands in _BLOCK.findall(text):
        yield kind, commands.strip()


def commands(text: str, kind: str) -> list[str]:
    """Every line of the blocks of one kind."""
    return [line for one, block in blocks(text) if one == kind for line in block.splitlines()]


def inline(text: str) -> list[str]:
    """Commands within sentences and tables, each once."""
    return list(dict.fromkeys(_INLINE.findall(text)))
