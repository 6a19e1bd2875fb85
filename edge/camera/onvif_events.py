"""Events of cameras, pulled: one PullPoint subscription a camera, renewed, and given back. Shell.

A thread a camera, in the ONVIF process. Cameras have few places for subscriptions, so none is left
behind: each has a short term, is renewed at half of it, and unsubscribed when the thread ends, when
it fails, and when the parent goes. What a killed process left is unsubscribed by the next one, for
the parent keeps where it was. Only kind, state and instant go to the parent.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from config.address import Address
from edge.backoff import REFUSED_US
from edge.bucket import Bucket
from edge.camera import pullpoint
from edge.camera.errors import CameraError
from edge.camera.event_kinds import Notification, States, event_of, instant_of, source_key
from edge.camera.media_choice import service_address
from edge.camera.onvif import EVENTS_PATH, TIMEOUT_S, Known, OnvifCamera
from edge.camera.pullpoint import Credentials, FaultTold, NotUnderstood, Parameter, Reference
from edge.camera.soap_http import Deadline, Poster
from retention.clock import Clock
from retention.model import US_PER_S, GapCause
from retention.plain import decoder, encoder

log = logging.getLogger(__name__)

#: A subscription that nobody renews is forgotten by the camera after so long.
TERM_S = 60
#: How long a camera may hold a pull, and how many messages it may answer with.
WAIT_S = 10
LIMIT = 64
#: Between two pulls, so that a camera that answers at once does not keep us busy.
PAUSE_S = 0.25
IDLE_PAUSE_S = 1.0
#: All calls that make a subscription.
SUBSCRIBE_S = 10.0
UNSUBSCRIBE_S = 2.0
#: A watch that was told to stop has ended by then.
ENDING_S = UNSUBSCRIBE_S + 1.0
#: After a failure; doubled up to the longest. A camera without events is asked again each hour.
RETRY_S, RETRY_MAX_S, UNSUPPORTED_RETRY_S = 5.0, 300.0, 3600.0
#: Events of one camera that go to the parent: at once, and a second.
EVENTS_BURST, EVENTS_PER_S = 60, 4.0

#: One line to the parent.
Tell = Callable[[dict[str, Any]], None]
_NOT_SUPPORTED = ("actionnotsupported", "notimplemented", "notsupported")


class _Unsupported(Exception):
    """The camera has no events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Whose events are wanted."""

    camera: str
    address: str
    username: str
    password: str = field(repr=False)
    #: What an earlier process held, to be given back.
    held: Reference | None = None


def watched_of(document: Mapping[str, Any]) -> Watched:
    """From the parent's JSON; raises KeyError or NotPlain for what it never sends."""
    held = document.get("held")
    return Watched(
        camera=document["camera"],
        address=document["address"],
        username=document["username"],
        password=document["password"],
        held=None if held is None else decoder(Reference)(held),
    )


class Events:
    """The watches of this process, by camera."""

    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._watches: dict[str, _Watch] = {}

    def watch(self, watched: Watched) -> None:
        """Begin, or begin anew with other credentials."""
        watch = _Watch(watched, self._clock, self._tell, self._end(watched.camera))
        with self._lock:
            self._watches[watched.camera] = watch
        watch.start()

    def unwatch(self, camera: str) -> None:
        """No more of this camera; the subscription is given back meanwhile."""
        self._end(camera)

    def _end(self, camera: str) -> _Watch | None:
        with self._lock:
            watch = self._watches.pop(camera, None)
        if watch is not None:
            watch.stop()
        return watch

    def close(self) -> None:
        """Give every subscription back; waits ``UNSUBSCRIBE_S`` for all of them at most."""
        with self._lock:
            watches, self._watches = list(self._watches.values()), {}
        for watch in watches:
            watch.stop()
        for watch in watches:
            watch.join(UNSUBSCRIBE_S)


