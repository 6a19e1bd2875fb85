"""The table of alarms: what each is called, what to do, how bad, and its name in GB/T 28181. Core.

GB/T 28181-2022 A.2.5: AlarmMethod 2 device, 5 video, 6 device fault, 7 other; AlarmType of method
2: 1 video loss, 2 tamper, 3 disk full; of method 5: 11 video abnormal, 13 image occluded; of method
6: 1 disk fault. AlarmPriority 1 is the highest of 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"  # footage is not made, or may be lost, or is not proven


class About(StrEnum):
    """What kind of thing ``subject`` names; of the site it is empty."""

    CAMERA = "camera"
    VOLUME = "volume"
    PLATFORM = "platform"
    SERVICE = "service"
    SITE = "site"


class Code(StrEnum):
    # a camera and its recording
    VIDEO_LOST = "video_lost"
    RECORDING_INTERRUPTED = "recording_interrupted"
    FRAMES_DROPPED = "frames_dropped"
    # a camera, cared for
    CAMERA_CLOCK_OFF = "camera_clock_off"  # a second
    CAMERA_CLOCK_DEFECT = "camera_clock_defect"  # five
    CAMERA_CLOCK_WRONG = "camera_clock_wrong"  # thirty
    CAMERA_PASSWORD_WEAK = "camera_password_weak"  # noqa: S105 - the name of an alarm
    CAMERA_SETTINGS_LOW = "camera_settings_low"
    CAMERA_NAME_DIFFERS = "camera_name_differs"
    CAMERA_CHANGED = "camera_changed"
    CAMERA_MOVED_ADDRESS = "camera_moved_address"
    CAMERA_CARE_FAILED = "camera_care_failed"
    CAMERA_TAMPER = "camera_tamper"
    # a camera's picture, diagnosed
    PICTURE_SIGNAL_LOST = "picture_signal_lost"
    PICTURE_BLACK = "picture_black"
    PICTURE_FROZEN = "picture_frozen"
    PICTURE_COVERED = "picture_covered"
    PICTURE_BLURRED = "picture_blurred"
    PICTURE_TOO_BRIGHT = "picture_too_bright"
    PICTURE_TOO_DARK = "picture_too_dark"
    PICTURE_LOW_CONTRAST = "picture_low_contrast"
    PICTURE_COLOUR_CAST = "picture_colour_cast"
    PICTURE_NOISY = "picture_noisy"
    PICTURE_STRIPED = "picture_striped"
    PICTURE_SHAKING = "picture_shaking"
    PICTURE_MOVED = "picture_moved"
    PICTURE_BROKEN = "picture_broken"
    DIAGNOSIS_FAILED = "diagnosis_failed"
    # disks
    STORAGE_FAILED = "storage_failed"
    STORAGE_FULL = "storage_full"
    DISK_FAILING = "disk_failing"
    DISK_HOT = "disk_hot"
    STATE_FOLDER_FULL = "state_folder_full"
    INDEX_FAILED = "index_failed"
    # what is kept, and its proof
    RETENTION_AT_RISK = "retention_at_risk"
    RETENTION_BREACHED = "retention_breached"
    FOOTAGE_DAMAGED = "footage_damaged"
    SELF_CHECK_FAILED = "self_check_failed"
    AUDIT_BROKEN = "audit_broken"
    WITNESS_SILENT = "witness_silent"
    TIME_UNTRUSTED = "time_untrusted"
    CLOCK_UNSYNCHRONIZED = "clock_unsynchronized"
    # services and platforms
    SERVICE_DOWN = "service_down"
    SETTINGS_REFUSED = "settings_refused"
    PLATFORM_OFFLINE = "platform_offline"
    PLATFORM_ORDERS_REFUSED = "platform_orders_refused"
    LOGIN_ATTACK = "login_attack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gb:
    """How the standard names an alarm; ``type`` None: it has no name for it."""

    method: int
    type: int | None
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A line of the table.

    Args:
        lasts_s: a fault is an alarm once it has been there for so long: cameras flap.
        quiet_s: an alarm ends once the fault has been away for so long.
        stands_s: how long the alarm of something that happened stands (``happened``).
        gb: None: platforms are not told.
        is_defect: the camera gives pictures that are no use (Catalog event DEFECT).
    """

    about: About
    severity: Severity
    name_zh: str
    name_en: str
    mend_zh: str
    mend_en: str
    lasts_s: int = 0
    quiet_s: int = 0
    stands_s: int = 86_400
    gb: Gb | None = None
    is_defect: bool = False


