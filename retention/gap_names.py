"""What the causes of gaps are called in Chinese. Core."""

from __future__ import annotations

from collections.abc import Mapping

from retention.model import GapCause

CAUSES_ZH: Mapping[GapCause, str] = {
    GapCause.CAMERA_OFFLINE: "摄像机离线",
    GapCause.CAMERA_AUTH: "摄像机密码错误",
    GapCause.CAMERA_REFUSED: "摄像机拒绝连接",
    GapCause.NETWORK: "网络不通",
    GapCause.STREAM_DAMAGED: "码流损坏",
    GapCause.DISK_FULL: "磁盘已满",
    GapCause.DISK_FAILED: "磁盘故障",
    GapCause.DISK_SLOW: "磁盘过慢",
    GapCause.SERVICE_STOPPED: "服务停止",
    GapCause.SERVICE_CRASHED: "服务异常退出",
    GapCause.POWER_LOST: "断电",
    GapCause.CLOCK_STEPPED: "时钟跳变",
    GapCause.CONFIG: "设置变更",
    GapCause.EXPIRED: "到期删除",
    GapCause.OVERWRITTEN: "空间不足覆盖",
    GapCause.FOOTAGE_LOST: "录像丢失",
    GapCause.UNKNOWN: "原因不明",
}
