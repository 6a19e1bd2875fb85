"""The RTSP server of one demo camera (RFC 2326 over TCP, interleaved, digest)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from edge.demo import auth, rtp, rtsp_message, sdp
from edge.demo.listener import HOST, Listener
from edge.demo.plan import CameraPlan
from edge.demo.rtsp_message import Request, RequestMalformed
from edge.demo.session import Session
from retention.clock import Clock
from retention.model import US_PER_S, MediaFormat, Track

REALM = "xueliang-demo"
_PUBLIC = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
_AUTHENTICATED = frozenset({"DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN"})


class Misbehaviour(StrEnum):
    """How the server answers requests."""

    NONE = "none"
    GARBAGE = "garbage"  # bytes that are no RTSP
    TRUNCATED = "truncated"  # half of the right answer, then the end of the connection
    SILENT = "silent"  # reads, never answers
    BUSY = "busy"  # 503 to all


class Host(Protocol):
    """What the server asks of its camera."""

    @property
    def plan(self) -> CameraPlan: ...

    @property
    def media(self) -> MediaFormat: ...

    @property
    def password(self) -> str: ...

    @property
    def misbehaviour(self) -> Misbehaviour: ...

    def playing(self, session: Session) -> None:
        """A session begins to play."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)  # kept in a set, each itself
class _Connection:
    writer: asyncio.StreamWriter
    session: Session | None = None
    is_over: bool = False


