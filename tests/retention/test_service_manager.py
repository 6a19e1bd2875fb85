"""What reaches the service manager's socket (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retention.progress import Progress
from retention.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def told(listener: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(listener.recv(4096).decode())
        except BlockingIOError:
            return found


def test_it_is_told_ready_progress_and_stopping(manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": str(manager.getsockname()), "WATCHDOG_USEC": "1", "HOME": "/"}
    with closing(ServiceManager(environment)) as service:
        assert environment == {"HOME": "/"}  # no child speaks for the service
        service.ready()
        service.feed(Progress({"loop": 10}, now_us=0), now_us=10)
        service.stopping()
    assert told(manager) == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_a_part_that_stands_still_starves_the_watchdog(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress({"loop": 10, "thread": 10}, now_us=0)
    progress.beat("loop", 20)
    with closing(ServiceManager({"NOTIFY_SOCKET": str(manager.getsockname())})) as service:
        service.feed(progress, now_us=20)
        service.feed(progress, now_us=21)
        assert told(manager) == []
        assert [record.message for record in caplog.records] == ["no_progress"]
        progress.beat("thread", 22)
        service.feed(progress, now_us=22)
        assert told(manager) == ["WATCHDOG=1"]


def test_an_abstract_socket_is_found_and_none_at_all_is_no_fault() -> None:
    name = f"xueliang-{id(object())}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        with closing(ServiceManager({"NOTIFY_SOCKET": f"@{name}"})) as service:
            service.ready()
        assert listener.recv(100) == b"READY=1"
    ServiceManager({}).ready()
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/notify"}).ready()
