"""Formats and runs as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.index.formats import format_from_json, format_to_json, run_from_json, run_to_json
from retention.model import AudioFormat, Codec, MediaFormat, VideoFormat
from tests.retention.indexing import run_of


@given(st.sampled_from([Codec.H264, Codec.H265]), st.lists(st.binary(max_size=20)), st.booleans())
def test_a_format_reads_back(codec: Codec, nals: list[bytes], has_audio: bool) -> None:
    audio = AudioFormat(codec=Codec.AAC, sample_rate_hz=16000, channels=1, config=b"\x14\x08")
    media = MediaFormat(
        video=VideoFormat(codec=codec, width=640, height=360, parameter_sets=tuple(nals)),
        audio=audio if has_audio else None,
    )
    assert format_from_json(json.loads(json.dumps(format_to_json(media)))) == media


def test_a_run_reads_back() -> None:
    assert run_from_json(run_to_json(run_of("gate"))) == run_of("gate")


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["video", "audio", "codec", "width", "run"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=100)
@given(anything)
def test_garbage_is_a_value_error(document: Any) -> None:
    with pytest.raises(ValueError, match="no media format"):
        format_from_json(document)
