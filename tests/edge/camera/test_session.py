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


def test_a_refused_password_is_tried_ever_less_until_a_picture_comes() -> None:
    camera = session()

    def refused() -> int:
        delay_us = camera.ended(GapCause.CAMERA_AUTH, "401", 0)
        camera.retry(0)
        return delay_us // US_PER_S

    assert [refused() for _ in range(4)] == [15, 60, 900, 900]
    camera.ended(GapCause.NETWORK, "no route", 0)
    camera.retry(0)
    assert refused() == 900  # it may be locked still
    camera.unit(0)
    camera.ended(GapCause.CAMERA_OFFLINE, "", SOUND_US)
    camera.retry(SOUND_US)
    assert refused() == 15


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
