"""Starts the GStreamer RTSP server under the system's Python and waits until it listens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType

MEDIA = Path(__file__).parent.parent / "media"
H264_PCMA = MEDIA / "street-h264-pcma.mkv"
H264_BFRAMES = MEDIA / "street-h264-bframes.mkv"
H265_AAC = MEDIA / "pedestrians-h265-aac.mkv"

#: Mounts that most tests need.
CLIPS = {
    "h264": H264_PCMA,
    "bframes": H264_BFRAMES,
    "h265": H265_AAC,
    "h264+audio": H264_PCMA,
    "h265+audio": H265_AAC,
}


class GstServer:
    """``with GstServer({"gate": clip}) as server: server.url("gate")``; a name ``gate@2`` ends
    after 2 s, and only ``gate+audio`` has sound."""

    def __init__(
        self, mounts: dict[str, Path], *, user: str = "", password: str = "", port: int = 0
    ) -> None:
        self._argv = ["/usr/bin/python3", str(Path(__file__).with_name("gst_rtsp_server.py"))]
        self._argv += ["--port", str(port)]
        if user:
            self._argv += ["--user", user, "--password", password]
        self._argv += [f"{name}={clip}" for name, clip in mounts.items()]
        self.port = 0

    def __enter__(self) -> GstServer:
        self.process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.__exit__(None, None, None)
            raise RuntimeError("GStreamer's RTSP server did not start; see its message above")
        self.port = json.loads(line)["port"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def url(self, mount: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{mount}"
