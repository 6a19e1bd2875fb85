"""ipycam's ONVIF device, a stranger's work, without its video; ``python -m`` this module.

A process of its own, for ipycam brings OpenCV. Prints its port; lives until stdin ends.
"""

from __future__ import annotations

import http.server
import importlib
import sys
import threading
from types import SimpleNamespace
from typing import Any

USERNAME, PASSWORD = "recorder", "p/w &<"


def main() -> None:
    modules = {
        name: importlib.import_module(f"ipycam.{name}") for name in ("config", "http", "onvif")
    }
    config = modules["config"].CameraConfig(
        username=USERNAME, password=PASSWORD, local_ip="192.0.2.9", rtsp_port=8554
    )
    handler: Any = modules["http"].IPCameraHTTPHandler
    handler.camera = SimpleNamespace(config=config, onvif=modules["onvif"].ONVIFService(config))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
