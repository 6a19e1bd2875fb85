"""A platform's calls: INVITE dialogs from offer to end. Core.

Keeps which calls there are and in what state; what is sent decides :mod:`uplink.agent`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from uplink.sip.dialogs import Dialog
from uplink.sip.message import Request
from uplink.sip.transactions import Path, ServerKey

#: Calls of one platform at once: 64 cameras, live; above it 486.
CALLS_MAX = 128


class CallState(Enum):
    OFFERED = auto()  # 100 sent
    ACCEPTED = auto()  # 200 sent, no ACK yet
    CONFIRMED = auto()  # ACK, or a request that says as much


@dataclass(slots=True, kw_only=True)
class CallRecord:
    id: str
    dialog: Dialog
    path: Path  # where the INVITE came from
    state: CallState
    offer: ServerKey | None  # the INVITE whose answer is due or unacknowledged
    request: Request  # that INVITE


class Calls:
    def __init__(self) -> None:
        self._calls: dict[str, CallRecord] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def is_full(self) -> bool:
        return len(self._calls) >= CALLS_MAX

    def add(self, request: Request, key: ServerKey, path: Path, local_tag: str) -> CallRecord:
        self._next += 1
        call = CallRecord(
            id=f"call-{self._next}",
            dialog=Dialog.of_request(request, local_tag),
            path=path,
            state=CallState.OFFERED,
            offer=key,
            request=request,
        )
        self._calls[call.id] = call
        return call

    def get(self, call: str) -> CallRecord | None:
        return self._calls.get(call)

    def all(self) -> list[CallRecord]:
        return list(self._calls.values())

    def remove(self, call: CallRecord) -> None:
        self._calls.pop(call.id, None)

    def of_request(self, request: Request) -> CallRecord | None:
        """The call that an in-dialog request of the platform belongs to."""
        for call in self._calls.values():
            if call.dialog.matches(request):
                return call
        return None

    def of_offer(self, key: ServerKey) -> CallRecord | None:
        for call in self._calls.values():
            if call.offer == key:
                return call
        return None
