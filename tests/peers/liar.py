"""A raw TCP peer that accepts, says what it was given, and then hangs, closes or goes on."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Liar:
    """Answers each connection's requests with ``answers`` in turn; then ``closes`` or stays silent.

    ``{cseq}`` in an answer becomes the request's CSeq. ``requests`` keeps what it was asked.
    """

    def __init__(self, *answers: bytes, closes: bool = False) -> None:
        self._answers = answers
        self._closes = closes
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._peers: list[socket.socket] = []
        self.requests: list[bytes] = []

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/live"

    def __enter__(self) -> Liar:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for end in (self._listener, *self._peers):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()
        for end in (self._listener, *self._peers):
            end.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for answer in self._answers:
                request = peer.recv(4096)
                if not request:
                    return
                self.requests.append(request)
                cseq = request.partition(b"CSeq: ")[2].partition(b"\r\n")[0]
                peer.sendall(answer.replace(b"{cseq}", cseq))
            if self._closes:
                peer.shutdown(socket.SHUT_RDWR)
            else:
                while request := peer.recv(4096):
                    self.requests.append(request)
