"""Demo cameras for synchronous tests: in a thread of this process, or in a child process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from edge.demo import plan_json
from edge.demo.camera import DemoCamera
from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.site import DemoSite
from edge.demo.units import SentUnit
from retention.clock import Clock, SystemClock
from retention.model import Track

T = TypeVar("T")
_PATIENCE_S = 20.0


def url_with_credentials(url: str, username: str, password: str) -> str:
    """The URL as players take it."""
    if not password:
        return url
    return url.replace("rtsp://", f"rtsp://{quote(username, '')}:{quote(password, '')}@", 1)


class Camera:
    """A demo camera whose event loop runs in another thread; every method may be called here."""

    def __init__(self, camera: DemoCamera, loop: asyncio.AbstractEventLoop) -> None:
        self._camera = camera
        self._loop = loop

    def do(self, act: Callable[[DemoCamera], T]) -> T:
        """Run a function of the camera inside its loop, and wait for what it returns."""

        async def inside() -> T:
            return act(self._camera)

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result(_PATIENCE_S)

    @property
    def url(self) -> str:
        return self._camera.url

    @property
    def url_with_credentials(self) -> str:
        return url_with_credentials(self.url, self.plan.username, self._camera.password)

    @property
    def onvif(self) -> str:
        """``host:port`` of the ONVIF device."""
        assert self._camera.device is not None
        return self._camera.device.address

    @property
    def plan(self) -> CameraPlan:
        return self._camera.plan

    @property
    def sent(self) -> list[SentUnit]:
        """What was handed to the sockets, oldest first (the plan must say ``log_units``)."""
        return self.do(lambda camera: list(camera.sent))

    @property
    def sent_video(self) -> list[SentUnit]:
        return [one for one in self.sent if one.track is Track.VIDEO]

    @property
    def counts(self) -> dict[str, int]:
        return self.do(DemoCamera.counts)

    def stall(self) -> None:
        self.do(DemoCamera.stall)

    def resume(self) -> None:
        self.do(DemoCamera.resume)

    def drop(self) -> None:
        self.do(DemoCamera.drop)

    def unplug(self) -> None:
        self.do(DemoCamera.unplug)

    def plug(self) -> None:
        asyncio.run_coroutine_threadsafe(self._camera.plug(), self._loop).result(_PATIENCE_S)

    def switch(self, stream: StreamPlan) -> None:
        video = self._camera.prepare(stream)
        self.do(lambda camera: camera.switch(video))


class Site:
    """Several cameras in one thread."""

    def __init__(self, site: DemoSite, loop: asyncio.AbstractEventLoop) -> None:
        self.cameras = {name: Camera(one, loop) for name, one in site.cameras.items()}

    def __getitem__(self, camera: str) -> Camera:
        return self.cameras[camera]


@contextmanager
def demo_site(
    *plans: CameraPlan, clock: Clock | None = None, discovery_port: int | None = None
) -> Iterator[Site]:
    """Cameras that play in a thread until the block is left; a camera's error is raised there."""
    runner = _Runner(plans, clock or SystemClock(), discovery_port)
    runner.start()
    try:
        yield runner.site()
    finally:
        runner.stop()


class _Runner:
    def __init__(
        self, plans: tuple[CameraPlan, ...], clock: Clock, discovery_port: int | None
    ) -> None:
        self._discovery_port = discovery_port
        self._plans = plans
        self._clock = clock
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="demo cameras")
        self._site: Site | None = None
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(_PATIENCE_S), "the demo cameras did not start"
        if self._error is not None:
            raise self._error

    def site(self) -> Site:
        assert self._site is not None
        return self._site

    def stop(self) -> None:
        if self._loop is not None and self._over is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_PATIENCE_S)
        if self._error is not None:
            raise self._error

    def _main(self) -> None:
        try:
            asyncio.run(self._play())
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self._error = error
        finally:
            self._ready.set()

    async def _play(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        async with DemoSite(self._plans, self._clock, self._discovery_port) as site:
            self._site = Site(site, self._loop)
            self._ready.set()
            await self._over.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraAddress:
    """How a camera of a child process is reached."""

    id: str
    rtsp: str
    onvif: str | None
    username: str
    password: str

    @property
    def url_with_credentials(self) -> str:
        return url_with_credentials(self.rtsp, self.username, self.password)


class SiteProcess:
    """Demo cameras in a child process: their CPU and the GIL are not the test's."""

    def __init__(self, child: subprocess.Popen[str], cameras: Mapping[str, CameraAddress]) -> None:
        self.pid = child.pid
        self.cameras = dict(cameras)
        self._child = child

    def __getitem__(self, camera: str) -> CameraAddress:
        return self.cameras[camera]

    def do(self, camera: str, command: str, **given: Any) -> dict[str, Any]:
        """One command of edge.demo.script; raises RuntimeError when it is refused."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"camera": camera, "do": command, **given}) + "\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        if not answer.pop("ok"):
            raise RuntimeError(answer["error"])
        return answer

    def sent(self, camera: str) -> list[SentUnit]:
        """What was handed to the sockets, oldest first."""
        found = self.do(camera, "sent")["sent"]
        return [SentUnit(**{**one, "track": Track(one["track"])}) for one in found]


@contextmanager
def demo_process(
    *plans: CameraPlan, wrapper: Sequence[str] = (), discoverable: bool = False
) -> Iterator[SiteProcess]:
    """Cameras in a child process (under ``wrapper``) until the block is left."""
    command = [*wrapper, sys.executable, "-m", "edge.demo", "--plans", "--control"]
    command += ["--discoverable"] if discoverable else []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(plan_json.to_json(plans) + "\n")
            child.stdin.flush()
            said = json.loads(child.stdout.readline())
            names = CameraAddress.__dataclass_fields__
            cameras = {
                one["id"]: CameraAddress(**{key: one[key] for key in names})
                for one in said["cameras"]
            }
            yield SiteProcess(child, cameras)
        finally:
            child.stdin.close()
            try:
                child.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
