"""Why a platform does not have us, for people. Core.

Uplink tells a word, some with a detail behind a colon (uplink.registration); edge may not import
it, and a later uplink may know more words: what is not known here is told as it came.
"""

from __future__ import annotations

_WHY = {
    "uplink_not_running": ("联网服务未运行", "the uplink service does not run"),
    "no_interface": ("联网接口未就绪", "the reserved interface is not ready"),
    "idle": ("尚未开始注册", "registration has not begun"),
    "registered": ("已注册", "registered"),
    "registering": ("正在注册", "registering"),
    "waiting": ("等待重试", "waiting to try again"),
    "unregistering": ("正在注销", "leaving"),
    "stopped": ("已停止", "stopped"),
    "no_answer": ("平台没有应答", "the platform does not answer"),
    "unreachable": ("无法到达平台", "the platform cannot be reached"),
    "connection_lost": ("与平台的连接中断", "the connection to the platform broke"),
    "keepalive": ("心跳没有应答", "keepalives are not answered"),
    "lost": ("平台不再认得本机", "the platform does not know this box any more"),
    "refused": ("平台拒绝注册", "the platform refuses"),
    "auth": ("平台不接受密码", "the platform does not take the password"),
    "challenge": ("平台要求的认证方式不支持", "the platform asks for another kind of proof"),
    "redirect": ("平台转到别处", "the platform sends us elsewhere"),
    "error": ("平台返回错误", "the platform answers with an error"),
}


def platform_why(told: str) -> tuple[str, str]:
    """In Chinese and in English."""
    word, colon, detail = told.partition(":")
    known = _WHY.get(word)
    if known is None:
        return told, told
    detail = detail.strip() if colon else ""
    if not detail:
        return known
    return f"{known[0]}：{detail}", f"{known[1]}: {detail}"
