"""What the console says, in Chinese and English: ``phrases.toml``. Shell: reads its own file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

LANGUAGES = ("zh", "en")
#: ``say("front.title")``, ``say("front.days", days=90)``.
Say = Callable[..., str]


@cache
def catalogue() -> dict[str, tuple[str, ...]]:
    """Every phrase by its key (``section.name``), one text a language."""
    content = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text("utf-8"))
    return {
        f"{section}.{name}": tuple(texts)
        for section, phrases in content.items()
        for name, texts in phrases.items()
    }


def sayer(language: str) -> Say:
    """Texts of one language; an unknown key is an error that the tests find."""
    place = LANGUAGES.index(language)

    def say(key: str, /, **values: object) -> str:
        text = catalogue()[key][place]
        return text.format(**values) if values else text

    return say


def is_known(key: str) -> bool:
    return key in catalogue()
