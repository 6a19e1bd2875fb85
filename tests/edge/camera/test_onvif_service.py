"""edge.camera.onvif_service: one process for all cameras, none of which delays another."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from edge.camera.errors import CameraError
from edge.camera.onvif_service import OnvifService
from edge.demo.plan import CameraPlan, StreamPlan
from retention.model import GapCause
from tests.peers.soap_peer import SoapPeer
from tests.support.cameras import demo_site

pytestmark = pytest.mark.integration
_PLAN = CameraPlan(
    id="gate", password="pass-word-1", loop_seconds=2, stream=StreamPlan(width=320, height=180)
)


def test_a_camera_is_described_by_a_process_of_its_own() -> None:
    async def main(address: str) -> None:
        async with OnvifService() as onvif:
            assert onvif.pid is None  # a site without ONVIF pays nothing
            told = await onvif.describe(address, "recorder", "pass-word-1", "main")
            assert told.model == "Demo camera"
            assert told.stream_uris[0].startswith("rtsp://127.0.0.1:")
            pid = onvif.pid
            assert pid is not None
            for name in ("cmdline", "environ"):
                assert b"pass-word-1" not in Path(f"/proc/{pid}/{name}").read_bytes()
            with pytest.raises(CameraError) as caught:
                await onvif.describe(address, "recorder", "wrong", "main")
            assert caught.value.cause is GapCause.CAMERA_AUTH
            assert caught.value.hint
            with pytest.raises(CameraError) as caught:
                await onvif.describe(address, "recorder", "pass-word-1", "nosuch")
            assert caught.value.cause is GapCause.CONFIG
        for _ in range(100):
            if not os.path.exists(f"/proc/{pid}"):
                return
            await asyncio.sleep(0.01)
        pytest.fail("the ONVIF process outlived its service")

    with demo_site(_PLAN) as site:
        asyncio.run(main(site["gate"].onvif))


def test_silent_cameras_delay_no_other() -> None:
    async def main(silent: str, sound: str) -> None:
        async with OnvifService() as onvif:
            await onvif.describe(sound, "u", "p", "main")  # the process is up
            waiting = [
                asyncio.ensure_future(
                    onvif.describe(silent.replace("127.0.0.1", host), "u", "p", "main")
                )
                for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3")
            ]
            await asyncio.sleep(0.1)
            started = time.monotonic()
            for _ in range(5):
                await onvif.describe(sound, "u", "p", "main")
            assert time.monotonic() - started < 1.5
            results = await asyncio.gather(*waiting, return_exceptions=True)
            causes = [error.cause for error in results if isinstance(error, CameraError)]
            assert causes[0] is GapCause.CAMERA_OFFLINE
            assert len(causes) == 3

    with SoapPeer(lambda _, __: silent.silence()) as silent, SoapPeer() as sound:
        asyncio.run(main(silent.address, sound.address))


def test_a_camera_that_owes_an_answer_is_not_asked_again() -> None:
    """Else each reconnect would leave one more thread waiting."""

    async def main(address: str) -> None:
        async with OnvifService() as onvif:
            first = asyncio.ensure_future(onvif.describe(address, "u", "p", "main"))
            while not silent.calls:
                await asyncio.sleep(0.01)
            with pytest.raises(CameraError, match="still owes") as caught:
                await onvif.describe(address, "u", "p", "main")
            assert caught.value.cause is GapCause.CAMERA_OFFLINE
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

    with SoapPeer(lambda _, __: silent.silence()) as silent:
        asyncio.run(main(silent.address))
    assert len(silent.calls) == 1


def test_leaving_does_not_wait_for_cameras() -> None:
    async def main(address: str) -> float:
        async with OnvifService() as onvif:
            task = asyncio.ensure_future(onvif.describe(address, "u", "p", "main"))
            while not silent.calls:
                await asyncio.sleep(0.01)
            started = time.monotonic()
        with pytest.raises(CameraError):
            await task
        return time.monotonic() - started

    with SoapPeer(lambda _, __: silent.silence()) as silent:
        assert asyncio.run(main(silent.address)) < 1


def test_the_process_is_started_again_after_its_death() -> None:
    async def main(silent_address: str, sound: str) -> None:
        async with OnvifService() as onvif:
            task = asyncio.ensure_future(onvif.describe(silent_address, "u", "p", "main"))
            while not silent.calls:
                await asyncio.sleep(0.01)
            first = onvif.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            with pytest.raises(CameraError) as caught:
                await task
            assert caught.value.cause is GapCause.SERVICE_CRASHED
            told = await onvif.describe(sound, "u", "p", "main")
            assert told.model == "Demo camera"
            assert onvif.pid != first

    with SoapPeer(lambda _, __: silent.silence()) as silent, SoapPeer() as sound:
        asyncio.run(main(silent.address, sound.address))