_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_CAMERA, _VOLUME, _SITE = About.CAMERA, About.VOLUME, About.SITE
_VIDEO_LOSS = Gb(method=2, type=1, priority=2)
_TAMPER = Gb(method=2, type=2, priority=2)
_DISK_FULL = Gb(method=2, type=3, priority=3)
_ABNORMAL = Gb(method=5, type=11, priority=3)
_OCCLUDED = Gb(method=5, type=13, priority=2)
_DISK_FAULT = Gb(method=6, type=1, priority=1)
_OTHER_HIGH = Gb(method=7, type=None, priority=1)
_OTHER = Gb(method=7, type=None, priority=2)


def _picture(name_zh: str, name_en: str, mend_zh: str, mend_en: str, gb: Gb = _ABNORMAL) -> Terms:
    """A defect that the diagnosis gates itself (3 checks of 5): it begins and ends at once."""
    return Terms(
        about=_CAMERA,
        severity=_WARNING,
        name_zh=name_zh,
        name_en=name_en,
        mend_zh=mend_zh,
        mend_en=mend_en,
        gb=gb,
        is_defect=True,
    )


def _care(name_zh: str, name_en: str, mend_zh: str, mend_en: str, stands_s: int = 86_400) -> Terms:
    """What is for the site to mend, not for platforms."""
    return Terms(
        about=_CAMERA,
        severity=_WARNING,
        name_zh=name_zh,
        name_en=name_en,
        mend_zh=mend_zh,
        mend_en=mend_en,
        stands_s=stands_s,
    )


def _clock(severity: Severity, name_zh: str, name_en: str, *, lasts_s: int) -> Terms:
    return Terms(
        about=_CAMERA,
        severity=severity,
        name_zh=name_zh,
        name_en=name_en,
        mend_zh="将摄像机校时服务器设为本机，或允许本机校时（set_clock）",
        mend_en="point the camera's NTP at this box, or let it set the clock (set_clock)",
        lasts_s=lasts_s,
        quiet_s=60,
    )


