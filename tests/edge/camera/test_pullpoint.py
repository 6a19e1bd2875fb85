"""edge.camera.pullpoint and event_kinds: events in, and nothing of anybody's identity out."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera import pullpoint
from edge.camera.event_kinds import (
    CameraEvent,
    Notification,
    States,
    Tamper,
    event_of,
    instant_of,
    source_key,
)
from edge.camera.plain_xml import read_xml
from edge.camera.pullpoint import Credentials, FaultTold, NotUnderstood, Parameter
from edge.demo import onvif_events, soap
from retention.model import US_PER_S, MarkerKind

S = US_PER_S
NOW = 1_790_000_000 * S


def pulled(*kinds: str, is_active: bool = True) -> bytes:
    desk = onvif_events.EventDesk()
    number = desk.create(60 * S, 0, NOW)
    assert number is not None
    for kind in kinds:
        desk.fire(kind, is_active, NOW)
    return soap.envelope(onvif_events.pulled(desk.take(number, 99), 60 * S, NOW))


def events(answer: bytes) -> list[CameraEvent]:
    found = map(event_of, pullpoint.messages(answer))
    return [one for one in found if one is not None]


def test_topics_become_kinds() -> None:
    found = events(pulled("motion", "tamper", "moved", "blurred", "face", "vehicle"))
    assert [(one.kind.value, one.tamper, one.is_active) for one in found] == [
        ("motion", None, True),
        ("tamper", Tamper.COVERED, True),
        ("tamper", Tamper.MOVED, True),
        ("tamper", Tamper.BLURRED, True),
        ("face", None, None),
        ("vehicle", None, None),
    ]
    assert {one.camera_us for one in found} == {NOW}


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("tns1:RuleEngine/CellMotionDetector/Motion", MarkerKind.MOTION),
        ("tns1:RuleEngine/MotionRegionDetector/Motion", MarkerKind.MOTION),
        ("tns1:VideoSource/MotionAlarm", MarkerKind.MOTION),
        ("tns1:RuleEngine/MyRuleDetector/FaceDetect", MarkerKind.FACE),
        ("tns1:RuleEngine/FaceDetector/FaceDetection", MarkerKind.FACE),
        ("tns1:RuleEngine/Recognition/Face", MarkerKind.FACE),
        ("tns1:RuleEngine/MyRuleDetector/VehicleDetect", MarkerKind.VEHICLE),
        ("tns1:RuleEngine/Recognition/LicensePlate", MarkerKind.VEHICLE),
        ("tns1:VideoSource/ImageTooDark/RecordingService", MarkerKind.TAMPER),
        ("tns1:VideoSource/SignalLoss", MarkerKind.TAMPER),
        ("tns1:Device/Trigger/DigitalInput", None),
        ("tns1:RecordingConfig/JobState", None),
        ("tns1:RuleEngine/SurfaceDetector/Interface", None),
        ("", None),
    ],
)
def test_topics_of_makers(topic: str, kind: MarkerKind | None) -> None:
    found = event_of(Notification(topic=topic, utc="", operation="", source={}, data={}))
    assert (None if found is None else found.kind) is kind


def test_nothing_that_names_anybody_is_in_what_is_kept() -> None:
    """The demo's face and vehicle events carry a name, a face id and a plate."""
    answer = pulled("face", "vehicle")
    assert "赣A12345" in answer.decode()
    assert "张三" in answer.decode()
    kept = repr(events(answer))
    for secret in ("赣", "A12345", "张三", "4711", "0.98", "white"):
        assert secret not in kept


def test_a_rise_is_told_once_and_its_end_once() -> None:
    states = States()
    on, off = events(pulled("motion"))[0], events(pulled("motion", is_active=False))[0]
    assert [states.is_news("a", one) for one in (off, on, on, off, off, on)] == [
        False, True, False, True, False, True,
    ]  # fmt: skip
    assert states.is_news("b", on)
    (capture,) = events(pulled("face"))
    assert states.is_news("a", capture)
    assert states.is_news("a", capture)


def test_detectors_without_end_are_forgotten() -> None:
    states, on = States(), events(pulled("motion"))[0]
    for number in range(10_000):
        states.is_news(str(number), on)
    assert len(states._active) == States.DETECTORS_MAX


@pytest.mark.parametrize(
    ("camera_s", "offset_s", "at_s"),
    [(-3, 0, -3), (-3 - 9999, -9999, -3), (5, 0, 0), (-61, 0, 0), (-1_700_000_000, 0, 0)],
)
def test_the_cameras_clock_dates_events_as_far_as_that_can_be(
    camera_s: int, offset_s: int, at_s: int
) -> None:
    event = CameraEvent(
        kind=MarkerKind.FACE,
        tamper=None,
        is_active=None,
        is_initial=False,
        camera_us=NOW + camera_s * S,
    )
    assert instant_of(event, offset_s * S, NOW) == NOW + at_s * S
    assert instant_of(event, None, NOW) == NOW


