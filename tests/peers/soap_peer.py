"""An HTTP peer on loopback that answers ONVIF calls rightly, or however a test wants. Threads."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Callable, Iterable
from types import TracebackType

from edge.demo import onvif_answers, soap
from edge.demo.plan import CameraPlan
from retention.clock import SystemClock
from retention.model import Codec, MediaFormat, VideoFormat

#: Gets the operation and the whole request, gives what goes on the wire; None = the right answer.
Lie = Callable[[str, bytes], "bytes | Iterable[bytes] | None"]

_MEDIA = MediaFormat(video=VideoFormat(codec=Codec.H264, width=640, height=360, parameter_sets=()))
_PLAN = CameraPlan(id="peer")
_OPERATION = re.compile(rb"<(?:[\w-]+:)?Body[^>]*>\s*<(?:[\w-]+:)?(\w+)")


def http(body: bytes | str, status: str = "200 OK", headers: str = "") -> bytes:
    """An HTTP answer that ends with its connection."""
    content = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return head.encode() + content


def soap_answer(body: str, status: str = "200 OK") -> bytes:
    return http(soap.envelope(body), status)


class SoapPeer:
    """``with SoapPeer(lie) as peer``: ``peer.address``; ``peer.calls`` names what was asked."""

    def __init__(self, lie: Lie | None = None) -> None:
        self._lie = lie or (lambda _operation, _request: None)
        self.calls: list[str] = []
        self.requests: list[bytes] = []
        self.over = threading.Event()
        peer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = self.rfile.readline(65536)
                    if not line:
                        return
                    head += line
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                request = head + self.rfile.read(int(length[1]) if length else 0)
                for piece in peer.answer(request):
                    try:
                        self.wfile.write(piece)
                        self.wfile.flush()
                    except OSError:
                        return
                    if peer.over.is_set():
                        return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, request: bytes) -> Iterable[bytes]:
        found = _OPERATION.search(request)
        operation = found[1].decode() if found else ""
        self.calls.append(operation)
        self.requests.append(request)
        lie = self._lie(operation, request)
        if lie is None:
            lie = self.right(operation)
        return [lie] if isinstance(lie, bytes) else lie

    def right(self, operation: str) -> bytes:
        """What an honest camera says."""
        return soap_answer(
            {
                "GetSystemDateAndTime": onvif_answers.system_date_and_time(SystemClock().utc_us()),
                "GetDeviceInformation": onvif_answers.device_information(_PLAN),
                "GetCapabilities": onvif_answers.capabilities(f"http://{self.address}"),
                "GetProfiles": onvif_answers.profiles(_PLAN, _MEDIA),
                "GetStreamUri": onvif_answers.stream_uri("rtsp://127.0.0.1:554/main"),
            }[operation]
        )

    def silence(self) -> Iterable[bytes]:
        """Says nothing until the test is over."""
        self.over.wait(30)
        yield b""

    def drip(self, head: bytes) -> Iterable[bytes]:
        """Begins, then a byte each 50 ms, for ever."""
        yield head
        while not self.over.wait(0.05):
            yield b" "

    def __enter__(self) -> SoapPeer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
