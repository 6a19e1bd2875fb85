"""The values that the store is made of. Core: no I/O, no clock, no log.

Instants are integers, microseconds since 1970-01-01T00:00:00Z, named ``*_us``; durations are
integer microseconds, named ``duration_us``; spans are half open, ``[start_us, end_us)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from retention.layout import segment_path

US_PER_S = 1_000_000

#: A hole in the access units that is at least this long is a gap (design.md, Ledger).
GAP_MIN_US = US_PER_S


class Codec(StrEnum):
    H264 = "h264"
    H265 = "h265"
    AAC = "aac"
    ALAW = "alaw"
    ULAW = "ulaw"


class Track(StrEnum):
    VIDEO = "video"
    AUDIO = "audio"


class GapCause(StrEnum):
    """Why a second is missing; also the ``cause`` label of the metrics."""

    CAMERA_OFFLINE = "camera_offline"
    CAMERA_AUTH = "camera_auth"
    CAMERA_REFUSED = "camera_refused"
    NETWORK = "network"
    STREAM_DAMAGED = "stream_damaged"
    DISK_FULL = "disk_full"
    DISK_FAILED = "disk_failed"
    DISK_SLOW = "disk_slow"
    SERVICE_STOPPED = "service_stopped"
    SERVICE_CRASHED = "service_crashed"
    POWER_LOST = "power_lost"
    CLOCK_STEPPED = "clock_stepped"
    CONFIG = "config"
    EXPIRED = "expired"
    OVERWRITTEN = "overwritten"
    FOOTAGE_LOST = "footage_lost"
    UNKNOWN = "unknown"


class EndReason(StrEnum):
    """Why a segment ends where it does."""

    ROTATED = "rotated"  # due, cut at a key frame: the next segment goes on at end_us
    FORMAT = "format"  # parameter sets or codec changed
    RUN_ENDED = "run_ended"  # the stream ended or was left; nothing follows at end_us
    CLOCK = "clock"  # the host clock or the camera's time stamps jumped
    NO_KEY_FRAME = "no_key_frame"  # 300 s without one: cut all the same, and flagged
    DROPPED = "dropped"  # the next fragment did not fit the buffer
    IO_ERROR = "io_error"  # the volume failed; sealed at the last durable fragment
    RECOVERED = "recovered"  # adopted at start-up, truncated to the last whole fragment


class ClockState(StrEnum):
    """Whether the host's time was trusted when a run began (``retention.trusted_time``).

    Instants of an untrusted run are the host's all the same; what has to be added to them is told
    in the journal once that is known (kind ``time``, event ``retimed``).
    """

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"

    @classmethod
    def _missing_(cls, value: object) -> ClockState | None:
        """What files said before time was judged: whether NTP disciplined the clock."""
        return {"synchronized": cls.TRUSTED, "unsynchronized": cls.UNTRUSTED}.get(str(value))


class MarkerKind(StrEnum):
    """What a camera said that it saw; of nobody and nothing in particular."""

    MOTION = "motion"
    TAMPER = "tamper"
    FACE = "face"  # it captured a face: not whose
    VEHICLE = "vehicle"  # it captured a vehicle: not its plate


class SegmentState(StrEnum):
    OPEN = "open"
    SEALED = "sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFormat:
    """What a decoder must know before the first picture."""

    codec: Codec
    width: int
    height: int
    #: SPS, PPS (H.264) or VPS, SPS, PPS (H.265) NAL units, without start code or length.
    parameter_sets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    codec: Codec
    sample_rate_hz: int
    channels: int
    #: AudioSpecificConfig of AAC (ISO/IEC 14496-3, 1.6.2.1); empty for G.711.
    config: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFormat:
    video: VideoFormat
    audio: AudioFormat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedUnit:
    """One access unit as the camera sent it, before it has a place in wall time.

    ``data`` of video is the picture's NAL units, each behind a 4-byte big-endian length, byte for
    byte those of the wire; of audio the raw frame (AAC without ADTS, or G.711 bytes).
    """

    track: Track
    media_us: int | None  # the camera's presentation time (RTP), arbitrary epoch
    arrival_utc_us: int
    arrival_monotonic_us: int
    is_key: bool
    is_damaged: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One access unit placed in wall time; ``data`` as in :class:`ReceivedUnit`."""

    track: Track
    pts_us: int
    is_key: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What one ``moof`` + ``mdat`` holds: a GOP, or at most 4 s or 4 MiB of a long one.

    Units stand in decode order of arrival, both tracks mixed. ``[start_us, end_us)`` is the
    presentation span of the video: ``end_us`` is where the next fragment's pictures begin, or the
    last picture's time plus its estimated duration when nothing follows.
    """

    units: tuple[AccessUnit, ...]
    start_us: int
    end_us: int
    is_key: bool  # begins with a key frame

    @property
    def size_bytes(self) -> int:
        return sum(len(unit.data) for unit in self.units)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """What a segment file says of itself in its ``uuid`` box, and what its ``moov`` needs."""

    camera: str
    run: str  # 32 hex digits
    number: int  # rises by one for each segment of the camera, for ever
    start_us: int
    clock: ClockState
    format: MediaFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentEntry:
    """Where one fragment stands in its file."""

    offset: int
    size_bytes: int
    start_us: int
    end_us: int
    is_key: bool
    sha256: bytes  # of the fragment's bytes (moof and mdat); empty where only the index was read


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment as the index knows it."""

    camera: str
    number: int
    run: str
    volume: str  # the stamp's UUID
    start_us: int
    end_us: int  # of the newest durable fragment while open
    state: SegmentState
    size_bytes: int  # durable bytes while open, the whole file once sealed
    end_reason: EndReason | None  # None while open
    digest: bytes  # retention.digest, 32 bytes; empty while open
    fragments: tuple[FragmentEntry, ...] = ()
    #: What re-timing has added to every instant above; the file's own are without it.
    offset_us: int = 0

    @property
    def path(self) -> str:
        """Where its file stands on its volume: its name is for ever the one it was given."""
        return segment_path(self.camera, self.start_us - self.offset_us, self.number)

    def retimed(self, offset_us: int) -> Segment:
        """The same with ``offset_us`` added to the file's own instants (0: as the file says)."""
        by_us = offset_us - self.offset_us
        if not by_us:
            return self
        return replace(
            self,
            start_us=self.start_us + by_us,
            end_us=self.end_us + by_us,
            offset_us=offset_us,
            fragments=tuple(
                replace(entry, start_us=entry.start_us + by_us, end_us=entry.end_us + by_us)
                for entry in self.fragments
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Segments of one session on one clock."""

    run: str
    camera: str
    start_us: int
    clock: ClockState
    format: MediaFormat
    #: The stretch of host time that it was recorded in; None where only its file tells of it.
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A stretch of host time without a step, under one judgement (``retention.trusted_time``).

    Every instant that the ledger is told belongs to one; epoch 0 is true time.
    """

    id: int  # rises by one, for ever
    boot_id: str
    skew_us: int  # UTC minus CLOCK_MONOTONIC in it
    start_us: int  # on the clock as it went then, like all of its instants
    #: Why footage may be missing before it: a step, or what ended the service.
    cause: GapCause
    #: Its last instant; None while it lasts.
    end_us: int | None = None
    #: What has to be added to its instants; None while nobody knows. 0 if it was trusted.
    offset_us: int | None = None
    is_estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A due but absent span; ``end_us`` is None while it lasts."""

    camera: str
    start_us: int
    end_us: int | None
    cause: GapCause
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Marker:
    """An instant at which a camera told an event; holds no identity, whatever the camera sent."""

    at_us: int
    camera: str
    kind: MarkerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    start_us: int
    end_us: int
