"""Stored segments as browsers get them: pictures untouched, sound without loss."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import US_PER_S, Codec, Segment, SegmentHeader
from retention.mp4 import flac
from retention.mp4.boxes import SegmentCorrupt
from retention.mp4.browser import audio_fragment, audio_head, audio_type, video_type, without_audio
from retention.mp4.scan import scan
from retention.read import Store
from tests.retention.storing import Site
from tests.retention.writing import T0
from tests.support.demo_footage import STREAM, Take, record_take

S = US_PER_S


def stored(folder: Path, audio: Codec | None, codec: Codec = Codec.H264) -> tuple[Segment, bytes]:
    """A sealed segment of four seconds, and its file."""
    site = Site.make(folder)
    stream = replace(STREAM, width=160, height=96, codec=codec, audio=audio)
    with site.running() as recorder:
        record_take(
            recorder,
            Take(
                camera="gate", run="1" * 32, first_number=1, cuts_us=[T0, T0 + 4 * S], stream=stream
            ),
        )
    with Store(site.index_path, site.volumes) as store:
        (segment,) = store.segments("gate", T0, T0 + S)
    return segment, (site.volumes[0] / segment.path).read_bytes()


def parts(segment: Segment, content: bytes) -> tuple[SegmentHeader, bytes, list[bytes]]:
    head_bytes = segment.fragments[0].offset
    header = scan(lambda at, size: content[at : at + size], head_bytes).header
    fragments = [content[one.offset : one.offset + one.size_bytes] for one in segment.fragments]
    return header, content[:head_bytes], fragments


def decoded(content: bytes, folder: Path, *, kind: str = "a") -> bytes:
    """What ffmpeg makes of the sound (or the pictures) of a file; it must not complain."""
    path = folder / "judged.mp4"
    path.write_bytes(content)
    form = ["-f", "s16le"] if kind == "a" else ["-f", "rawvideo"]
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-map", f"0:{kind}", *form, "-"], capture_output=True
    )
    assert not done.stderr, done.stderr.decode()
    return done.stdout


def streams(content: bytes, folder: Path) -> list[str]:
    path = folder / "probed.mp4"
    path.write_bytes(content)
    asked = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"]
    return subprocess.check_output([*asked, str(path)], text=True).split()


@pytest.mark.parametrize("codec", [Codec.ALAW, Codec.ULAW])
def test_g711_is_repacked_without_loss_and_pictures_stay_as_they_are(
    codec: Codec, tmp_path: Path
) -> None:
    segment, content = stored(tmp_path / "box", codec)
    header, head, fragments = parts(segment, content)
    sound = [audio_head(header), *(audio_fragment(one, header) for one in fragments)]
    assert header.format.audio is not None
    assert audio_type(header.format.audio) == 'audio/mp4; codecs="flac"'
    assert all(sound)
    repacked = b"".join(one for one in sound if one)
    assert streams(repacked, tmp_path) == ["flac"]
    assert decoded(repacked, tmp_path) == decoded(content, tmp_path)

    shown = [without_audio(head), *(without_audio(one) for one in fragments)]
    assert [len(one) for one in shown] == [len(head), *map(len, fragments)]
    changed = sum(
        a != b
        for old, new in zip([head, *fragments], shown, strict=True)
        for a, b in zip(old, new, strict=True)
    )
    assert changed <= 4 * (2 + len(fragments))  # trak, trex, and a traf each
    silent = b"".join(shown)
    assert streams(silent, tmp_path) == ["h264"]
    assert decoded(silent, tmp_path, kind="v") == decoded(content, tmp_path, kind="v")


def test_aac_goes_as_it_is(tmp_path: Path) -> None:
    segment, content = stored(tmp_path / "box", Codec.AAC)
    header, _, fragments = parts(segment, content)
    sound = [audio_head(header), *(audio_fragment(one, header) for one in fragments)]
    repacked = b"".join(one for one in sound if one)
    assert streams(repacked, tmp_path) == ["aac"]
    assert decoded(repacked, tmp_path) == decoded(content, tmp_path)


def test_without_audio_nothing_changes(tmp_path: Path) -> None:
    segment, content = stored(tmp_path / "box", None)
    header, head, fragments = parts(segment, content)
    assert without_audio(head) == head
    assert [without_audio(one) for one in fragments] == fragments
    assert audio_head(header) is None
    assert audio_fragment(fragments[0], header) is None
    assert video_type(header.format.video) == 'video/mp4; codecs="avc1.42c00a"'


def test_h265_is_named_as_14496_15_has_it(tmp_path: Path) -> None:
    segment, content = stored(tmp_path / "box", None, Codec.H265)
    header, _, _ = parts(segment, content)
    # Main profile, compatible with 1 and 2, main tier, level 3 or less, progressive frames
    assert video_type(header.format.video).startswith('video/mp4; codecs="hvc1.1.6.L')


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_left_as_it_is(data: bytes) -> None:
    try:
        assert len(without_audio(data)) == len(data)
    except SegmentCorrupt:
        pass


@given(
    st.sampled_from([Codec.ALAW, Codec.ULAW]),
    st.binary(min_size=1, max_size=64),
    st.integers(1, 2),
    st.integers(0, 2**36 - 1),
)
def test_a_frame_holds_each_sample_and_its_number(
    codec: Codec, data: bytes, channels: int, first_sample: int
) -> None:
    if len(data) < channels:
        return
    found = flac.frame(codec, data, channels, first_sample)
    samples = len(data) // channels
    coded = found[4 : -2 - channels * (1 + 2 * samples) - 3].decode("latin-1")
    assert _number(coded.encode("latin-1")) == first_sample
    assert flac._crc16(found) == 0  # its own check included
    body = found[-2 - channels * (1 + 2 * samples) : -2]
    high, low = flac._LINEAR[codec]
    for channel in range(channels):
        part = body[channel * (1 + 2 * samples) :][: 1 + 2 * samples]
        assert part[0] == 2
        for n in range(samples):
            code = data[n * channels + channel]
            assert part[1 + 2 * n : 3 + 2 * n] == bytes((high[code], low[code]))


def _number(coded: bytes) -> int:
    """RFC 9639, 9.1.5."""
    first = coded[0]
    if first < 0x80:
        assert len(coded) == 1
        return first
    length = next(n for n in range(7, -1, -1) if not first >> n & 1)
    value = first & ((1 << length) - 1)
    assert len(coded) == 7 - length
    for byte in coded[1:]:
        assert byte >> 6 == 2
        value = value << 6 | byte & 0x3F
    return value
