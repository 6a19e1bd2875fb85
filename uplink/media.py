"""INVITE and what follows it: who may watch what, sockets, sessions, the audit log's lines. Shell.

GB/T 28181-2022 clauses 9.2 to 9.5 and annexes B to D, K; the statuses of refusals are those of
gb28181.md 4.6. Nothing is served that the platform's Catalog does not list.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from config.errors import XueliangError
from config.instants import BEIJING, format_instant
from config.schema import Platform
from retention.index.errors import IndexUnavailable
from retention.model import US_PER_S, Span
from uplink.device import Channel, Device, Presence, SiteState
from uplink.manscdp.markup import leaf
from uplink.manscdp.message import Head
from uplink.manscdp.message import Kind as MessageKind
from uplink.mansrtsp import RequestUnfit, parse_request
from uplink.media_sockets import Local, MediaSocketError, NoPort, PortPool, open_sink
from uplink.playback import Playback
from uplink.ports import AuditNote, Call, EndCause, Incoming, Invite, Reply
from uplink.records import Records
from uplink.rtp import RtpWriter
from uplink.sdp import Kind, Offer, OfferUnfit, parse_offer, write_answer
from uplink.session import Session, Surroundings
from uplink.shedding import Held, first_to_end

log = logging.getLogger(__name__)

#: Live calls of one channel that one platform may hold.
LIVE_OF_CHANNEL_MAX = 8
#: What a platform asks of a range without an end: as much as is kept.
FOREVER_US = 366 * 86_400 * US_PER_S
DOWNLOAD_SPEED_MAX = 32.0
#: Of a playback's range so much tells its bit rate.
RATE_WINDOW_US = 600 * US_PER_S


@dataclass(slots=True)
class _Served:
    """One call: while it is being set up only the task, then its session."""

    call: Call
    invite: Invite
    port: int
    channel: Channel
    offer: Offer
    began_s: float
    number: int
    session: Session | None = None
    task: asyncio.Task[None] | None = None
    is_sending: bool = False  # and counted


class Refusal(XueliangError):
    """A call that is not served; ``status`` is the answer."""

    code = "call_refused"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Media:
    """Handler of calls (``uplink.ports.MediaHandler``)."""

    def __init__(
        self,
        devices: Mapping[str, Device],
        platforms: Mapping[str, Platform],
        *,
        around: Surroundings,
        records: Records,
        state: Callable[[], SiteState],
        jobs: asyncio.TaskGroup,
    ) -> None:
        self._devices = devices
        self._platforms = platforms
        self._around = around
        self._records = records
        self._state = state
        self._jobs = jobs
        self._served: dict[str, _Served] = {}
        self._pools: dict[str, PortPool] = {}
        self._numbers = itertools.count(1)

    # ports.MediaHandler ------------------------------------------------------------------------

    def invited(self, call: Call, invite: Invite) -> None:
        offer: Offer | None = None
        try:
            offer = parse_offer(invite.request.body)
            known = self._served.get(call.id)
            if invite.is_again and known is not None:
                self._again(known, call, offer)
                return
            served = self._admit(call, invite, offer)
        except (OfferUnfit, Refusal) as error:
            kind = None if offer is None else offer.kind
            self._refuse(call, invite.request.target, kind, error.status, str(error))
            return
        self._served[call.id] = served
        served.task = self._jobs.create_task(self._begin(served))

    def confirmed(self, call: Call) -> None:
        served = self._served.get(call.id)
        if served is None or served.session is None or served.is_sending:
            return
        served.is_sending = True
        self._around.metrics.sessions.labels(call.platform, served.offer.kind.label).inc()
        served.task = self._jobs.create_task(served.session.run())

    def info(self, call: Call, request: Incoming) -> Reply:
        served = self._served.get(call.id)
        if served is None or served.session is None:
            return Reply(status=481)
        if request.content_type not in ("application/mansrtsp", "application/rtsp"):
            return Reply(status=415)
        try:
            asked = parse_request(request.body)
        except RequestUnfit as error:
            return Reply(status=400, note=self._note("invite_control", served, str(error)))
        body = served.session.control(asked)
        wanted = [asked.method.value.lower()]
        wanted += [] if asked.scale is None else [f"scale {asked.scale:g}"]
        wanted += [] if asked.from_s is None else [f"from {asked.from_s:g} s"]
        note = self._note("invite_control", served, ", ".join(wanted))
        return Reply(body=body, content_type="Application/MANSRTSP", note=note)

    def ended(self, call: Call, cause: EndCause) -> None:
        served = self._served.pop(call.id, None)
        if served is None:
            return
        self._let_go(served)
        session = served.session
        if session is None:
            return
        kind = served.offer.kind.value
        first, last = _text(session.first_us), _text(session.last_us)
        seconds = asyncio.get_running_loop().time() - served.began_s
        detail = (
            f"{kind} {first}..{last}, {session.sent_bytes} bytes, {seconds:.1f} s,"
            f" ssrc {session.rtp.ssrc:010d}, call {served.invite.call_id}, {cause.value}"
        )
        call.record(self._note("invite_served", served, detail))

    def apply(self, devices: Mapping[str, Device]) -> None:
        """What the same platforms may watch from now on; calls of anything else end."""
        self._devices = devices
        for served in list(self._served.values()):
            if devices[served.call.platform].channel(served.channel.gb_id) is not None:
                continue
            self._end(served, 404, "the channel is not shown any more")

    def relieve(self) -> None:
        """Recording comes first: where the disks do not keep up a call ends; to be called every
        few seconds."""
        held = [Held(one.call.id, one.offer.kind, one.number) for one in self._served.values()]
        ending = first_to_end(held, self._state())
        if ending is None:
            return
        served = self._served[ending]
        self._around.metrics.failures.labels("shed").inc()
        log.warning("call_shed", extra={"call": ending, "kind": served.offer.kind.value})
        served.call.record(self._note("invite_shed", served, "recording comes first"))
        self._end(served, 486, "recording comes first")

    def _end(self, served: _Served, status: int, reason: str) -> None:
        """BYE; where the INVITE is not answered yet, that answer."""
        if served.session is not None:
            served.call.bye()
            return
        if served.task is not None:
            served.task.cancel()
        self._give_up(served, status, reason)

    def close(self) -> None:
        """Stop sending; the user agent takes leave of the platforms."""
        for served in self._served.values():
            self._let_go(served)
        self._served.clear()

    def _let_go(self, served: _Served) -> None:
        if served.task is not None:
            served.task.cancel()
        if served.session is not None:
            served.session.sink.close()
        platform = served.call.platform
        if served.is_sending:
            self._around.metrics.sessions.labels(platform, served.offer.kind.label).dec()
        self._pool(platform).give_back(served.port)

    # Setting up --------------------------------------------------------------------------------

    def _admit(self, call: Call, invite: Invite, offer: Offer) -> _Served:
        """What can be told at once. Raises :class:`Refusal`."""
        if offer.kind is Kind.TALK:
            raise Refusal(488, "there is nobody to talk to")
        device = self._devices[call.platform]
        target = invite.request.target
        channel = device.channel(target) or device.channel(offer.channel)
        if channel is None:
            is_whole = device.is_self(target)
            raise Refusal(488 if is_whole else 404, "no channel of this platform has the code")
        mine = [one for one in self._served.values() if one.call.platform == call.platform]
        if len(mine) >= self._platforms[call.platform].media_sessions:
            raise Refusal(486, "the platform's calls are all in use")
        if offer.kind is Kind.PLAY:
            viewers = sum(
                one.channel.gb_id == channel.gb_id and one.offer.kind is Kind.PLAY for one in mine
            )
            if viewers >= LIVE_OF_CHANNEL_MAX:
                raise Refusal(486, "the channel's live calls are all in use")
            if self._state().camera(channel.camera).presence is not Presence.ON:
                raise Refusal(480, "the camera gives no picture")
        elif self._around.is_strained():
            raise Refusal(486, "recording comes first: the disks have trouble keeping up")
        try:
            port = self._pool(call.platform).take()
        except NoPort as error:
            raise Refusal(486, str(error)) from error
        began_s = asyncio.get_running_loop().time()
        return _Served(call, invite, port, channel, offer, began_s, next(self._numbers))

    async def _begin(self, served: _Served) -> None:
        """What has to look at the store, or to bind."""
        call, offer = served.call, served.offer
        try:
            playback, size_bytes = await self._range(served)
            session = self._session(served, playback)
        except Refusal as error:
            self._give_up(served, error.status, str(error))
            return
        except MediaSocketError as error:
            log.error("media_socket", extra={"error": error.sentence()})
            self._give_up(served, 500, "no socket for media")
            return
        except IndexUnavailable:
            self._give_up(served, 503, "the index does not answer")
            return
        except XueliangError as error:
            self._give_up(served, 503, error.sentence())
            return
        served.session, served.task = session, None
        answer = write_answer(
            offer,
            device_id=self._devices[call.platform].device_id,
            local_host=served.invite.local_host,
            port=served.port,
            ssrc_text=_ssrc_text(offer, session),
            filesize_bytes=size_bytes,
        )
        self._around.metrics.invites.labels(call.platform, offer.kind.label, "200").inc()
        asked = "" if offer.kind is Kind.PLAY else f" {offer.times}"
        detail = f"{offer.transport.value}{asked}, call {served.invite.call_id}"
        call.accept(answer, self._note(f"invite_{offer.kind.value}", served, detail, "accepted"))

    async def _range(self, served: _Served) -> tuple[Playback, int | None]:
        """Raises :class:`Refusal` where nothing is recorded of the range."""
        offer, camera = served.offer, served.channel.camera
        if offer.kind is Kind.PLAY:
            return Playback(start_us=0, end_us=1 << 62), None
        start_us = offer.start_s * US_PER_S
        end_us = offer.end_s * US_PER_S or start_us + FOREVER_US
        end_us = min(end_us, self._around.clock.utc_us())
        spans = await self._records.spans(camera, start_us, end_us) if end_us > start_us else ()
        if not spans:
            raise Refusal(404, "nothing is recorded of the range")
        if offer.kind is Kind.PLAYBACK:
            scale_max = await self._scale_max(served, spans)
            return Playback(start_us=start_us, end_us=end_us, scale_max=scale_max), None
        speed = min(offer.speed, DOWNLOAD_SPEED_MAX)
        size_bytes = await self._around.footage.size_bytes(camera, start_us, end_us)
        return Playback(start_us=start_us, end_us=end_us, download_speed=speed), size_bytes

    async def _scale_max(self, served: _Served, spans: Sequence[Span]) -> float:
        """How many times quicker than it was recorded the beginning of a range goes down the
        platform's link."""
        from_us = max(spans[0].start_us, served.offer.start_s * US_PER_S)
        to_us = min(spans[0].end_us, from_us + RATE_WINDOW_US)
        camera = served.channel.camera
        size_bytes = await self._around.footage.size_bytes(camera, from_us, to_us)
        bits_per_second = size_bytes * 8 * US_PER_S / max(1, to_us - from_us)
        link = self._platforms[served.call.platform].link_mbps * 1e6
        return link / max(1.0, bits_per_second)

    def _session(self, served: _Served, playback: Playback) -> Session:
        call, offer = served.call, served.offer
        platform, device = self._platforms[call.platform], self._devices[call.platform]
        local = Local(host=served.invite.local_host, interface=platform.interface or "")
        sink = open_sink(
            offer,
            local,
            served.port,
            bits_per_second=platform.link_mbps * 1e6,
            live=offer.kind is Kind.PLAY,
        )
        head = Head(
            kind=MessageKind.NOTIFY,
            command="MediaStatus",
            sn=str(next(self._numbers)),
            device_id=served.channel.gb_id,
        )
        return Session(
            self._around,
            call,
            kind=offer.kind,
            camera=served.channel.camera,
            channel=served.channel.gb_id,
            sink=sink,
            rtp=RtpWriter(
                ssrc=self._ssrc(offer, device) if offer.ssrc is None else offer.ssrc,
                sequence=secrets.randbelow(1 << 16),
                offset=secrets.randbelow(1 << 32),
                payload_type=offer.payload_type,
            ),
            playback=playback,
            end_of_file=head.body(device.charset, leaf("NotifyType", "121")),
            invited_s=served.began_s,
        )

    def _ssrc(self, offer: Offer, device: Device) -> int:
        """Live or history, five digits of the domain, a number of ours (2022 annex G)."""
        history = 0 if offer.kind is Kind.PLAY else 1
        domain = int((device.domain + "0" * 8)[3:8])
        return history * 10**9 + domain * 10**4 + next(self._numbers) % 10**4

    def _again(self, served: _Served, call: Call, offer: Offer) -> None:
        """A new offer inside a call: the same place again is confirmed, another one is not taken.

        Raises:
            Refusal: it goes elsewhere, or comes before the first offer was answered.
        """
        was = served.offer
        if served.session is None:
            raise Refusal(491, "the offer before is not answered yet")
        if (offer.host, offer.port, offer.transport) != (was.host, was.port, was.transport):
            raise Refusal(488, "media of a call cannot be moved")
        answer = write_answer(
            was,
            device_id=self._devices[call.platform].device_id,
            local_host=served.invite.local_host,
            port=served.port,
            ssrc_text=_ssrc_text(was, served.session),
        )
        call.accept(answer, self._note("invite_again", served, "", "accepted"))

    def _give_up(self, served: _Served, status: int, reason: str) -> None:
        self._served.pop(served.call.id, None)
        self._pool(served.call.platform).give_back(served.port)
        channel, kind = served.channel.gb_id, served.offer.kind
        self._refuse(served.call, channel, kind, status, reason)

    def _refuse(self, call: Call, target: str, kind: Kind | None, status: int, reason: str) -> None:
        label = "unknown" if kind is None else kind.label
        self._around.metrics.invites.labels(call.platform, label, str(status)).inc()
        action = "invite_unknown" if kind is None else f"invite_{kind.value}"
        note = AuditNote(action=action, target=target, outcome="refused", detail=reason)
        call.refuse(status, note=note)

    def _pool(self, platform: str) -> PortPool:
        """Platforms with the same range share it."""
        ports = str(self._platforms[platform].media_ports)
        return self._pools.setdefault(ports, PortPool(self._platforms[platform].media_ports))

    def _note(self, action: str, served: _Served, detail: str, outcome: str = "done") -> AuditNote:
        return AuditNote(action=action, target=served.channel.gb_id, outcome=outcome, detail=detail)


def _text(instant_us: int | None) -> str:
    return "-" if instant_us is None else format_instant(instant_us, BEIJING)


def _ssrc_text(offer: Offer, session: Session) -> str:
    """As it came, else as we made it."""
    return f"{session.rtp.ssrc:010d}" if offer.ssrc is None else offer.ssrc_text
