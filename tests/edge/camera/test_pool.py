"""The pool with real children, GStreamer's server and peers that lie."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from pathlib import Path

import psutil
import pytest

from edge.camera.errors import CameraError
from edge.camera.link import Supervision
from edge.camera.messages import StreamSource
from edge.camera.pool import CameraPool, CameraStatus, PoolLimits
from edge.camera.session import State
from retention.clock import SystemClock
from retention.model import GapCause
from tests.edge.camera.clips import clip_units
from tests.edge.camera.events import Events, at
from tests.peers.gst import CLIPS, H264_PCMA, GstServer
from tests.peers.liar import Liar

pytestmark = pytest.mark.integration

QUICK = PoolLimits(
    open_timeout_s=1,
    stall_timeout_s=1,
    backoff_floor_us=200_000,
    backoff_cap_us=400_000,
    supervision=Supervision(check_s=0.1, kill_after_s=0.5),
)


@pytest.fixture(scope="module")
def server() -> Iterator[GstServer]:
    with GstServer(CLIPS | {"short@1": H264_PCMA}) as peer:
        yield peer


def pool(limits: PoolLimits = QUICK) -> CameraPool:
    return CameraPool(clock=SystemClock(), limits=limits)


def running(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs a coroutine test, and fails it when it left a process behind."""

    @wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        before = set(psutil.Process().children(recursive=True))
        asyncio.run(test(*args, **kwargs))  # type: ignore[arg-type]
        assert set(psutil.Process().children(recursive=True)) <= before

    return run


def status_of(cameras: CameraPool, camera: str) -> CameraStatus:
    status = cameras.status(camera)
    assert status is not None
    return status


def child_of(cameras: CameraPool, camera: str) -> int:
    pid = status_of(cameras, camera).pid
    assert pid is not None
    return pid


@running
async def test_a_stream_comes_whole_and_in_order(server: GstServer) -> None:
    events = Events()
    async with pool() as cameras:
        cameras.start("gate", at(server.url("h264")), events)
        await events.until(lambda e: len(e.units) >= 60)
        status = status_of(cameras, "gate")
    assert (status.state, status.cause) == (State.STREAMING, None)
    assert 0 < status.rss_bytes < 100_000_000
    assert events.order == ["connected", "format", "unit"]
    sent = clip_units(H264_PCMA)
    assert [u.data for u in events.units[1:60]] == [u.data for u in sent[1:60]]


@running
async def test_a_clean_break_is_reconnected_at_once(server: GstServer) -> None:
    events = Events()
    async with pool() as cameras:
        cameras.start("gate", at(server.url("short@1")), events)
        await events.until(lambda e: e.order.count("ended") == 1)
        begun = time.monotonic()
        await events.until(lambda e: e.order.count("connected") == 2)
        assert time.monotonic() - begun < 0.6
    assert events.order[:5] == ["connected", "format", "unit", "ended", "connected"]
    assert events.ends[0][0] is GapCause.CAMERA_OFFLINE


@running
async def test_a_killed_child_is_told_and_replaced_and_no_other_notices(server: GstServer) -> None:
    hit, spared = Events(), Events()
    async with pool() as cameras:
        cameras.start("hit", at(server.url("h264")), hit)
        cameras.start("spared", at(server.url("h265")), spared)
        await hit.until(lambda e: len(e.units) > 10)
        await spared.until(lambda e: len(e.units) > 5)
        os.kill(child_of(cameras, "hit"), signal.SIGKILL)
        await hit.until(lambda e: e.order.count("unit") == 2)
    assert hit.ends == [(GapCause.SERVICE_CRASHED, "the camera's process was killed by signal 9")]
    assert spared.ends == []


@running
async def test_a_hung_child_is_killed_and_replaced(server: GstServer) -> None:
    events = Events()
    limits = PoolLimits(
        supervision=Supervision(silence_s=1.0, kill_after_s=0.3, check_s=0.1),
        backoff_floor_us=100_000,
        backoff_cap_us=100_000,
    )
    async with pool(limits) as cameras:
        cameras.start("gate", at(server.url("h264")), events)
        await events.until(lambda e: len(e.units) > 5)
        os.kill(child_of(cameras, "gate"), signal.SIGSTOP)  # neither it nor SIGTERM moves
        await events.until(lambda e: e.order.count("unit") == 2)
    assert events.ends == [(GapCause.SERVICE_CRASHED, "the camera's process hung")]


@running
async def test_a_child_that_grows_is_replaced(server: GstServer) -> None:
    events = Events()
    limits = PoolLimits(supervision=Supervision(rss_bytes_max=1_000_000, check_s=0.1))
    async with pool(limits) as cameras:
        cameras.start("gate", at(server.url("h264")), events)
        await events.until(lambda e: bool(e.ends))
    cause, detail = events.ends[0]
    assert cause is GapCause.SERVICE_CRASHED
    assert "grew" in detail


@running
async def test_the_fork_servers_death_costs_a_reconnect(server: GstServer) -> None:
    events = Events()
    async with pool() as cameras:
        cameras.start("gate", at(server.url("h264")), events)
        await events.until(lambda e: len(e.units) > 5)
        psutil.Process(child_of(cameras, "gate")).parent().kill()  # type: ignore[union-attr]
        await events.until(lambda e: e.order.count("unit") == 2, 20)
    assert len(events.ends) == 1


