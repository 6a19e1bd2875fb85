"""Orders to a demo camera: through the socket, the ONVIF process and SOAP."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import stat
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.schema import Camera as CameraSettings
from config.secrets import Secret
from edge import control, orders
from edge.camera import onvif_orders
from edge.camera.onvif_service import OnvifService
from edge.cameras import CameraInService
from edge.demo.plan import CameraPlan, StreamPlan
from edge.orders import Orders
from retention.clock import SystemClock
from retention.model import US_PER_S
from tests.support.cameras import Camera, demo_site
from uplink import orders as uplink_orders
from uplink.commands import CameraOrder
from uplink.orders import OrderFailed

pytestmark = pytest.mark.integration

_STREAM = StreamPlan(width=320, height=180)
_PTZ = CameraPlan(id="gate", password="pass-word-1", loop_seconds=2, stream=_STREAM, ptz=True)
_FIXED = dataclasses.replace(_PTZ, id="yard", ptz=False)


class FastClock(SystemClock):
    """The host's, set forward by hand."""

    ahead_us = 0

    def monotonic_us(self) -> int:
        return super().monotonic_us() + self.ahead_us


def _in_service(camera: Camera, **changes: Any) -> CameraInService:
    settings = CameraSettings.model_validate(
        {
            "id": camera.plan.id,
            "name": camera.plan.id,
            "onvif": camera.onvif,
            "username": "recorder",
            **changes,
        }
    )
    recorder = cast(Any, SimpleNamespace())
    return CameraInService(settings=settings, password=Secret("pass-word-1"), recorder=recorder)


def _run(
    folder: Path, cameras: dict[str, CameraInService], body: Any, clock: FastClock | None = None
) -> None:
    async def main() -> None:
        async with OnvifService() as onvif:
            desk = Orders(onvif, lambda: cameras, folder, clock or FastClock())
            server = await control.serve(
                folder, desk.commands(), name=orders.SOCKET_NAME, is_shared=True
            )
            try:
                async with asyncio.timeout(60), uplink_orders.Orders(folder) as client:
                    await body(client, desk)
            finally:
                server.close()

    asyncio.run(main())


async def _ask(client: uplink_orders.Orders, camera: str, verb: str, **arguments: Any) -> Any:
    return await client.ask(CameraOrder(camera=camera, verb=verb, arguments=arguments))


async def _refused(asking: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(OrderFailed) as caught:
        await asking
    return str(caught.value)


def test_both_sides_agree_on_socket_and_verbs() -> None:
    assert orders.SOCKET_NAME == uplink_orders.SOCKET_NAME
    assert set(orders.CAMERA_VERBS) == onvif_orders.VERBS


def test_a_camera_turns_keeps_presets_and_gives_pictures(tmp_path: Path) -> None:
    with demo_site(_PTZ) as site:
        camera = site["gate"]

        def pan() -> float:
            return camera.do(lambda one: one.head.place(one.monotonic_us()).pan)

        async def body(client: uplink_orders.Orders, desk: Orders) -> None:
            del desk
            assert await _ask(client, "gate", "presets") == {"presets": []}
            await _ask(client, "gate", "preset_set", number=7)
            await _ask(client, "gate", "move", pan=1.0, tilt=0.0, zoom=0.0)
            await asyncio.sleep(0.3)
            await _ask(client, "gate", "stop")
            turned = pan()
            assert turned > 0.1
            await asyncio.sleep(0.2)
            assert pan() == turned
            await _ask(client, "gate", "preset_set", number=1)
            told = await _ask(client, "gate", "presets")
            assert [one["number"] for one in told["presets"]] == [1, 7]
            await _ask(client, "gate", "preset_call", number=7)
            assert pan() == 0
            await _ask(client, "gate", "preset_set", number=1)  # replaced, not added
            await _ask(client, "gate", "preset_delete", number=7)
            told = await _ask(client, "gate", "presets")
            assert [one["number"] for one in told["presets"]] == [1]
            assert "no preset 7" in await _refused(_ask(client, "gate", "preset_call", number=7))
            assert "1 to 255" in await _refused(_ask(client, "gate", "preset_set", number=0))
            await asyncio.gather(*(_ask(client, "gate", "key_frame") for _ in range(5)))
            await _ask(client, "gate", "reboot")
            picture = base64.b64decode((await _ask(client, "gate", "snapshot"))["jpeg"])
            assert picture.startswith(b"\xff\xd8")
            assert picture.endswith(b"\xff\xd9")
            mode = stat.S_IMODE((tmp_path / orders.SOCKET_NAME).stat().st_mode)
            assert mode == 0o660

        _run(tmp_path, {"gate": _in_service(camera)}, body)
        calls = camera.do(lambda one: list(one.device.calls if one.device else ()))
        assert calls.count("GetProfiles") <= 3  # learnt once, and again after each refusal


def test_what_cannot_be_done_says_why(tmp_path: Path) -> None:
    with demo_site(_PTZ, _FIXED) as site:
        cameras = {
            "gate": _in_service(site["gate"], enabled=False),
            "yard": _in_service(site["yard"]),
        }

        async def body(client: uplink_orders.Orders, desk: Orders) -> None:
            del desk
            turned = await _refused(_ask(client, "yard", "move", pan=1.0))
            assert "no PTZ" in turned
            assert (await _ask(client, "yard", "snapshot"))["jpeg"]
            assert "not in service" in await _refused(_ask(client, "gate", "stop"))
            assert "not in service" in await _refused(_ask(client, "nobody", "stop"))
            for verb in ("delete", "status", "__init__", "stop_recording"):
                assert "unknown command" in await _refused(_ask(client, "yard", verb))
            cameras["yard"] = dataclasses.replace(cameras["yard"], password=Secret("wrong"))
            refused = await _refused(_ask(client, "yard", "key_frame"))
            assert "refuses the user name or password" in refused
            assert "wrong" not in refused

        _run(tmp_path, cameras, body)


def test_a_camera_goes_home_after_a_while(tmp_path: Path) -> None:
    clock = FastClock()
    with demo_site(_PTZ) as site:
        camera = site["gate"]

        def calls() -> int:
            device = camera.do(lambda one: one.device)
            return camera.do(lambda _: list(device.calls if device else ()).count("GotoPreset"))

        async def body(client: uplink_orders.Orders, desk: Orders) -> None:
            home = {"enabled": True, "reset_s": 30, "preset": 2}
            assert "no preset 2" in await _refused(_ask(client, "gate", "home_set", **home))
            assert "no home" in await _refused(_ask(client, "gate", "home"))
            await _ask(client, "gate", "preset_set", number=2)
            await _ask(client, "gate", "home_set", **home)
            assert await _ask(client, "gate", "home") == home
            await _ask(client, "gate", "stop")
            await desk.go_home()
            assert calls() == 0
            clock.ahead_us = 31 * US_PER_S
            await desk.go_home()
            await desk.go_home()
            assert calls() == 1
            again = Orders(OnvifService(), dict, tmp_path, clock)
            assert await again.commands()["home"]({"camera": "gate"}) == home
            await _ask(client, "gate", "home_set", **(home | {"enabled": False}))
            await _ask(client, "gate", "stop")
            clock.ahead_us += 31 * US_PER_S
            await desk.go_home()
            assert calls() == 1

        _run(tmp_path, {"gate": _in_service(camera)}, body, clock)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"gate": {}}', '{"gate": 5}'])
def test_homes_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / orders.HOMES_NAME).write_text(text)
    assert Orders(OnvifService(), dict, tmp_path, FastClock())._homes == {}
