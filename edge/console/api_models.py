"""What the JSON API answers, as models: the OpenAPI document is made of them. Core (pydantic).

Instants are ISO 8601 with the site's offset; durations are seconds, sizes bytes, ratios 0 to 1 and
rounded down. ``null`` means not known, or nothing was due; it is never a zero.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Error(Answer):
    """Why a request was not answered: a sentence, its detail, and a word for programs."""

    error: str
    detail: str
    code: str


class LevelWord(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"
    OFF = "off"  # not in use


class LightAnswer(Answer):
    """One of the front page's five answers, with its reason and what to do."""

    topic: str = Field(description="recording, retention, clock, disks or platform")
    level: LevelWord
    reason_zh: str
    reason_en: str
    mend_zh: str
    mend_en: str


class VolumeAnswer(Answer):
    number: int = Field(description="its place in the settings, from 1; paths are not told")
    state: str
    capacity_bytes: int
    free_bytes: int


class PlatformAnswer(Answer):
    name: str
    registered: bool
    state: str
    since: AwareDatetime | None


class CameraAnswer(Answer):
    id: str
    name: str
    role: str
    gb_id: str | None
    enabled: bool
    exposed: bool
    recording: bool | None = Field(description="null while edge does not answer")
    cause: str | None = Field(description="of the gap that is open now")
    codec: str | None
    width: int | None
    height: int | None
    bits_per_second: int | None
    manufacturer: str
    model: str
    firmware: str


class CamerasAnswer(Answer):
    cameras: list[CameraAnswer]


class StatusAnswer(Answer):
    """The site at a glance."""

    site: str
    at: AwareDatetime
    edge_running: bool
    level: LevelWord
    lights: list[LightAnswer]
    min_days: int
    max_days: int
    forecast_days: float | None
    time_trusted: bool | None
    clock_offsets_seconds: dict[str, float]
    volumes: list[VolumeAnswer]
    platforms: list[PlatformAnswer]


class SpanAnswer(Answer):
    start: AwareDatetime
    end: AwareDatetime


class GapAnswer(SpanAnswer):
    cause: str
    detail: str


class TimelineAnswer(Answer):
    """Spans and gaps partition what was due of the window; ``to`` may come back earlier, where
    nothing later is known yet."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    camera: str
    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    spans: list[SpanAnswer]
    gaps: list[GapAnswer]


class FiguresAnswer(Answer):
    ratio: float | None
    due_seconds: float
    recorded_seconds: float
    expired_seconds: float
    gaps: int
    longest_gap_seconds: float
    missing_seconds: dict[str, float]


class DayAnswer(FiguresAnswer):
    date: str
    state: str
    whole: bool


class CompletenessAnswer(Answer):
    camera: str
    in_service: bool
    mature: bool
    due_from: AwareDatetime
    windows: dict[str, FiguresAnswer]
    checked_days: int
    complete_days: int
    days: list[DayAnswer]


class AlarmAnswer(Answer):
    number: int
    code: str
    about: str
    subject: str = Field(
        description="id of a camera, name of a platform or service; of a disk its number"
    )
    severity: str
    name_zh: str
    name_en: str
    reason_zh: str
    reason_en: str
    mend_zh: str
    mend_en: str
    since: AwareDatetime
    until: AwareDatetime | None


class AlarmsAnswer(Answer):
    edge_running: bool = Field(description="false: what stood when edge stopped")
    standing: list[AlarmAnswer]
    ended: list[AlarmAnswer]


class HoldAnswer(Answer):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    id: str
    camera: str | None = Field(description="null: every camera")
    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    state: str
    case: str
    requester: str
    unit: str
    expires: AwareDatetime | None
    added: AwareDatetime
    added_by: str
    released: AwareDatetime | None
    released_by: str | None


class HoldsAnswer(Answer):
    holds: list[HoldAnswer]


class HeadAnswer(Answer):
    """Where an audit log ends: whoever keeps it can later prove that its past was not rewritten."""

    service: str
    seq: int
    hash: str


class HeadsAnswer(Answer):
    at: AwareDatetime
    heads: list[HeadAnswer]


class CameraKpi(Answer):
    camera: str
    gb_id: str | None
    recording: bool | None
    completeness_ratio: float | None = Field(description="录像完整率: recorded of due, kept days")
    day_ratio: float | None = Field(description="of the last 24 hours")
    checked_days: int
    complete_days: int
    oldest: AwareDatetime | None
    kept_days: float | None = Field(description="录像保存天数: age of the oldest footage")
    clock_offset_seconds: float | None


class KpiAnswer(Answer):
    """The figures that districts rank sites by, as measured here."""

    site: str
    at: AwareDatetime
    required_days: int
    cameras_enabled: int
    cameras_recording: int | None
    online_ratio: float | None = Field(
        description="设备在线率: cameras that record of those enabled"
    )
    completeness_ratio: float | None = Field(description="by duration, over all cameras")
    complete_day_ratio: float | None = Field(description="complete camera days of those checked")
    kept_days_min: float | None
    clock_worst_seconds: float | None
    cameras: list[CameraKpi]
