"""Which platform a message is for, where several speak from the same host. Core."""

from __future__ import annotations

from collections.abc import Sequence

from uplink.agent import Agent
from uplink.sip.headers import Malformed, SipUri
from uplink.sip.message import Request, Response


def choose(message: Request | Response, candidates: Sequence[Agent]) -> Agent | None:
    """The agent whose transaction or dialog it belongs to, else the one that it names."""
    if len(candidates) == 1:
        return candidates[0]
    for agent in candidates:
        if agent.owns(message):
            return agent
    if isinstance(message, Response) or not candidates:
        return None
    return max(candidates, key=lambda agent: _likeness(message, agent))


def _likeness(request: Request, agent: Agent) -> int:
    """How much of a request's addresses is this platform's and this device's."""
    settings = agent.settings
    device, server = settings.identity.device_id, settings.registration.server
    try:
        target = SipUri.parse(request.uri).user
    except Malformed:
        target = ""
    sender = request.sender.user
    likeness = 4 * (sender in (server.id, agent.registration.server.id))
    likeness += 2 * (target == device or request.to.user == device)
    return likeness + (sender[:10] == server.domain)