@running
async def test_each_trouble_has_its_cause_and_is_tried_again() -> None:
    silent, refused, auth = Events(), Events(), Events()
    denial = b"RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\n\r\n"
    with Liar() as mute, Liar(denial) as strict:
        async with pool() as cameras:
            cameras.start("silent", at(mute.url), silent)
            cameras.start("refused", at("rtsp://127.0.0.1:1/"), refused)
            cameras.start("auth", at(strict.url), auth)
            for events in (silent, refused, auth):
                await events.until(lambda e: len(e.ends) >= 2)
            assert status_of(cameras, "refused").failures >= 2
    assert {cause for cause, _ in silent.ends} == {GapCause.CAMERA_OFFLINE}
    assert {cause for cause, _ in refused.ends} == {GapCause.CAMERA_REFUSED}
    assert {cause for cause, _ in auth.ends} == {GapCause.CAMERA_AUTH}


@running
async def test_a_resolver_that_fails_is_an_end_with_its_cause() -> None:
    async def resolve() -> StreamSource:
        raise CameraError(GapCause.CAMERA_AUTH, "ONVIF refused the password")

    events = Events()
    async with pool() as cameras:
        cameras.start("gate", resolve, events)
        await events.until(lambda e: bool(e.ends))
        assert status_of(cameras, "gate").detail == "ONVIF refused the password"
    assert events.ends[0] == (GapCause.CAMERA_AUTH, "ONVIF refused the password")


@running
async def test_the_address_that_played_is_tried_first_the_next_time(server: GstServer) -> None:
    events = Events()
    with Liar() as mute:
        async with pool() as cameras:
            cameras.start("gate", at(mute.url, server.url("short@1")), events)
            await events.until(lambda e: e.order.count("connected") == 3, 20)
        assert len(mute.requests) == 1


@running
async def test_stopping_takes_leave_at_once_and_tells_no_end(server: GstServer) -> None:
    events = Events()
    async with pool() as cameras:
        cameras.start("gate", at(server.url("h264")), events)
        await events.until(lambda e: len(e.units) > 5)
        begun = time.monotonic()
        await cameras.stop("gate")
        assert time.monotonic() - begun < 1
        seen = len(events.units)
        cameras.start("gate", at(server.url("h264")), events)
        await events.until(lambda e: len(e.units) > seen)
    assert events.ends == []


@running
async def test_stopping_says_teardown() -> None:
    from tests.edge.camera.rtsp.test_session import H264, answers

    events = Events()
    unit = b"\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x65\x88\x80"
    frames = b"".join(b"$\x00" + len(unit).to_bytes(2, "big") + unit for _ in range(3))
    *before, playing = answers(H264)
    with Liar(*before, playing + frames) as camera:
        limits = PoolLimits(
            open_timeout_s=1, stall_timeout_s=0.3, supervision=Supervision(check_s=0.1)
        )
        async with pool(limits) as cameras:
            cameras.start("gate", at(camera.url), events)
            await events.until(lambda e: "connected" in e.order)
            await cameras.stop("gate")
        await asyncio.sleep(0.1)
        assert any(request.startswith(b"TEARDOWN") for request in camera.requests)


@running
async def test_stopping_while_it_waits_or_connects_is_quick() -> None:
    with Liar() as mute:
        async with pool(PoolLimits(supervision=Supervision(kill_after_s=0.3))) as cameras:
            waiting, connecting = Events(), Events()
            cameras.start("waiting", at("rtsp://127.0.0.1:1/"), waiting)
            cameras.start("connecting", at(mute.url), connecting)
            await waiting.until(lambda e: bool(e.ends))
            begun = time.monotonic()
            await asyncio.gather(cameras.stop("waiting"), cameras.stop("connecting"))
            assert time.monotonic() - begun < 1.5
            await cameras.stop("nobody")


@running
async def test_retry_now_cuts_the_wait_short() -> None:
    events = Events()
    async with pool(PoolLimits(backoff_floor_us=20_000_000)) as cameras:
        cameras.start("gate", at("rtsp://127.0.0.1:1/"), events)
        await events.until(lambda e: len(e.ends) == 1)
        await asyncio.sleep(0.05)
        cameras.retry_now("gate")
        await events.until(lambda e: len(e.ends) == 2, 3)


@running
async def test_a_camera_is_started_once() -> None:
    async with pool() as cameras:
        cameras.start("gate", at("rtsp://127.0.0.1:1/"), Events())
        with pytest.raises(ValueError, match="started already"):
            cameras.start("gate", at("rtsp://127.0.0.1:1/"), Events())


def test_children_die_with_their_parent(server: GstServer) -> None:
    script = f"""
import asyncio
from edge.camera.pool import CameraPool
from retention.clock import SystemClock
from tests.edge.camera.events import Events, at
async def main():
    async with CameraPool(clock=SystemClock()) as cameras:
        events = Events()
        cameras.start("gate", at({server.url("h264")!r}), events)
        await events.until(lambda e: len(e.units) > 5)
        print(cameras.status("gate").pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    root = Path(__file__).parents[3]
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        family = [child, *psutil.Process(parent.pid).children(recursive=True)]
        cmdlines = [" ".join(process.cmdline()) for process in family]
        parent.kill()
    gone, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert len(gone) >= 2
    assert not any("rtsp://" in line for line in cmdlines)
