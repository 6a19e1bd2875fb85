"""A message of a platform with all that its answer depends on. Core: a value, and audit notes."""

from __future__ import annotations

from dataclasses import dataclass

from uplink.device import Device, Edition
from uplink.manscdp.message import Message
from uplink.ports import AuditNote, Incoming

DETAIL_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked, by whom, and how large a part of the answer may be."""

    message: Message
    device: Device
    request: Incoming

    @property
    def platform(self) -> str:
        return self.request.platform

    @property
    def edition(self) -> Edition:
        return self.request.edition

    @property
    def bytes_max(self) -> int:
        return self.request.body_bytes_max

    @property
    def code(self) -> str:
        """DeviceID; empty: the device itself."""
        return self.message.device_id


def note(action: str, outcome: str, detail: str = "", target: str = "") -> AuditNote:
    """What the audit log says, its detail cut short."""
    return AuditNote(
        action=action, target=target, outcome=outcome, detail=detail[:DETAIL_CHARACTERS_MAX]
    )
