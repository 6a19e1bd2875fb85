"""The site's minimum for encoders, from the settings. Shell: the settings are pydantic's."""

from __future__ import annotations

from config.schema import Settings
from edge.care.encoder import Minimum


def minimum_of(settings: Settings) -> Minimum:
    told = settings.care.encoder
    return Minimum(
        codec=told.codec,
        size=told.size,
        fps=told.fps,
        min_kbps=told.min_kbps,
        max_gop_seconds=told.max_gop_seconds,
    )
