"""ipycam's ONVIF device, a stranger's work, without its video; ``python -m`` this module.

A process of its own, for ipycam brings OpenCV. Prints its port; lives until stdin ends. With an
address of its own (in a network namespace) it answers WS-Discovery there, too.
"""

from __future__ import annotations

import http.server
import importlib
import sys
import threading
from types import SimpleNamespace
from typing import Any

USERNAME, PASSWORD = "recorder", "p/w &<"
#: In a namespace of its own.
PORT = 8080


def main() -> None:
    modules = {
        name: importlib.import_module(f"ipycam.{name}") for name in ("config", "http", "onvif")
    }
    address = sys.argv[1] if len(sys.argv) > 1 else ""
    config = modules["config"].CameraConfig(
        username=USERNAME,
        password=PASSWORD,
        local_ip=address or "192.0.2.9",
        rtsp_port=8554,
        onvif_port=PORT,
    )
    handler: Any = modules["http"].IPCameraHTTPHandler
    handler.camera = SimpleNamespace(config=config, onvif=modules["onvif"].ONVIFService(config))
    where = (address, PORT) if address else ("127.0.0.1", 0)
    server = http.server.ThreadingHTTPServer(where, handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if address:
        importlib.import_module("ipycam.discovery").WSDiscoveryServer(handler.camera.onvif).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