class _Watch:
    """Follows one camera's events in a thread of its own.

    Args:
        before: the camera's last one, which was told to stop. It ends first: else its last word
            would stand for this one's, and both give the same subscription back.
    """

    def __init__(self, watched: Watched, clock: Clock, tell: Tell, before: _Watch | None) -> None:
        self._before = before
        self._watched = watched
        self._address = Address.parse(watched.address)
        self._clock = clock
        self._tell = tell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._states = States()
        self._bucket = Bucket(burst=EVENTS_BURST, per_s=EVENTS_PER_S)
        self._dropped = 0
        self._was_on = False
        #: A subscription that is to be given back before the next one is made.
        self._left = watched.held
        self._offset_us: int | None = None
        self._lock = threading.Lock()
        self._deadline: Deadline | None = None
        credentials = Credentials(username=watched.username, password=watched.password)
        self._credentials = credentials if watched.username else None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the call under way, too."""
        self._stopping.set()
        with self._lock:
            if self._deadline is not None:
                self._deadline.end()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _wait_for_last(self) -> None:
        before, self._before = self._before, None
        if before is None:
            return
        before.join(ENDING_S)
        if not before._thread.is_alive():
            self._left = before._left  # what it held was given back, but for this

    def _run(self) -> None:
        self._wait_for_last()
        wait_s = RETRY_S
        while not self._stopping.is_set():
            began_us = self._clock.monotonic_us()
            try:
                self._follow()
            except _Unsupported:
                self._say("unsupported", "the camera tells no events on ONVIF")
                wait_s = UNSUPPORTED_RETRY_S
            except CameraError as error:
                if not self._stopping.is_set():
                    self._say("off", error.detail)
                is_short = self._clock.monotonic_us() - began_us < TERM_S * US_PER_S
                wait_s = min(wait_s * 2, RETRY_MAX_S) if is_short else RETRY_S
                if error.cause is GapCause.CAMERA_AUTH and self._was_on:
                    wait_s = RETRY_S  # its clock was set: what is signed seems old to it
                elif error.cause is GapCause.CAMERA_AUTH:
                    wait_s = REFUSED_US / US_PER_S  # cameras lock an account that knocks
                self._was_on = False
            except Exception:  # one camera's surprise ends no other camera's
                log.exception("onvif_events_unexpected", extra={"camera": self._watched.camera})
                self._say("off", "the camera's events could not be understood")
                wait_s = RETRY_MAX_S
            self._stopping.wait(wait_s)

    def _follow(self) -> None:
        """One subscription, from its making to its end."""
        reference, term_s = self._subscribe()
        self._was_on = True
        self._say("on", "", reference)
        try:
            self._pull_on(reference, term_s)
        finally:
            if self._unsubscribe(reference):
                self._say("off", "")
            else:
                self._left = reference
                self._say("off", "", reference)

    def _subscribe(self) -> tuple[Reference, float]:
        with Deadline(SUBSCRIBE_S) as deadline:
            self._hold(deadline)
            poster = self._poster(deadline, TIMEOUT_S)
            known = self._reach(poster)
            if not known.events_url:
                raise _Unsupported
            if self._left is not None:  # by its clock as it is now
                self._unsubscribe(self._left)
                self._left = None
            answer = self._call(poster, "create", pullpoint.create(TERM_S), known.events_url)
            told = _understood("CreatePullPointSubscription", pullpoint.subscribed, answer)
            return told.reference, min(told.term_s or TERM_S, TERM_S)

    def _pull_on(self, reference: Reference, term_s: float) -> None:
        renewed_us = self._clock.monotonic_us()
        while not self._stopping.is_set():
            wait_s = max(1, min(WAIT_S, int(term_s / 3)))
            began_us = self._clock.monotonic_us()
            with Deadline(wait_s + 2 * TIMEOUT_S) as deadline:
                self._hold(deadline)
                poster = self._poster(deadline, wait_s + TIMEOUT_S)
                body = pullpoint.pull(wait_s, LIMIT)
                answer = self._call(poster, "pull", body, self._url(reference), reference)
                found = _understood("PullMessages", pullpoint.messages, answer)
                self._take(found)
                if self._clock.monotonic_us() - renewed_us > term_s / 2 * US_PER_S:
                    term_s = self._renew(poster, reference) or term_s
                    renewed_us = self._clock.monotonic_us()
            is_quick = self._clock.monotonic_us() - began_us < US_PER_S // 2
            self._stopping.wait(IDLE_PAUSE_S if is_quick and not found else PAUSE_S)

    def _renew(self, poster: Poster, reference: Reference) -> float | None:
        """A camera that knows no Renew takes a pull for one; if not, the next pull fails."""
        body = pullpoint.renew(TERM_S)
        answer = self._call(poster, "renew", body, self._url(reference), reference)
        try:
            return pullpoint.renewed(answer)
        except (FaultTold, NotUnderstood):
            return None

    def _unsubscribe(self, reference: Reference) -> bool:
        """Whether it was given back, or is not there any more; else it ends with its term."""
        try:
            with Deadline(UNSUBSCRIBE_S) as deadline:
                poster = self._poster(deadline, UNSUBSCRIBE_S)
                try:
                    self._give_back(poster, reference)
                except (CameraError, FaultTold):  # its clock was set: what is signed seems old
                    self._reach(poster)
                    self._give_back(poster, reference)
        except (CameraError, FaultTold, NotUnderstood) as error:
            fields = {"camera": self._watched.camera, "error": type(error).__name__}
            log.info("unsubscribe_failed", extra=fields)
            return False
        return True

    def _give_back(self, poster: Poster, reference: Reference) -> None:
        body = pullpoint.unsubscribe()
        pullpoint.unsubscribed(
            self._call(poster, "unsubscribe", body, self._url(reference), reference)
        )

    def _reach(self, poster: Poster) -> Known:
        """Where its services are; what is signed from now on is by its clock as it is now."""
        known = OnvifCamera(
            poster, self._watched.username, self._watched.password, self._address, self._clock
        ).reach()
        self._offset_us = known.offset_us
        return known

    def _take(self, found: list[Notification]) -> None:
        now_us = self._clock.utc_us()
        for notification in found:
            event = event_of(notification)
            if event is None or not self._states.is_news(source_key(notification), event):
                continue
            if not self._bucket.take(self._clock.monotonic_us()):
                self._dropped += 1
                continue
            told = {
                "camera": self._watched.camera,
                "kind": event.kind.value,
                "tamper": None if event.tamper is None else event.tamper.value,
                "active": event.is_active,
                "initial": event.is_initial,
                "at_us": instant_of(event, self._offset_us, now_us),
                "dropped": self._dropped,
            }
            self._dropped = 0
            self._tell({"event": told})

    def _say(self, state: str, detail: str, reference: Reference | None = None) -> None:
        held = None if reference is None else encoder(Reference)(reference)
        told = {"camera": self._watched.camera, "state": state, "detail": detail, "held": held}
        self._tell({"watch": told})

    def _hold(self, deadline: Deadline) -> None:
        with self._lock:
            self._deadline = deadline
        if self._stopping.is_set():
            deadline.end()

    def _poster(self, deadline: Deadline, timeout_s: float) -> Poster:
        return Poster(
            username=self._watched.username,
            password=self._watched.password,
            timeout_s=timeout_s,
            deadline=deadline,
        )

    def _call(
        self,
        poster: Poster,
        action: str,
        body: str,
        url: str,
        reference: Reference | None = None,
    ) -> bytes:
        parameters: tuple[Parameter, ...] = () if reference is None else reference.parameters
        request = pullpoint.envelope(
            body,
            action=action,
            to=url if reference is None else reference.url,
            message_id=str(uuid.uuid4()),
            parameters=parameters,
            credentials=self._credentials,
            # half a second back: a Created in the camera's future is refused by some
            created_us=self._clock.utc_us() + (self._offset_us or 0) - US_PER_S // 2,
            nonce=os.urandom(16),
        )
        kind = "application/soap+xml; charset=utf-8; action="
        headers = {"Content-Type": f'{kind}"{pullpoint.ACTIONS[action]}"'}
        answer = poster.post(url, request, headers)
        if answer.status in (401, 403):
            raise CameraError(
                GapCause.CAMERA_AUTH, "the camera refuses the user name or password for events"
            )
        return answer.body

    def _url(self, reference: Reference) -> str:
        """Where the camera was reached, and nowhere else; with what tells subscriptions apart."""
        where = service_address(reference.url, self._address, EVENTS_PATH)
        query = urlsplit(reference.url).query
        is_plain = query.isascii() and query.isprintable() and " " not in query
        return f"{where}?{query}" if query and is_plain else where


def _understood(operation: str, parse: Callable[[bytes], Any], answer: bytes) -> Any:
    """What an answer says.

    Raises:
        CameraError: a fault, or nonsense.
        _Unsupported: the camera has no such operation.
    """
    try:
        return parse(answer)
    except FaultTold as fault:
        words = " ".join([fault.reason, *fault.codes]).casefold()
        if any(word in words for word in _NOT_SUPPORTED):
            raise _Unsupported from None
        if "notauthorized" in words or "not authorized" in words:
            raise CameraError(
                GapCause.CAMERA_AUTH, "the camera refuses the user name or password for events"
            ) from None
        raise CameraError(
            GapCause.CAMERA_REFUSED, f"the camera refuses {operation}: {fault.reason[:200]}"
        ) from None
    except NotUnderstood:
        raise CameraError(
            GapCause.STREAM_DAMAGED, f"the camera's answer to {operation} could not be understood"
        ) from None
