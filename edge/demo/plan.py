"""What a demo camera is to be: its stream, its credentials, its habits. Core: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from retention.model import US_PER_S, Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """The picture and sound of one camera."""

    codec: Codec = Codec.H264
    width: int = 640
    height: int = 360
    fps: int = 10
    gop_frames: int = 10
    b_frames: int = 0
    #: What it shows: the scene, or the blue of a lost signal.
    shows: Literal["scene", "blue"] = "scene"
    #: Bits per second, reached by a noisy picture; None = constant quality, about 150 kbit/s.
    bit_rate: int | None = None
    audio: Codec | None = None
    #: Parameter sets before each key frame, and in the SDP; at least one must be set.
    inband_parameter_sets: bool = True
    sdp_parameter_sets: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPlan:
    """One demo camera."""

    id: str
    name: str = ""
    stream: StreamPlan = field(default_factory=StreamPlan)
    username: str = "recorder"
    password: str = field(default="", repr=False)  # empty = the stream asks for none
    #: Encode this many seconds once and loop them: a fraction of the cost of live encoding.
    loop_seconds: int | None = None
    #: A file whose first video stream is looped instead (any container that PyAV reads).
    media: str | None = None
    #: Prepend an SEI with a running number to each looped picture, so that no two are alike.
    stamp: bool = False
    #: PLAY does not wait for a key frame (cameras that begin in the middle of a GOP).
    start_mid_gop: bool = False
    #: The camera's clock minus the host's (microseconds): SDP, RTCP, ONVIF, burnt-in clock.
    clock_offset_us: int = 0
    #: First RTP time stamp of the video; None = random.
    rtp_base: int | None = None
    digest_qop: bool = False  # offer qop="auth"
    session_timeout_s: int = 60
    onvif: bool = True
    #: It turns (ONVIF PTZ).
    ptz: bool = False
    #: ONVIF profile tokens; each is also the path of its stream (all show the same picture).
    profiles: tuple[str, ...] = ("main", "sub")
    #: "host:port" that GetStreamUri names instead of the address that it is reached at.
    stream_uri_authority: str | None = None
    #: How far WS-Security's Created may be off the camera's clock (microseconds).
    created_tolerance_us: int = 30 * US_PER_S
    manufacturer: str = "Xueliang"
    model: str = "Demo camera"
    firmware: str = "1.0"
    #: What is written into the picture as its name (ONVIF OSD); None: the camera's label.
    osd: str | None = None
    #: It tells events (ONVIF PullPoint); of these kinds (motion, tamper, face, vehicle) one by
    #: itself each ``event_seconds``; 0: only those of a script.
    events: bool = True
    event_kinds: tuple[str, ...] = ()
    event_seconds: int = 0
    #: How many sent units are remembered for tests; 0 = none.
    log_units: int = 0
    #: Fixed ports; 0 = any free one.
    rtsp_port: int = 0
    onvif_port: int = 0

    @property
    def serial(self) -> str:
        return f"DEMO-{self.id}"

    @property
    def label(self) -> str:
        """What is burnt into the picture."""
        return self.name if self.name.isascii() and self.name else self.id
