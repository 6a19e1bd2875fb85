"""One camera's states, and when it is tried again."""

from __future__ import annotations

from edge.backoff import Backoff
from edge.camera.session import SOUND_US, Session, State
from retention.model import US_PER_S, GapCause


def session() -> Session:
    return Session(Backoff(chance=lambda: 0.0), 0)


def test_the_first_unit_makes_it_streaming() -> None:
    camera = session()
    assert camera.state is State.CONNECTING
    camera.unit(5)
    assert (camera.state, camera.since_us) == (State.STREAMING, 5)


def test_a_clean_break_is_tried_again_at_once() -> None:
    camera = session()
    camera.unit(0)
    assert camera.ended(GapCause.CAMERA_OFFLINE, "gone", 90 * US_PER_S) == 0
    assert (camera.state, camera.cause) == (State.WAITING, GapCause.CAMERA_OFFLINE)


def test_a_camera_that_breaks_off_again_and_again_is_not_hammered() -> None:
    camera = session()
    delays = []
    for second in range(6):
        camera.unit(second * US_PER_S)
        delays.append(camera.ended(GapCause.CAMERA_OFFLINE, "", second * US_PER_S))
        camera.retry(second * US_PER_S)
    assert [delay // US_PER_S for delay in delays] == [0, 1, 2, 4, 8, 15]


def test_a_sound_session_forgives_what_was_before() -> None:
    camera = session()
    for _ in range(6):
        camera.ended(GapCause.CAMERA_REFUSED, "", 0)
        camera.retry(0)
    camera.unit(0)
    assert camera.ended(GapCause.CAMERA_OFFLINE, "", SOUND_US) == 0
    camera.retry(SOUND_US)
    assert camera.ended(GapCause.CAMERA_OFFLINE, "", SOUND_US) == US_PER_S


def test_a_refused_password_waits_near_the_cap() -> None:
    assert session().ended(GapCause.CAMERA_AUTH, "401", 0) == 15 * US_PER_S


def test_streaming_clears_the_last_cause() -> None:
    camera = session()
    camera.ended(GapCause.NETWORK, "no route", 0)
    camera.retry(1)
    before = camera.cause
    camera.unit(2)
    assert (before, camera.cause, camera.detail) == (GapCause.NETWORK, None, "")


def test_a_stopped_session_stays_stopped() -> None:
    camera = session()
    camera.stop(1)
    camera.unit(2)
    camera.retry(3)
    assert camera.state is State.STOPPED
