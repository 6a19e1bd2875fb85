"""The terminal wizard, on a terminal: wrong answers are told at once, and asked for again."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.load import load
from config.secrets import read_secret
from edge.terminal_text import WIDTH, columns
from retention.stamp import read_stamp
from tests.support.box import XUELIANG

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0


class Person:
    """At a terminal of 80 columns."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._unread = ""
        self.screen = ""

    def answers(self, prompt: str, text: str) -> None:
        """Once the prompt stands at the end of the screen."""
        self._until(lambda: prompt in self._unread and self._unread.endswith((": ", "]: ")))
        self._unread = ""
        os.write(self._terminal, text.encode() + b"\n")

    def reads_on(self) -> str:
        """To the end."""
        self._until(lambda: False)
        return self._unread

    def _until(self, fact: object) -> None:
        assert callable(fact)
        deadline = time.monotonic() + PATIENCE_S
        while not fact():
            assert time.monotonic() < deadline, self.screen
            if not select.select([self._terminal], [], [], 0.5)[0]:
                continue
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # the other side is gone
                data = b""
            if not data:
                break
            text = data.decode().replace("\r\n", "\n")
            self._unread += text
            self.screen += text


@contextmanager
def at_terminal(arguments: list[str]) -> Iterator[tuple[Person, int]]:
    with warnings.catch_warnings():  # Python 3.12 warns of threads; the child is replaced at once
        warnings.simplefilter("ignore", DeprecationWarning)
        child, terminal = pty.fork()
        if child == 0:
            os.execvp(arguments[0], arguments)
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
        yield Person(terminal), child
    finally:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(terminal)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_from_the_first_question_to_settings_that_work(tmp_path: Path) -> None:
    config, disk = tmp_path / "etc/xueliang.toml", tmp_path / "disk"
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "holiday.jpg").write_text("photo")
    state = tmp_path / "state"
    arguments = [*XUELIANG, "setup", "-c", str(config)]
    with at_terminal(arguments) as (person, child):
        person.answers("机构名称", "")
        person.answers("机构名称", "阳光托育中心")
        person.answers("录像盘", str(taken))
        person.answers("状态文件夹", str(state))
        person.answers("机构名称 name of the site [阳光托育中心]", "")
        assert "no footage of ours" in person.screen
        person.answers("录像盘", f"{disk}/a，{disk}/b")
        person.answers("状态文件夹", "")
        person.answers("添加摄像机", "y")
        person.answers("编号", "Gate Exit")
        person.answers("名称", "人行出口")
        person.answers("用途", "camera")
        person.answers("用途", "face")
        person.answers("地址", "192.0.2.10")
        person.answers("国标编码", "123")
        person.answers("用户名", "recorder")
        person.answers("密码", "Gate-Exit-1 雪 ")
        person.answers("编号 id, as in gate-exit [Gate Exit]", "gate-exit")
        for fault in ("no id", "no host:port", "no national code"):
            assert fault in person.screen
        person.answers("名称", "")
        person.answers("用途", "")
        person.answers("地址", "192.0.2.10:80")
        person.answers("国标编码", "36010200001320000001")
        person.answers("用户名", "")
        person.answers("密码", "")
        person.answers("添加摄像机", "yes")
        person.answers("编号", "")
        person.answers("名称", "门厅")
        person.answers("用途", "")
        person.answers("地址", "rtsp://192.0.2.11/main")
        person.answers("国标编码", "")
        person.answers("用户名", "")
        person.answers("添加摄像机", "n")
        person.answers("接入公安平台", "y")
        person.answers("平台名称", "东湖公安")
        person.answers("依据文号", "东府办发〔2020〕160号")
        person.answers("平台地址", "192.0.2.200:5060")
        person.answers("平台编码", "36010200002000000001")
        person.answers("域 domain, 10 digits [3601020000]", "")
        person.answers("本机编码", "36010200001180000001")
        person.answers("预留联网接口", "eth1")
        person.answers("密码", "Platform-1")
        person.answers("地址", "8443")
        person.answers("地址", "127.0.0.1:8443")
        assert not config.exists()
        assert not disk.exists()
        person.answers("写入", "")
        last = person.reads_on()
        assert ended(child) == 0, person.screen
    assert "Gate-Exit-1" not in person.screen
    assert "Platform-1" not in person.screen
    long = [line for line in person.screen.splitlines() if columns(line) > WIDTH]
    assert all(str(tmp_path) in line for line in long), long  # this test's folder is a long word
    assert re.search(r"初始密码.*: \S{8,}", last)
    assert f"xueliang check -c {config}" in last
    settings = load(config)
    gate, hall = settings.camera
    assert gate.password_file is not None
    assert read_secret(gate.password_file).reveal() == "Gate-Exit-1 雪 "
    assert (gate.id, gate.role, str(gate.onvif)) == ("gate-exit", "face", "192.0.2.10:80")
    assert (gate.expose, hall.expose) == (True, False)
    assert (hall.id, hall.role, hall.rtsp) == ("camera-2", "general", "rtsp://192.0.2.11/main")
    [platform] = settings.platform
    assert (platform.domain, platform.interface) == ("3601020000", "eth1")
    assert read_secret(platform.password_file).reveal() == "Platform-1"
    assert len({read_stamp(disk / name)[0] for name in ("a", "b")}) == 2
    assert [one.name for one in taken.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("way", ["no", "ctrl-c"])
def test_who_gives_up_leaves_nothing(tmp_path: Path, way: str) -> None:
    config = tmp_path / "etc/xueliang.toml"
    with at_terminal([*XUELIANG, "setup", "-c", str(config)]) as (person, child):
        person.answers("机构名称", "阳光")
        person.answers("录像盘", str(tmp_path / "disk"))
        person.answers("状态文件夹", str(tmp_path / "state"))
        person.answers("添加摄像机", "n")
        person.answers("接入公安平台", "n")
        person.answers("地址", "")
        person.answers("写入", "n" if way == "no" else "\x03")
        person.reads_on()
        assert ended(child) == 1
    assert list(tmp_path.iterdir()) == []
