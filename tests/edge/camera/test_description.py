from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edge.camera.description import (
    TEXT_CHARS_MAX,
    CameraDescription,
    Profile,
    clean,
    decode,
    dumps,
    encode,
)

TEXTS = st.text(max_size=20)
PROFILES = st.builds(
    Profile,
    token=TEXTS, name=TEXTS, encoding=TEXTS, width=st.integers(), height=st.integers(),
)  # fmt: skip
DESCRIPTIONS = st.builds(
    CameraDescription,
    manufacturer=TEXTS, model=TEXTS, firmware=TEXTS, serial=TEXTS, profile=TEXTS,
    stream_uris=st.lists(TEXTS, max_size=2).map(tuple),
    clock_offset_us=st.none() | st.integers(),
    profiles=st.lists(PROFILES, max_size=3).map(tuple),
)  # fmt: skip


@given(DESCRIPTIONS)
def test_a_description_crosses_between_processes_unchanged(description: CameraDescription) -> None:
    line = dumps(encode(description))
    assert line.count(b"\n") == 1
    assert decode(json.loads(line)) == description


@given(st.text(max_size=50) | st.text(min_size=490, max_size=520) | st.none() | st.integers())
def test_a_camera_s_text_becomes_one_line_of_bounded_length(text: object) -> None:
    assert clean(text).isprintable()
    assert len(clean(text)) <= TEXT_CHARS_MAX


def test_three_hundred_characters_are_kept() -> None:
    assert clean("名" * 300) == "名" * 300
    assert len(clean("x" * 10**6)) == TEXT_CHARS_MAX
    assert clean(" a\nb ") == "a b"
