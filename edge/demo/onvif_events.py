"""PullPoint subscriptions of a demo camera (ONVIF core 9.1), as few as real cameras have. Core.

Instants are monotonic microseconds but for ``UtcTime``, which is the camera's own clock.
"""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.demo.soap import element, text
from retention.model import US_PER_S

SUBSCRIPTIONS_MAX = 4
TERM_US_MAX = 3600 * US_PER_S
QUEUE_MAX = 100
_CONCRETE = "http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet"
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)

#: Topic, name of its source, name of its state (None: an event without duration), and what else a
#: camera may put in: nothing of that may be kept.
TOPICS: Mapping[str, tuple[str, str, str | None, Mapping[str, str]]] = {
    "motion": ("tns1:VideoSource/MotionAlarm", "Source", "State", {}),
    "tamper": (
        "tns1:RuleEngine/TamperDetector/Tamper",
        "VideoSourceConfigurationToken",
        "IsTamper",
        {},
    ),
    "moved": ("tns1:VideoSource/GlobalSceneChange/ImagingService", "Source", "State", {}),
    "blurred": ("tns1:VideoSource/ImageTooBlurry/AnalyticsService", "Source", "State", {}),
    "face": (
        "tns1:RuleEngine/FaceDetector/FaceCapture",
        "VideoSourceConfigurationToken",
        None,
        {"FaceId": "4711", "Name": "\u5f20\u4e09", "Similarity": "0.98"},
    ),
    "vehicle": (
        "tns1:RuleEngine/LicensePlateRecognition/Vehicle",
        "VideoSourceConfigurationToken",
        None,
        {"Plate": "\u8d63A12345", "Colour": "white"},
    ),
}


@dataclass(slots=True)
class _Subscription:
    until_us: int
    queue: deque[str] = field(default_factory=lambda: deque(maxlen=QUEUE_MAX))


class EventDesk:
    """The subscriptions of one camera; ``made`` counts all that there ever were."""

    def __init__(self) -> None:
        self._subscriptions: dict[int, _Subscription] = {}
        self._states: dict[str, bool] = {}
        self.made = 0

    def count(self, now_us: int) -> int:
        """Those that stand."""
        self._expire(now_us)
        return len(self._subscriptions)

    def create(self, term_us: int, now_us: int, camera_utc_us: int) -> int | None:
        """A new one's number; None when there is no place left."""
        self._expire(now_us)
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            return None
        self.made += 1
        one = _Subscription(now_us + min(term_us, TERM_US_MAX))
        for kind, is_active in self._states.items():  # what states are now
            one.queue.append(_message(kind, is_active, "Initialized", camera_utc_us))
        self._subscriptions[self.made] = one
        return self.made

    def renew(self, number: int, term_us: int, now_us: int) -> bool:
        self._expire(now_us)
        one = self._subscriptions.get(number)
        if one is None:
            return False
        one.until_us = now_us + min(term_us, TERM_US_MAX)
        return True

    def unsubscribe(self, number: int) -> bool:
        return self._subscriptions.pop(number, None) is not None

    def is_known(self, number: int, now_us: int) -> bool:
        self._expire(now_us)
        return number in self._subscriptions

    def has_news(self, number: int) -> bool:
        one = self._subscriptions.get(number)
        return one is None or bool(one.queue)

    def take(self, number: int, limit: int) -> list[str]:
        """The oldest messages of a subscription that stands."""
        queue = self._subscriptions[number].queue
        return [queue.popleft() for _ in range(min(limit, len(queue)))]

    def fire(self, kind: str, is_active: bool | None, camera_utc_us: int) -> None:
        """Something happens (a key of ``TOPICS``). Raises ValueError for another word."""
        if kind not in TOPICS:
            raise ValueError(f"{kind!r} is no event: {', '.join(TOPICS)}")
        if TOPICS[kind][2] is None:
            message = _message(kind, None, "", camera_utc_us)
        else:
            self._states[kind] = bool(is_active)
            message = _message(kind, bool(is_active), "Changed", camera_utc_us)
        for one in self._subscriptions.values():
            one.queue.append(message)

    def _expire(self, now_us: int) -> None:
        for number in [n for n, one in self._subscriptions.items() if one.until_us <= now_us]:
            del self._subscriptions[number]


def subscribed(url: str, term_us: int, camera_utc_us: int) -> str:
    return element(
        "tev:CreatePullPointSubscriptionResponse",
        element("tev:SubscriptionReference", text("wsa:Address", url)),
        *_times("wsnt", term_us, camera_utc_us),
    )


def pulled(messages: list[str], term_us: int, camera_utc_us: int) -> str:
    times = _times("tev", term_us, camera_utc_us)
    return element("tev:PullMessagesResponse", *times, *messages)


def renewed(term_us: int, camera_utc_us: int) -> str:
    return element("wsnt:RenewResponse", *reversed(_times("wsnt", term_us, camera_utc_us)))


def _times(prefix: str, term_us: int, camera_utc_us: int) -> tuple[str, str]:
    return (
        text(f"{prefix}:CurrentTime", _instant(camera_utc_us)),
        text(f"{prefix}:TerminationTime", _instant(camera_utc_us + term_us)),
    )


def _message(kind: str, is_active: bool | None, operation: str, camera_utc_us: int) -> str:
    topic, source, state, more = TOPICS[kind]
    items = dict(more)
    if state is not None:
        items = {state: str(bool(is_active)).lower()}
    attributes = {"UtcTime": _instant(camera_utc_us)}
    if operation:
        attributes["PropertyOperation"] = operation
    return element(
        "wsnt:NotificationMessage",
        element("wsnt:Topic", topic, Dialect=_CONCRETE),
        element(
            "wsnt:Message",
            element(
                "tt:Message",
                element("tt:Source", element("tt:SimpleItem", Name=source, Value="source")),
                element(
                    "tt:Data",
                    *(
                        element("tt:SimpleItem", Name=name, Value=one)
                        for name, one in items.items()
                    ),
                ),
                **attributes,
            ),
        ),
    )


def _instant(utc_us: int) -> str:
    at = _EPOCH + datetime.timedelta(microseconds=utc_us)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
