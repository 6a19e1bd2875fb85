"""edge.demo.site: several cameras."""

import asyncio

import pytest

from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.site import DemoSite, demo_plans
from retention.clock import SystemClock
from retention.model import Codec

_STREAM = StreamPlan(width=320, height=180)


def test_four_cameras_hold_one_of_h265_and_four_passwords() -> None:
    plans = demo_plans(4)
    assert [plan.stream.codec for plan in plans].count(Codec.H265) == 1
    assert len({plan.password for plan in plans}) == 4


def test_any_number_of_cameras_has_ids_of_their_own() -> None:
    assert len({plan.id for plan in demo_plans(64)}) == 64


def test_two_cameras_cannot_share_an_id() -> None:
    with pytest.raises(ValueError, match="same id"):
        DemoSite([CameraPlan(id="a", loop_seconds=1, stream=_STREAM)] * 2, SystemClock())


def test_ports_are_given_back() -> None:
    plan = CameraPlan(id="a", loop_seconds=1, stream=_STREAM)

    async def play() -> list[int]:
        async with DemoSite([plan], SystemClock()) as site:
            await asyncio.sleep(0.01)
            device = site["a"].device
            assert device is not None
            ports = [site["a"].server.listener.port, device.listener.port]
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        return ports

    assert len(set(asyncio.run(play()))) == 2


def test_a_fault_inside_the_block_is_raised() -> None:
    async def play() -> None:
        plan = CameraPlan(id="a", loop_seconds=1, stream=_STREAM)
        async with DemoSite([plan], SystemClock()):
            raise RuntimeError("inside")

    with pytest.raises(ExceptionGroup) as found:
        asyncio.run(play())
    assert found.group_contains(RuntimeError, match="inside")


def test_a_taken_port_is_told_and_nothing_stays_open() -> None:
    first = CameraPlan(id="a", loop_seconds=1, stream=_STREAM)

    async def play() -> None:
        async with DemoSite([first], SystemClock()) as site:
            taken = site["a"].server.listener.port
            second = CameraPlan(id="b", loop_seconds=1, stream=_STREAM, rtsp_port=taken)
            with pytest.raises(OSError, match="in use"):
                async with DemoSite([first, second], SystemClock()):
                    pass

    asyncio.run(play())