# Messages --------------------------------------------------------------------------------------


def test_a_request_carries_what_tells_subscriptions_apart_and_a_digest() -> None:
    request = pullpoint.envelope(
        pullpoint.pull(10, 64),
        action="pull",
        to="http://192.0.2.10/sub?Idx=1&x=2",
        message_id="m1",
        parameters=[Parameter(namespace='urn:a"b', name="SubscriptionId", text="7 & <8>")],
        credentials=Credentials(username="rec<", password="p/w &<"),
        created_us=NOW,
        nonce=b"n" * 16,
    )
    assert b"p/w" not in request
    root = read_xml(request)
    assert root.text_of("SubscriptionId") == "7 & <8>"
    assert root.text_of("To") == "http://192.0.2.10/sub?Idx=1&x=2"
    assert root.text_of("Timeout") == "PT10S"
    created, nonce = root.text_of("Created"), base64.b64decode(root.text_of("Nonce"))
    right = base64.b64encode(hashlib.sha1(nonce + created.encode() + b"p/w &<").digest())
    assert root.text_of("Password").encode() == right
    call = soap.parse_call(request)
    assert (call.operation, call.token.username if call.token else "") == ("PullMessages", "rec<")


def test_a_subscription_is_read_with_its_reference_parameters() -> None:
    told = onvif_events.subscribed("http://192.0.2.10/sub", 45 * S, NOW)
    told = told.replace(
        "</wsa:Address>",
        "</wsa:Address><wsa:ReferenceParameters><tev:Id>42</tev:Id><tev:Deep><tev:X/></tev:Deep>"
        "</wsa:ReferenceParameters>",
    )
    found = pullpoint.subscribed(soap.envelope(told))
    assert found.term_s == 45
    assert found.reference.url == "http://192.0.2.10/sub"
    (parameter,) = found.reference.parameters
    assert (parameter.name, parameter.text) == ("Id", "42")
    assert pullpoint.renewed(soap.envelope(onvif_events.renewed(30 * S, NOW))) == 30
    pullpoint.unsubscribed(soap.envelope("<wsnt:UnsubscribeResponse/>"))


def test_faults_and_nonsense_are_told_apart() -> None:
    with pytest.raises(FaultTold) as caught:
        pullpoint.messages(soap.fault(subcodes=("ter:NotAuthorized",), reason="Sender not here"))
    assert caught.value.reason == "Sender not here"
    assert "ter:NotAuthorized" in caught.value.codes
    for answer in (b"", b"<a/>", soap.envelope("<tev:PullMessages/>"), b"\x00" * 50):
        with pytest.raises(NotUnderstood):
            pullpoint.messages(answer)


ANSWERS = {
    pullpoint.messages: pulled("motion", "tamper", "face", "vehicle"),
    pullpoint.subscribed: soap.envelope(onvif_events.subscribed("http://c/s", 60 * S, NOW)),
    pullpoint.renewed: soap.envelope(onvif_events.renewed(60 * S, NOW)),
}


@given(
    st.sampled_from(sorted(ANSWERS, key=lambda parse: parse.__name__)),
    st.floats(0, 1),
    st.integers(0, 80),
    st.binary(max_size=30) | st.none(),
)
def test_mutated_answers_are_read_or_refused(
    parse: object, place: float, length: int, patch: bytes | None
) -> None:
    right = ANSWERS[parse]  # type: ignore[index]
    start = int(place * len(right))
    piece = right[start : start + length]
    data = right[:start] + (piece * 2 if patch is None else patch) + right[start + length :]
    try:
        found = parse(data)  # type: ignore[operator]
    except (NotUnderstood, FaultTold):
        return
    for notification in found if isinstance(found, list) else ():
        event = event_of(notification)
        assert len(source_key(notification)) <= 300
        assert event is None or event.kind in MarkerKind


@given(
    st.builds(
        Notification,
        topic=st.text(max_size=60) | st.sampled_from(["tns1:VideoSource/MotionAlarm", "Face"]),
        utc=st.text(max_size=40) | st.datetimes().map(lambda at: at.isoformat() + "Z"),
        operation=st.sampled_from(["", "Initialized", "Changed", "Deleted", "x"]),
        source=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=4),
        data=st.dictionaries(
            st.sampled_from(["State", "IsMotion", "Plate"]), st.text(max_size=9), max_size=3
        ),
    ),
    st.integers(-(1 << 60), 1 << 60) | st.none(),
)
def test_any_notification_is_dated_within_the_last_minute(
    notification: Notification, offset_us: int | None
) -> None:
    event = event_of(notification)
    if event is not None:
        assert NOW - 60 * S <= instant_of(event, offset_us, NOW) <= NOW
