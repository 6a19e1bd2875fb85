"""Encoders of the demo cameras: PyAV's libx264, libx265 and AAC, one thread each."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import av.audio
import av.video
import numpy as np
from av.codec.context import Flags

from edge.demo import units
from edge.demo.picture import Plane
from edge.demo.plan import StreamPlan
from retention.model import AudioFormat, Codec, Track, VideoFormat

AAC_RATE_HZ = 16_000
AAC_FRAME_SAMPLES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPicture:
    number: int  # the frame number it was fed with
    unit: units.MediaUnit


class PictureEncoder:
    """Frames in, access units in decode order out.

    Raises av.error.FFmpegError when libav refuses the plan.
    """

    def __init__(self, plan: StreamPlan) -> None:
        self._plan = plan
        self._context = _open_video(plan)
        extradata = units.split_start_codes(self._context.extradata or b"")
        sets = tuple(nal for nal in extradata if units.is_parameter_set(plan.codec, nal))
        self.format = VideoFormat(
            codec=plan.codec, width=plan.width, height=plan.height, parameter_sets=sets
        )

    def encode(self, picture: Plane, number: int, *, key: bool = False) -> list[EncodedPicture]:
        """The units that are ready after this frame; none while B-frames are pending."""
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        if key:
            frame.pict_type = av.video.frame.PictureType.I
        return [self._unit(packet) for packet in self._context.encode(frame)]

    def flush(self) -> list[EncodedPicture]:
        """What was still pending; the encoder takes no frame afterwards."""
        return [self._unit(packet) for packet in self._context.encode(None)]

    def _unit(self, packet: av.Packet[av.VideoStream]) -> EncodedPicture:
        assert packet.pts is not None
        nals = units.split_start_codes(bytes(packet))
        if packet.is_keyframe and self._plan.inband_parameter_sets:
            nals = self.format.parameter_sets + nals
        unit = units.MediaUnit(track=Track.VIDEO, is_key=packet.is_keyframe, nals=nals)
        return EncodedPicture(number=packet.pts, unit=unit)


def _open_video(plan: StreamPlan) -> av.VideoCodecContext:
    name = {Codec.H264: "libx264", Codec.H265: "libx265"}[plan.codec]
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width = plan.width
    context.height = plan.height
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, plan.fps)
    context.framerate = Fraction(plan.fps)
    context.thread_count = 1
    context.flags |= Flags.global_header
    lookahead = plan.b_frames + 1 if plan.b_frames else 0
    settings = {
        "keyint": plan.gop_frames,
        "min-keyint": plan.gop_frames,
        "scenecut": 0,
        "open-gop": 0,
        "bframes": plan.b_frames,
        "b-adapt": 0,
        "rc-lookahead": lookahead,
    }
    if plan.bit_rate is None:
        settings["crf"] = 28
    else:
        settings["bitrate"] = plan.bit_rate // 1000
        settings["vbv-maxrate"] = plan.bit_rate // 1000
        settings["vbv-bufsize"] = plan.bit_rate // 1000
    extra = "sync-lookahead=0:force-cfr=1"
    if plan.codec is Codec.H265:
        extra = "pools=none:frame-threads=1:log-level=none:info=0"
    text = ":".join(f"{key}={value}" for key, value in settings.items()) + ":" + extra
    private = "x264-params" if plan.codec is Codec.H264 else "x265-params"
    # forced-idr: a key frame that we ask for is one at which a decoder can begin
    context.options = {"preset": "ultrafast", "forced-idr": "1", private: text}
    context.open()
    return context


def still(picture: Plane) -> bytes:
    """One picture as baseline JPEG."""
    frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
    frame = frame.reformat(format="yuvj420p")
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = "yuvj420p"
    context.time_base = Fraction(1, 1)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def audio_loop(codec: Codec) -> tuple[AudioFormat, int, list[units.MediaUnit]]:
    """Two seconds of a beep: its format, the samples of one unit, and the units.

    G.711 in units of 40 ms (ITU-T G.711), AAC-LC in frames of 1024 samples.
    """
    rate_hz = AAC_RATE_HZ if codec is Codec.AAC else 8_000
    at = np.arange(2 * rate_hz)
    loud = np.where(at % rate_hz < rate_hz // 8, 8_000, 400)
    samples = (np.sin(at * (2 * np.pi * 440 / rate_hz)) * loud).astype(np.int16)
    frame_samples = AAC_FRAME_SAMPLES if codec is Codec.AAC else 320
    name = {Codec.AAC: "aac", Codec.ALAW: "pcm_alaw", Codec.ULAW: "pcm_mulaw"}[codec]
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = rate_hz
    context.layout = "mono"
    context.format = "fltp" if codec is Codec.AAC else "s16"
    context.time_base = Fraction(1, rate_hz)
    context.flags |= Flags.global_header
    context.open()
    found = []
    for begin in range(0, len(samples) - frame_samples + 1, frame_samples):
        part = samples[begin : begin + frame_samples]
        found += _encode_audio(context, part, begin)
    found += [bytes(packet) for packet in context.encode(None)]
    audio = AudioFormat(
        codec=codec, sample_rate_hz=rate_hz, channels=1, config=bytes(context.extradata or b"")
    )
    loop = [units.MediaUnit(track=Track.AUDIO, is_key=True, nals=(data,)) for data in found]
    return audio, frame_samples, loop


def _encode_audio(context: av.AudioCodecContext, part: np.ndarray, begin: int) -> list[bytes]:
    if context.format.name == "fltp":
        frame = av.AudioFrame.from_ndarray(
            (part.astype(np.float32) / 32768)[np.newaxis], format="fltp", layout="mono"
        )
    else:
        frame = av.AudioFrame.from_ndarray(part[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = context.sample_rate
    frame.pts = begin
    frame.time_base = Fraction(1, context.sample_rate)
    return [bytes(packet) for packet in context.encode(frame)]
