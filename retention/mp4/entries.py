"""Sample entries: what ``stsd`` says of each codec. Core.

avc1 and hvc1: ISO/IEC 14496-15; mp4a: ISO/IEC 14496-14; alaw, ulaw: QuickTime's four-character
codes, which ffmpeg, GStreamer and VLC read in ISO files too.
"""

from __future__ import annotations

from retention.model import AudioFormat, Codec, VideoFormat
from retention.mp4.boxes import box, full_box
from retention.nal import find_sps, nal_type, read_sps
from retention.sps import Sps

_AVC_PROFILES_WITH_CHROMA = frozenset({100, 110, 122, 144})
_RESERVED_AND_REFERENCE = bytes(6) + b"\x00\x01"
_AAC_SAMPLES = 1024
_AAC_RATES_HZ = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)


def video_entry(video: VideoFormat) -> bytes:
    """The visual sample entry with its decoder configuration.

    Raises:
        ValueError: the parameter sets are none (retention.nal.video_format has checked them).
    """
    sps = read_sps(video.codec, find_sps(video.codec, video.parameter_sets))
    if video.codec is Codec.H265:
        kind, configuration = b"hvc1", box(b"hvcC", _hevc_configuration(video, sps))
    else:
        kind, configuration = b"avc1", box(b"avcC", _avc_configuration(video, sps))
    return box(
        kind,
        _RESERVED_AND_REFERENCE,
        bytes(16),
        video.width.to_bytes(2, "big") + video.height.to_bytes(2, "big"),
        b"\x00\x48\x00\x00\x00\x48\x00\x00",  # 72 dpi
        bytes(4),
        b"\x00\x01",  # frames in a sample
        bytes(32),
        b"\x00\x18\xff\xff",
        configuration,
    )


def audio_entry(audio: AudioFormat) -> bytes:
    """The audio sample entry; a rate above 65535 Hz stands in the codec's configuration only."""
    kinds = {Codec.AAC: b"mp4a", Codec.ALAW: b"alaw", Codec.ULAW: b"ulaw"}
    rate = audio.sample_rate_hz if audio.sample_rate_hz < 1 << 16 else 0
    return box(
        kinds[audio.codec],
        _RESERVED_AND_REFERENCE,
        bytes(8),
        audio.channels.to_bytes(2, "big"),
        b"\x00\x10",  # bits of a decoded sample
        bytes(4),
        (rate << 16).to_bytes(4, "big"),
        _esds(audio.config) if audio.codec is Codec.AAC else _channel_layout(audio.channels),
    )


def audio_frame_samples(audio: AudioFormat, size_bytes: int) -> int:
    """How many samples, at the track's rate, an audio unit of that size holds."""
    if audio.codec is not Codec.AAC:
        return max(1, size_bytes // max(1, audio.channels))
    config = int.from_bytes(audio.config[:4].ljust(4, b"\x00"), "big")
    index = config >> 23 & 0xF  # behind the 5 bits of audioObjectType
    if index >= len(_AAC_RATES_HZ) or len(audio.config) < 2:
        return _AAC_SAMPLES
    # with SBR signalled the output rate is twice the core's
    return max(1, _AAC_SAMPLES * audio.sample_rate_hz // _AAC_RATES_HZ[index])


def _avc_configuration(video: VideoFormat, sps: Sps) -> bytes:
    """AVCDecoderConfigurationRecord (14496-15, 5.3.3.1)."""
    all_sps = [nal for nal in video.parameter_sets if nal_type(Codec.H264, nal) == 7]
    all_pps = [nal for nal in video.parameter_sets if nal_type(Codec.H264, nal) == 8]
    record = bytearray(b"\x01" + sps.profile + b"\xff")  # lengths of 4 bytes
    record.append(0xE0 | min(len(all_sps), 31))
    record += _with_lengths(all_sps[:31])
    record.append(min(len(all_pps), 255))
    record += _with_lengths(all_pps[:255])
    if sps.profile[0] in _AVC_PROFILES_WITH_CHROMA:
        record.append(0xFC | sps.chroma_format_idc)
        record.append(0xF8 | sps.bit_depth_luma - 8)
        record.append(0xF8 | sps.bit_depth_chroma - 8)
        record.append(0)  # SPS extensions
    return bytes(record)


def _hevc_configuration(video: VideoFormat, sps: Sps) -> bytes:
    """HEVCDecoderConfigurationRecord (14496-15, 8.3.3.1)."""
    record = bytearray(b"\x01" + sps.profile)
    record += b"\xf0\x00\xfc"  # no spatial segmentation or parallelism promised
    record.append(0xFC | sps.chroma_format_idc)
    record.append(0xF8 | sps.bit_depth_luma - 8)
    record.append(0xF8 | sps.bit_depth_chroma - 8)
    record += b"\x00\x00"  # average frame rate unknown
    record.append(sps.temporal_layers << 3 | sps.temporal_id_nested << 2 | 3)  # 4-byte lengths
    kinds = sorted({nal_type(Codec.H265, nal) for nal in video.parameter_sets})
    record.append(len(kinds))
    for kind in kinds:
        nals = [nal for nal in video.parameter_sets if nal_type(Codec.H265, nal) == kind]
        record.append(0x80 | kind)
        record += len(nals).to_bytes(2, "big") + _with_lengths(nals)
    return bytes(record)


def _channel_layout(channels: int) -> bytes:
    """QuickTime's ``chan`` for mono and stereo, without which players have to guess."""
    if channels > 2:
        return b""
    tag = (99 + channels) << 16 | channels  # kAudioChannelLayoutTag_Mono, _Stereo
    return full_box(b"chan", 0, 0, tag.to_bytes(4, "big") + bytes(8))


def _with_lengths(nals: list[bytes]) -> bytes:
    return b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def _esds(config: bytes) -> bytes:
    """ES_Descriptor (14496-1, 7.2.6.5) of AAC, bit rates unknown."""
    specific = _descriptor(5, config)
    decoder = _descriptor(4, b"\x40\x15" + bytes(3 + 4 + 4) + specific)
    return full_box(
        b"esds", 0, 0, _descriptor(3, b"\x00\x00\x00" + decoder + _descriptor(6, b"\2"))
    )


def _descriptor(tag: int, payload: bytes) -> bytes:
    size = len(payload)
    if size >= 1 << 14:
        raise ValueError("an AAC configuration that is far too long")
    return bytes((tag, size >> 7 | 0x80, size & 0x7F)) + payload