class RtspServer:
    """Answers players; holds the sessions to which the camera sends."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._nonce = secrets.token_hex(16)
        self._connections: set[_Connection] = set()
        self.sessions: set[Session] = set()
        self.connection_count = 0
        self.teardown_count = 0
        self.listener = Listener(self._serve, port=host.plan.rtsp_port)

    @property
    def skipped_units(self) -> int:
        """Pictures that present sessions missed: before their key frame, or for being slow."""
        return sum(session.skipped_units for session in self.sessions)

    def drop(self) -> None:
        """Abort every connection."""
        for one in list(self._connections):
            one.writer.transport.abort()

    def expire(self) -> None:
        """End sessions that gave no sign of life for their time-out (RFC 2326, 12.37)."""
        oldest_us = self._clock.monotonic_us() - self._host.plan.session_timeout_s * US_PER_S
        for session in list(self.sessions):
            if session.heard_us < oldest_us:
                session.abort()

    def new_nonce(self) -> None:
        """Make the nonce of earlier challenges stale."""
        self._nonce = secrets.token_hex(16)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer=writer)
        self._connections.add(connection)
        self.connection_count += 1
        try:
            while not connection.is_over:
                await self._turn(reader, connection)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the player went away or speaks no RTSP: both end its connection
        except RequestMalformed:
            writer.write(rtsp_message.response(400, "0"))
        finally:
            self._connections.discard(connection)
            if connection.session is not None:
                connection.session.is_playing = False
                self.sessions.discard(connection.session)
            writer.close()

    async def _turn(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        """One request, or one interleaved packet of the player (its receiver reports)."""
        first = await reader.readexactly(1)
        if first == b"$":
            head = await reader.readexactly(3)
            await reader.readexactly(int.from_bytes(head[1:], "big"))
            if connection.session is not None:
                connection.session.heard_us = self._clock.monotonic_us()
            return
        if first in b"\r\n":
            return
        head = first + await reader.readuntil(b"\r\n\r\n")
        if len(head) > rtsp_message.REQUEST_BYTES_MAX:
            raise RequestMalformed("the request's head is too long")
        request = rtsp_message.parse_request(head)
        await reader.readexactly(request.body_bytes)
        if connection.session is not None:
            connection.session.heard_us = self._clock.monotonic_us()
        self._answer(request, connection)
        await connection.writer.drain()

    def _answer(self, request: Request, connection: _Connection) -> None:
        mode = self._host.misbehaviour
        if mode is Misbehaviour.SILENT:
            return
        if mode is Misbehaviour.GARBAGE:
            connection.writer.write(secrets.token_bytes(512))
            return
        if mode is Misbehaviour.BUSY:
            connection.writer.write(rtsp_message.response(503, request.cseq))
            return
        before = connection.session.is_playing if connection.session else False
        answer = self._respond(request, connection)
        if mode is Misbehaviour.TRUNCATED:
            connection.writer.write(answer[: len(answer) // 2])
            connection.is_over = True
            return
        connection.writer.write(answer)
        session = connection.session
        if session is not None and session.is_playing and not before:
            self._host.playing(session)

    def _respond(self, request: Request, connection: _Connection) -> bytes:
        if request.method in _AUTHENTICATED and self._host.password:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
        handlers: dict[str, Callable[[Request, _Connection], bytes]] = {
            "OPTIONS": self._options,
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "PAUSE": self._pause,
            "GET_PARAMETER": self._options,
            "SET_PARAMETER": self._options,
            "TEARDOWN": self._teardown,
        }
        handler = handlers.get(request.method)
        if handler is None:
            return rtsp_message.response(501, request.cseq)
        return handler(request, connection)

    def _refusal(self, request: Request) -> bytes | None:
        """A 401 with a challenge, unless the request proves the password."""
        given = auth.digest_parameters(request.headers.get("authorization", ""))
        plan = self._host.plan
        stale = bool(given) and given.get("nonce") != self._nonce
        if auth.digest_is_right(
            given,
            method=request.method,
            realm=REALM,
            nonce=self._nonce,
            username=plan.username,
            password=self._host.password,
        ):
            return None
        challenge = auth.digest_challenge(
            realm=REALM, nonce=self._nonce, qop=plan.digest_qop, stale=stale
        )
        return rtsp_message.response(401, request.cseq, {"WWW-Authenticate": challenge})

    def _options(self, request: Request, connection: _Connection) -> bytes:
        headers = {"Public": _PUBLIC}
        if connection.session is not None:
            headers["Session"] = connection.session.id
        return rtsp_message.response(200, request.cseq, headers)

    def _describe(self, request: Request, connection: _Connection) -> bytes:
        del connection
        plan = self._host.plan
        if request.path not in plan.profiles:
            return rtsp_message.response(404, request.cseq)
        body = sdp.describe(
            self._host.media,
            name=plan.label,
            host=HOST,
            with_parameter_sets=plan.stream.sdp_parameter_sets,
        )
        headers = {
            "Content-Base": request.uri.rstrip("/") + "/",
            "Content-Type": "application/sdp",
        }
        return rtsp_message.response(200, request.cseq, headers, body)

    def _setup(self, request: Request, connection: _Connection) -> bytes:
        profile, _, medium = request.path.rpartition("/")
        if profile not in self._host.plan.profiles or medium not in list(Track):
            return rtsp_message.response(404, request.cseq)
        track = Track(medium)
        form = rtp.track_format(self._host.media, track)
        if form is None:
            return rtsp_message.response(404, request.cseq)
        channels = rtsp_message.interleaved_channels(request.headers.get("transport", ""))
        if channels is None:
            return rtsp_message.response(461, request.cseq)
        session = connection.session
        if session is None:
            transport = connection.writer.transport
            session = Session(transport, heard_us=self._clock.monotonic_us())
            connection.session = session
            self.sessions.add(session)
        elif session.is_playing:
            return rtsp_message.response(455, request.cseq)
        lane = session.set_up(track, form, channels)
        headers = {
            "Session": f"{session.id};timeout={self._host.plan.session_timeout_s}",
            "Transport": f"RTP/AVP/TCP;unicast;interleaved={lane.channel}-{lane.control_channel};"
            f"ssrc={lane.ssrc:08X}",
        }
        return rtsp_message.response(200, request.cseq, headers)

    def _play(self, request: Request, connection: _Connection) -> bytes:
        session = self._session(request, connection)
        if session is None:
            return rtsp_message.response(454, request.cseq)
        session.is_playing = True
        base = request.uri.rstrip("/")
        info = ",".join(f"url={base}/{t};seq={lane.sequence}" for t, lane in session.lanes.items())
        headers = {"Session": session.id, "Range": "npt=now-", "RTP-Info": info}
        return rtsp_message.response(200, request.cseq, headers)

    def _pause(self, request: Request, connection: _Connection) -> bytes:
        session = self._session(request, connection)
        if session is None:
            return rtsp_message.response(454, request.cseq)
        session.is_playing = False
        return rtsp_message.response(200, request.cseq, {"Session": session.id})

    def _teardown(self, request: Request, connection: _Connection) -> bytes:
        session = self._session(request, connection)
        if session is None:
            return rtsp_message.response(454, request.cseq)
        session.is_playing = False
        self.sessions.discard(session)
        connection.session = None
        self.teardown_count += 1
        return rtsp_message.response(200, request.cseq, {"Session": session.id})

    def _session(self, request: Request, connection: _Connection) -> Session | None:
        """The connection's session, if the request names it."""
        session = connection.session
        named = request.headers.get("session", "").partition(";")[0].strip()
        return session if session is not None and named == session.id else None
