"""Program streams: the reference's vectors, and libav as the judge of what a receiver gets."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.model import AudioFormat, Codec, MediaFormat, VideoFormat
from retention.nal import annexb_to_lengths, parameter_sets, split_annexb, split_lengths
from uplink.ps import (
    PES_PAYLOAD_MAX,
    PsWriter,
    adts_header,
    annexb,
    crc32_mpeg2,
    pack_header,
    stream_map,
    system_header,
)
from uplink.rtp import RtpWriter, framed

MEDIA = Path(__file__).parents[1] / "media"
ALAW = AudioFormat(codec=Codec.ALAW, sample_rate_hz=8000, channels=1)


@pytest.mark.parametrize(
    ("video", "audio", "hexadecimal"),
    [
        (Codec.H264, None, "000001bc000ee0ff000000041be00000f4dcbd45"),
        (Codec.H265, None, "000001bc000ee0ff0000000424e000000c49b076"),
        (Codec.H264, Codec.ALAW, "000001bc0012e0ff000000081be0000090c00000fedfb1d7"),
        (Codec.H265, Codec.ALAW, "000001bc0012e0ff0000000824e0000090c000005e5f92c2"),
        (Codec.H264, Codec.AAC, "000001bc0012e0ff000000081be000000fc000004a45c708"),
    ],
)
def test_stream_maps_of_the_reference(video: Codec, audio: Codec | None, hexadecimal: str) -> None:
    found = stream_map(video, audio)
    assert found.hex() == hexadecimal
    assert crc32_mpeg2(found) == 0


def test_mu_law_is_type_91_and_the_map_s_sum_is_right() -> None:
    """GB/T 28181-2022; CRC-32/MPEG-2 over the whole map is 0."""
    data = stream_map(Codec.H264, Codec.ULAW)
    assert data[16:20] == bytes.fromhex("91c00000")
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte << 24
        for _ in range(8):
            rest = (rest << 1 ^ (0x04C11DB7 if rest >> 31 else 0)) & 0xFFFFFFFF
    assert rest == 0


def test_headers_of_the_reference() -> None:
    assert pack_header(3600).hex() == "000001ba440004708401030d43f8"
    assert pack_header(2**33 - 1).hex() == "000001ba7ffffffffc01030d43f8"
    assert pack_header(2**33) == pack_header(0)
    assert system_header(has_audio=True).hex() == "000001bb000c8186a104e17fe0e400c0c020"
    assert system_header(has_audio=False)[4:6] == b"\0\x09"


def writer_of(parameter_sets: tuple[bytes, ...] = (b"\x67a", b"\x68b")) -> PsWriter:
    video = VideoFormat(codec=Codec.H264, width=64, height=48, parameter_sets=parameter_sets)
    return PsWriter(MediaFormat(video=video, audio=ALAW))


def test_times_of_the_reference() -> None:
    picture = annexb_to_lengths(b"\0\0\1\x41x")
    plain = writer_of().picture(picture, 3600, 3600, is_key=False)
    assert bytes.fromhex("8005" + "2100011c21") in plain
    reordered = writer_of().picture(picture, 7200, 3600, is_key=False)
    assert bytes.fromhex("1100011c21") in reordered


def test_parameter_sets_stand_before_every_key_frame_once() -> None:
    def types(data: bytes) -> list[int]:
        return [nal[0] & 31 for nal in split_annexb(data)]

    sets = (b"\x67a", b"\x68b")
    bare = annexb_to_lengths(b"\0\0\1\x65x")
    with_own = annexb_to_lengths(b"\0\0\1\x67c\0\0\1\x68d\0\0\1\x65x")
    delimited = annexb_to_lengths(b"\0\0\1\x09\x10\0\0\1\x65x")
    assert types(annexb(Codec.H264, bare, sets)) == [7, 8, 5]
    assert types(annexb(Codec.H264, with_own, sets)) == [7, 8, 5]
    assert types(annexb(Codec.H264, delimited, sets)) == [9, 7, 8, 5]


@given(st.integers(1, 3 * PES_PAYLOAD_MAX), st.integers(0, 2**34), st.booleans())
def test_any_picture_is_whole_and_no_length_is_zero(size: int, pts: int, is_key: bool) -> None:
    nal = b"\x65" + b"\xaa" * size
    data = len(nal).to_bytes(4, "big") + nal
    pack = writer_of().picture(data, pts, pts, is_key=is_key)
    at, elementary, kinds = 14, b"", []
    while at < len(pack):
        assert pack[at : at + 3] == b"\0\0\1"
        kinds.append(pack[at + 3])
        (length,) = struct.unpack(">H", pack[at + 4 : at + 6])
        assert length
        body = pack[at + 6 : at + 6 + length]
        assert len(body) == length
        if kinds[-1] == 0xE0:
            elementary += body[3 + body[2] :]
        at += 6 + length
    assert kinds[:2] == ([0xBB, 0xBC] if is_key else kinds[:2])
    assert elementary == annexb(Codec.H264, data, (b"\x67a", b"\x68b") if is_key else ())


def test_a_change_of_codecs_changes_the_version_of_the_map() -> None:
    writer = writer_of()
    picture = annexb_to_lengths(b"\0\0\1\x65x")
    assert stream_map(Codec.H264, Codec.ALAW) in writer.picture(picture, 0, 0, is_key=True)
    video = writer.format.video
    writer.set_format(MediaFormat(video=video, audio=ALAW))
    assert stream_map(Codec.H264, Codec.ALAW) in writer.picture(picture, 0, 0, is_key=True)
    writer.set_format(MediaFormat(video=video))
    found = writer.picture(picture, 0, 0, is_key=True)
    assert stream_map(Codec.H264, None, version=1) in found
    assert writer.sound(b"x", 0, 0) == b""


CLIPS = ["street-h264-pcma.mkv", "street-h264-bframes.mkv", "pedestrians-h265-aac.mkv"]


@pytest.mark.parametrize("name", CLIPS)
def test_libav_gets_every_picture_and_sound_back(name: str) -> None:
    """Real footage through the writer; pictures decode without an error, bytes are the same."""
    stream, sent_video, sent_audio = to_ps(MEDIA / name)
    with av.open(io.BytesIO(stream), "r", format="mpeg") as container:
        video = container.streams.video[0]
        frames = 0
        got = []
        for packet in container.demux(video):
            got.append(bytes(packet))
            frames += len(packet.decode())
    assert frames == len(sent_video)
    assert b"".join(got) == b"".join(sent_video)
    if sent_audio:
        with av.open(io.BytesIO(stream), "r", format="mpeg") as container:
            sound = container.streams.audio[0]
            assert b"".join(bytes(packet) for packet in container.demux(sound)) == b"".join(
                sent_audio
            )


def to_ps(clip: Path) -> tuple[bytes, list[bytes], list[bytes]]:
    """A file as a program stream; the elementary pictures and sounds that went in."""
    packs, pictures, sounds = [], [], []
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        codec = Codec.H264 if video.codec_context.name == "h264" else Codec.H265
        extradata = bytes(video.codec_context.extradata or b"")
        audio = container.streams.audio[0] if container.streams.audio else None
        audio_format = None
        if audio is not None:
            kind = Codec.AAC if audio.codec_context.name == "aac" else Codec.ALAW
            audio_format = AudioFormat(
                codec=kind,
                sample_rate_hz=audio.codec_context.sample_rate,
                channels=audio.codec_context.channels,
                config=bytes(audio.codec_context.extradata or b""),
            )
        sets = parameter_sets(codec, split_annexb(_annexb_extradata(codec, extradata)))
        format = MediaFormat(
            video=VideoFormat(codec=codec, width=640, height=272, parameter_sets=sets),
            audio=audio_format,
        )
        writer = PsWriter(format)
        least = None
        for packet in container.demux():
            if packet.pts is None or packet.size == 0:
                continue
            assert packet.time_base is not None
            pts = int(packet.pts * packet.time_base * 90_000) + 90_000
            dts = (
                pts if packet.dts is None else int(packet.dts * packet.time_base * 90_000) + 90_000
            )
            data = bytes(packet)
            if packet.stream.type == "video":
                data = data if split_ok(data) else annexb_to_lengths(data)
                packs.append(writer.picture(data, pts, dts, is_key=packet.is_keyframe))
                pictures.append(annexb(codec, data, sets if packet.is_keyframe else ()))
                least = dts
            elif audio_format is not None:
                packs.append(writer.sound(data, pts, least or dts))
                is_aac = audio_format.codec is Codec.AAC
                sounds.append((adts_header(audio_format, len(data)) if is_aac else b"") + data)
    return b"".join(packs), pictures, sounds


def split_ok(data: bytes) -> bool:
    try:
        return bool(split_lengths(data))
    except ValueError:
        return False


def _annexb_extradata(codec: Codec, extradata: bytes) -> bytes:
    """Parameter sets of avcC and hvcC boxes as a byte stream; a byte stream as it is."""
    if extradata[:3] in (b"\0\0\0", b"\0\0\1") or not extradata:
        return extradata
    start = b"\0\0\0\1"
    out, at = b"", 5
    if codec is Codec.H264:
        for mask in (0x1F, 0xFF):
            count, at = extradata[at] & mask, at + 1
            for _ in range(count):
                (size,) = struct.unpack_from(">H", extradata, at)
                out += start + extradata[at + 2 : at + 2 + size]
                at += 2 + size
        return out
    at = 23
    for _ in range(extradata[22]):
        (count,) = struct.unpack_from(">H", extradata, at + 1)
        at += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", extradata, at)
            out += start + extradata[at + 2 : at + 2 + size]
            at += 2 + size
    return out


@given(st.binary(min_size=1, max_size=5000), st.integers(0, 2**34), st.integers(0, 65535))
def test_packets_of_a_picture_share_a_stamp_and_end_with_the_marker(
    pack: bytes, pts: int, sequence: int
) -> None:
    writer = RtpWriter(ssrc=200000017, sequence=sequence, offset=7)
    packets = writer.packets_of(pack, pts)
    heads = [struct.unpack(">BBHII", packet[:12]) for packet in packets]
    assert b"".join(packet[12:] for packet in packets) == pack
    assert {(head[0], head[3], head[4]) for head in heads} == {
        (0x80, (pts + 7) % 2**32, 0x0BEBC211)
    }
    assert [head[2] for head in heads] == [(sequence + n) % 65536 for n in range(len(heads))]
    assert [head[1] for head in heads] == [96] * (len(heads) - 1) + [0x80 | 96]
    assert all(len(packet) <= 1412 for packet in packets)
    assert writer.octets == len(pack)


def test_framing_and_reports() -> None:
    assert framed([b"x" * 15]).hex() == "000f" + "78" * 15
    writer = RtpWriter(ssrc=1, offset=5)
    writer.packets_of(b"x" * 3000, 90)
    report = writer.sender_report(1_700_000_000_500_000, 90, "36010200001320000001")
    assert len(report) % 4 == 0
    fields = struct.unpack(">BBHIIIIII", report[:28])
    assert fields[:4] == (0x80, 200, 6, 1)
    assert fields[4:] == (1_700_000_000 + 2_208_988_800, 1 << 31, 95, 3, 3000)
    assert report[28 + 2 : 28 + 4] == (len(report[28:]) // 4 - 1).to_bytes(2, "big")
