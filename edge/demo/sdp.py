"""The session description of a demo camera (RFC 4566, 6184 8.2.1, 7798 7.2.1, 3640 4.1). Core."""

from __future__ import annotations

import base64

from edge.demo import rtp
from retention.model import AudioFormat, Codec, MediaFormat, Track, VideoFormat


def describe(media: MediaFormat, *, name: str, host: str, with_parameter_sets: bool) -> bytes:
    """The SDP; each medium's control is ``video`` or ``audio``, relative to Content-Base."""
    title = " ".join(name.split()) or "-"
    lines = ["v=0", f"o=- 1 1 IN IP4 {host}", f"s={title}", f"c=IN IP4 {host}", "t=0 0"]
    lines += ["a=control:*", "a=range:npt=now-"]
    lines += _video(media.video, with_parameter_sets)
    if media.audio is not None:
        lines += _audio(media.audio)
    return ("\r\n".join(lines) + "\r\n").encode()


def _video(video: VideoFormat, with_parameter_sets: bool) -> list[str]:
    number = rtp.payload_type(video.codec)
    name = "H264" if video.codec is Codec.H264 else "H265"
    lines = [f"m=video 0 RTP/AVP {number}", f"a=rtpmap:{number} {name}/{rtp.VIDEO_CLOCK_HZ}"]
    parameters = _sprop(video) if with_parameter_sets else []
    if video.codec is Codec.H264:
        parameters = ["packetization-mode=1", *parameters]
    if parameters:
        lines.append(f"a=fmtp:{number} " + ";".join(parameters))
    return [*lines, f"a=control:{Track.VIDEO}"]


def _sprop(video: VideoFormat) -> list[str]:
    coded = [base64.b64encode(nal).decode() for nal in video.parameter_sets]
    if video.codec is Codec.H264:
        profile = video.parameter_sets[0][1:4].hex().upper()
        return [f"profile-level-id={profile}", "sprop-parameter-sets=" + ",".join(coded)]
    names = {32: "sprop-vps", 33: "sprop-sps", 34: "sprop-pps"}
    return [
        f"{names[nal[0] >> 1 & 0x3F]}={text}"
        for nal, text in zip(video.parameter_sets, coded, strict=True)
    ]


def _audio(audio: AudioFormat) -> list[str]:
    number = rtp.payload_type(audio.codec)
    lines = [f"m=audio 0 RTP/AVP {number}"]
    if audio.codec is Codec.AAC:
        lines.append(f"a=rtpmap:{number} MPEG4-GENERIC/{audio.sample_rate_hz}/{audio.channels}")
        lines.append(
            f"a=fmtp:{number} streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;"
            f"indexlength=3;indexdeltalength=3;config={audio.config.hex().upper()}"
        )
    else:
        name = "PCMA" if audio.codec is Codec.ALAW else "PCMU"
        lines.append(f"a=rtpmap:{number} {name}/{audio.sample_rate_hz}")
    return [*lines, f"a=control:{Track.AUDIO}"]
