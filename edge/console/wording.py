"""Phrases as pages, their scripts and the API tell them. Shell: reads the catalogue."""

from __future__ import annotations

from edge.console.lights import Sentence
from edge.console.phrases import LANGUAGES, Say, sayer
from retention.model import GapCause


def sentence_text(sentence: Sentence | None, language: str) -> str:
    """A sentence in one language; empty where there is none."""
    if sentence is None:
        return ""
    place = LANGUAGES.index(language)
    if not sentence.key:
        return (sentence.zh, sentence.en)[place]
    values = {
        name: value[place] if isinstance(value, tuple) else value
        for name, value in sentence.values.items()
    }
    return sayer(language)(sentence.key, **values)


def words(say: Say, *keys: str) -> dict[str, str]:
    """Texts by the last part of their keys, with their fields left open."""
    return {key.partition(".")[2]: say(key) for key in keys}


def cause_words(say: Say) -> dict[str, str]:
    """Of each cause of a gap."""
    return {cause.value: say(f"cause.{cause.value}") for cause in GapCause}
