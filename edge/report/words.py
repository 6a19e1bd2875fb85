"""What a report calls things, in Chinese and English. Core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edge.alarms.codes import TERMS, Code
from retention.gap_names import CAUSES_ZH
from retention.kpi import Kpi
from retention.model import GapCause

Language = Literal["zh", "en"]
Pair = tuple[str, str]

KPIS: Mapping[str, Pair] = {
    Kpi.ONLINE: ("在线率", "Online"),
    Kpi.COMPLETENESS: ("录像完整率", "Completeness"),
    Kpi.COMPLETE_DAYS: ("完整天数比例", "Complete days"),
    Kpi.KEPT: ("保存天数达标", "Days kept"),
    Kpi.CLOCK: ("时钟准确率", "Clock accuracy"),
    Kpi.PICTURE: ("图像完好率", "Picture normal"),
    Kpi.ARCHIVE: ("一机一档合格率", "Register valid"),
}
REASONS: Mapping[str, Pair] = {
    "age": ("到期", "age"),
    "over_floor": ("空间不足，已过下限", "pressure, over the floor"),
    "overwritten": ("空间不足，未满下限", "pressure, UNDER the floor"),
    "removed": ("摄像机已停用", "camera removed"),
}
ACTIONS: Mapping[str, Pair] = {
    "footage_access": ("查看录像", "footage seen"),
    "export": ("导出", "export"),
    "report": ("证明报告", "report"),
    "platform_call": ("平台调阅", "platform call"),
    "platform_command": ("平台命令", "platform order"),
    "platform_query": ("平台查询", "platform query"),
    "platform_state": ("平台状态", "platform state"),
    "hold_added": ("新增保留", "hold added"),
    "hold_release": ("解除保留", "hold release"),
    "hold_expired": ("保留到期", "hold expired"),
    "time_confirmed": ("确认时间", "time confirmed"),
    "settings_changed": ("更改设置", "settings changed"),
    "account_changed": ("更改账号", "account changed"),
    "token_changed": ("更改令牌", "token changed"),
    "access_refused": ("越权被拒", "access refused"),
    "login": ("登录", "log-in"),
    "logout": ("退出", "log-out"),
    "reindex": ("重建索引", "reindex"),
    "verify": ("校验", "verification"),
    "deletion": ("删除", "deletion"),
    "breach": ("未满期限被删", "breach"),
    "self_check": ("自检", "self-check"),
    "alarm": ("告警", "alarm"),
    "acceptance": ("验收", "acceptance"),
    "backup": ("备份", "backup"),
    "restore": ("恢复备份", "restore"),
    "diagnosis": ("画面诊断", "diagnosis"),
    "camera_set": ("设置摄像机", "camera set"),
    "camera_changed": ("摄像机变更", "camera changed"),
    "camera_moved": ("摄像机地址变更", "camera moved"),
    "export_desk": ("导出审批", "export desk"),
    "guardian_request": ("监护人申请", "guardian's request"),
    "service_started": ("服务启动", "service started"),
    "service_stopped": ("服务停止", "service stopped"),
    "log_mended": ("日志修复", "log mended"),
    "log_pruned": ("日志清理", "log pruned"),
    "records_lost": ("记录丢失", "records lost"),
}
OUTCOMES: Mapping[str, Pair] = {
    "begun": ("开始", "begun"),
    "done": ("完成", "done"),
    "refused": ("拒绝", "refused"),
    "failed": ("失败", "failed"),
}
SEVERITIES: Mapping[str, Pair] = {
    "info": ("提示", "info"),
    "warning": ("警告", "warning"),
    "critical": ("严重", "critical"),
}


class Words:
    """One language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._place = 0 if language == "zh" else 1

    def say(self, zh: str, en: str) -> str:
        return zh if self._place == 0 else en

    def of(self, table: Mapping[str, Pair], word: str) -> str:
        """A word of a table; one that a later version wrote stands as it is."""
        found = table.get(word)
        return word if found is None else found[self._place]

    def cause(self, cause: str) -> str:
        is_known = cause in frozenset(GapCause)
        zh = CAUSES_ZH[GapCause(cause)] if is_known else cause
        return self.say(zh, cause.replace("_", " "))

    def alarm(self, code: str) -> str:
        if code not in frozenset(Code):
            return code
        terms = TERMS[Code(code)]
        return self.say(terms.name_zh, terms.name_en)
