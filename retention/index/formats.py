"""A media format as JSON text, for journal and index. Core."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from retention.model import AudioFormat, ClockState, Codec, MediaFormat, Run, VideoFormat


def format_to_json(media: MediaFormat) -> dict[str, Any]:
    video, audio = media.video, media.audio
    document: dict[str, Any] = {
        "video": {
            "codec": video.codec.value,
            "width": video.width,
            "height": video.height,
            "parameter_sets": [_text(nal) for nal in video.parameter_sets],
        }
    }
    if audio is not None:
        document["audio"] = {
            "codec": audio.codec.value,
            "sample_rate_hz": audio.sample_rate_hz,
            "channels": audio.channels,
            "config": _text(audio.config),
        }
    return document


def format_from_json(document: Any) -> MediaFormat:
    """Inverse of :func:`format_to_json`.

    Raises:
        ValueError: ``document`` is no format.
    """
    try:
        video = document["video"]
        audio = document.get("audio")
        return MediaFormat(
            video=VideoFormat(
                codec=Codec(video["codec"]),
                width=_integer(video["width"]),
                height=_integer(video["height"]),
                parameter_sets=tuple(_bytes(nal) for nal in video["parameter_sets"]),
            ),
            audio=None
            if audio is None
            else AudioFormat(
                codec=Codec(audio["codec"]),
                sample_rate_hz=_integer(audio["sample_rate_hz"]),
                channels=_integer(audio["channels"]),
                config=_bytes(audio["config"]),
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("no media format") from error


def run_to_json(run: Run) -> dict[str, Any]:
    return {
        "run": run.run,
        "camera": run.camera,
        "start_us": run.start_us,
        "clock": run.clock.value,
        "format": format_to_json(run.format),
        "epoch": run.epoch,
    }


def run_from_json(document: Mapping[str, Any]) -> Run:
    """Inverse of :func:`run_to_json`. Raises :class:`ValueError` if ``document`` is no run."""
    try:
        return Run(
            run=str(document["run"]),
            camera=str(document["camera"]),
            start_us=_integer(document["start_us"]),
            clock=ClockState(document["clock"]),
            format=format_from_json(document["format"]),
            epoch=None if document.get("epoch") is None else _integer(document["epoch"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError("no run") from error


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("no integer")
    return value


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError("no base64 text")
    return base64.b64decode(text, validate=True)