TERMS: Mapping[Code, Terms] = {
    Code.VIDEO_LOST: Terms(
        about=_CAMERA,
        severity=_CRITICAL,
        name_zh="视频丢失",
        name_en="video lost",
        mend_zh="检查摄像机的电源、网线和密码",
        mend_en="check the camera's power, cable and password",
        lasts_s=15,
        quiet_s=5,
        gb=_VIDEO_LOSS,
    ),
    Code.RECORDING_INTERRUPTED: Terms(
        about=_CAMERA,
        severity=_CRITICAL,
        name_zh="录像中断",
        name_en="recording interrupted",
        mend_zh="检查存储盘，见 xueliang status",
        mend_en="check the volumes, see xueliang status",
        lasts_s=15,
        quiet_s=5,
        gb=_OTHER,
    ),
    Code.FRAMES_DROPPED: Terms(
        about=_CAMERA,
        severity=_CRITICAL,
        name_zh="录像丢帧",
        name_en="frames dropped",
        mend_zh="存储盘写入太慢或已坏，尽快更换",
        mend_en="a volume is too slow or broken: replace it",
        quiet_s=300,
        gb=_OTHER,
    ),
    Code.CAMERA_CLOCK_OFF: _clock(_WARNING, "摄像机时钟不准", "camera clock off", lasts_s=300),
    Code.CAMERA_CLOCK_DEFECT: _clock(
        _WARNING, "摄像机时钟误差过大", "camera clock off by seconds", lasts_s=60
    ),
    Code.CAMERA_CLOCK_WRONG: _clock(_CRITICAL, "摄像机时钟错误", "camera clock wrong", lasts_s=15),
    Code.CAMERA_PASSWORD_WEAK: _care(
        "摄像机弱口令",
        "weak camera password",
        "在摄像机上改用强口令，并更新 password_file",
        "set a strong password on the camera and in its password_file",
    ),
    Code.CAMERA_SETTINGS_LOW: _care(
        "编码参数低于要求",
        "encoder settings below the minimum",
        "调整分辨率、帧率、码率",
        "raise resolution, frame rate or bit rate",
    ),
    Code.CAMERA_NAME_DIFFERS: _care(
        "画面字符与名称不符",
        "picture text differs from the name",
        "使画面字符、设置和档案的名称一致",
        "make the OSD text, the settings and the register agree",
    ),
    Code.CAMERA_CHANGED: _care(
        "摄像机已变更",
        "camera changed",
        "核对是否更换或升级了设备",
        "find out who replaced or updated the device",
    ),
    Code.CAMERA_MOVED_ADDRESS: _care(
        "摄像机地址已变",
        "camera address moved",
        "在路由器上固定地址，并更新设置",
        "fix the address in the router, and the settings",
    ),
    Code.CAMERA_CARE_FAILED: _care(
        "摄像机管理接口无应答",
        "camera does not answer ONVIF",
        "检查 ONVIF 是否开启、用户是否有权",
        "check that ONVIF is on and the user may use it",
    ),
    Code.CAMERA_TAMPER: Terms(
        about=_CAMERA,
        severity=_CRITICAL,
        name_zh="摄像机被破坏或遮挡",
        name_en="camera tampered with",
        mend_zh="到现场查看",
        mend_en="go and look",
        stands_s=600,
        gb=_TAMPER,
        is_defect=True,
    ),
    Code.PICTURE_SIGNAL_LOST: _picture(
        "画面无信号", "no signal in the picture", "检查摄像机", "check the camera", _VIDEO_LOSS
    ),
    Code.PICTURE_BLACK: _picture("黑屏", "black picture", "检查镜头和补光", "check lens and light"),
    Code.PICTURE_FROZEN: _picture("画面冻结", "frozen picture", "重启摄像机", "restart the camera"),
    Code.PICTURE_COVERED: _picture(
        "画面遮挡", "covered picture", "移除遮挡物", "remove what covers it", _OCCLUDED
    ),
    Code.PICTURE_BLURRED: _picture(
        "画面模糊", "blurred picture", "清洁镜头、重新对焦", "clean the lens, focus it"
    ),
    Code.PICTURE_TOO_BRIGHT: _picture(
        "画面过亮", "picture too bright", "调整曝光或角度", "adjust exposure or angle"
    ),
    Code.PICTURE_TOO_DARK: _picture(
        "画面过暗", "picture too dark", "检查补光和曝光", "check light and exposure"
    ),
    Code.PICTURE_LOW_CONTRAST: _picture(
        "对比度低", "low contrast", "清洁镜头、调整参数", "clean the lens, adjust it"
    ),
    Code.PICTURE_COLOUR_CAST: _picture(
        "画面偏色", "colour cast", "检查白平衡和滤光片", "check white balance and filter"
    ),
    Code.PICTURE_NOISY: _picture(
        "画面噪声", "noisy picture", "检查线路和增益", "check cable and gain"
    ),
    Code.PICTURE_STRIPED: _picture(
        "画面条纹", "striped picture", "检查电源干扰", "check for mains interference"
    ),
    Code.PICTURE_SHAKING: _picture("画面抖动", "shaking picture", "加固支架", "fix the bracket"),
    Code.PICTURE_MOVED: _picture(
        "场景移位",
        "scene moved",
        "恢复角度，或由管理员确认新场景",
        "turn it back, or confirm the new scene",
        _TAMPER,
    ),
    Code.PICTURE_BROKEN: _picture(
        "画面破损", "broken picture", "检查网络和码流", "check network and stream"
    ),
    Code.DIAGNOSIS_FAILED: _care(
        "画面诊断失败",
        "diagnosis failed",
        "见 diagnose 服务日志",
        "see the log of the diagnose service",
    ),
    Code.STORAGE_FAILED: Terms(
        about=_VOLUME,
        severity=_CRITICAL,
        name_zh="存储故障",
        name_en="storage failure",
        mend_zh="检查硬盘和挂载，见 xueliang check",
        mend_en="check disk and mount, see xueliang check",
        lasts_s=15,
        quiet_s=15,
        gb=_DISK_FAULT,
    ),
    Code.STORAGE_FULL: Terms(
        about=_SITE,
        severity=_WARNING,
        name_zh="存储已满",
        name_en="storage full",
        mend_zh="增加硬盘或降低码率",
        mend_en="add a disk or lower the bit rates",
        lasts_s=60,
        quiet_s=60,
        gb=_DISK_FULL,
    ),
    Code.DISK_FAILING: Terms(
        about=_VOLUME,
        severity=_CRITICAL,
        name_zh="硬盘将坏",
        name_en="disk failing",
        mend_zh="设为 retiring，尽快更换",
        mend_en="put it under retiring, replace it soon",
        gb=_DISK_FAULT,
    ),
    Code.DISK_HOT: Terms(
        about=_VOLUME,
        severity=_WARNING,
        name_zh="硬盘过热",
        name_en="disk hot",
        mend_zh="检查风扇和通风",
        mend_en="check fans and air",
        gb=Gb(method=2, type=4, priority=3),
    ),
    Code.STATE_FOLDER_FULL: Terms(
        about=_SITE,
        severity=_CRITICAL,
        name_zh="系统盘空间不足",
        name_en="state folder nearly full",
        mend_zh="清理系统盘",
        mend_en="free space on the disk of state_dir",
        lasts_s=60,
        quiet_s=60,
    ),
    Code.INDEX_FAILED: Terms(
        about=_SITE,
        severity=_CRITICAL,
        name_zh="索引故障",
        name_en="index failure",
        mend_zh="检查系统盘，必要时 xueliang reindex",
        mend_en="check the disk of state_dir; xueliang reindex rebuilds the index",
        gb=_OTHER_HIGH,
    ),
    Code.RETENTION_AT_RISK: Terms(
        about=_SITE,
        severity=_CRITICAL,
        name_zh="录像保存天数不足风险",
        name_en="retention at risk",
        mend_zh="增加硬盘或降低码率，见 xueliang plan",
        mend_en="add a disk or lower the bit rates, see xueliang plan",
        gb=_OTHER_HIGH,
    ),
    Code.RETENTION_BREACHED: Terms(
        about=_CAMERA,
        severity=_CRITICAL,
        name_zh="未满期限的录像被覆盖",
        name_en="footage under the floor was overwritten",
        mend_zh="上报主管部门，增加硬盘",
        mend_en="report it, add a disk",
        gb=_OTHER_HIGH,
    ),
    Code.FOOTAGE_DAMAGED: Terms(
        about=_CAMERA,
        severity=_CRITICAL,
        name_zh="录像校验不符",
        name_en="footage is not as stored",
        mend_zh="检查硬盘，见 xueliang verify",
        mend_en="check the disk, see xueliang verify",
        stands_s=7 * 86_400,
        gb=_DISK_FAULT,
    ),
    Code.SELF_CHECK_FAILED: Terms(
        about=_SITE,
        severity=_WARNING,
        name_zh="夜间自检未通过",
        name_en="nightly self-check not passed",
        mend_zh="见 xueliang self-check",
        mend_en="see xueliang self-check",
    ),
    Code.AUDIT_BROKEN: Terms(
        about=_SITE,
        severity=_CRITICAL,
        name_zh="审计日志校验不符",
        name_en="audit log unsound",
        mend_zh="见 xueliang audit verify，保全现场",
        mend_en="see xueliang audit verify; keep the disk as it is",
    ),
    Code.WITNESS_SILENT: Terms(
        about=_SITE,
        severity=_WARNING,
        name_zh="外部见证无应答",
        name_en="outside witness silent",
        mend_zh="检查 [evidence] witness_url 和网络",
        mend_en="check [evidence] witness_url and the network",
        lasts_s=6 * 3600,
    ),
    Code.TIME_UNTRUSTED: Terms(
        about=_SITE,
        severity=_CRITICAL,
        name_zh="本机时间不可信",
        name_en="time not trusted",
        mend_zh="检查校时源，或 xueliang check --confirm-time",
        mend_en="check the time sources, or xueliang check --confirm-time",
        lasts_s=60,
        quiet_s=10,
        gb=_OTHER,
    ),
    Code.CLOCK_UNSYNCHRONIZED: Terms(
        about=_SITE,
        severity=_WARNING,
        name_zh="本机未校时",
        name_en="clock not synchronized",
        mend_zh="检查 NTP 服务",
        mend_en="check the NTP service",
        lasts_s=300,
        quiet_s=60,
    ),
    Code.SERVICE_DOWN: Terms(
        about=About.SERVICE,
        severity=_CRITICAL,
        name_zh="服务未运行",
        name_en="service down",
        mend_zh="见该服务的日志",
        mend_en="see the log of that service",
        lasts_s=60,
        quiet_s=5,
    ),
    Code.SETTINGS_REFUSED: Terms(
        about=_SITE,
        severity=_WARNING,
        name_zh="新设置有误未生效",
        name_en="new settings refused",
        mend_zh="见 xueliang check",
        mend_en="see xueliang check",
    ),
    Code.PLATFORM_OFFLINE: Terms(
        about=About.PLATFORM,
        severity=_CRITICAL,
        name_zh="平台离线",
        name_en="platform offline",
        mend_zh="检查联网接口和平台参数",
        mend_en="check the reserved interface and the platform's settings",
        lasts_s=120,
        quiet_s=10,
    ),
    Code.PLATFORM_ORDERS_REFUSED: Terms(
        about=About.PLATFORM,
        severity=_WARNING,
        name_zh="平台危险命令被拒",
        name_en="platform orders refused",
        mend_zh="与平台管理员核对",
        mend_en="ask the platform's administrator",
        stands_s=3600,
    ),
    Code.LOGIN_ATTACK: Terms(
        about=_SITE,
        severity=_WARNING,
        name_zh="登录被连续尝试",
        name_en="repeated failed log-ins",
        mend_zh="查看审计日志，核对来源",
        mend_en="see the audit log for who it was",
        stands_s=3600,
    ),
}
