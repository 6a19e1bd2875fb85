"""The control socket: one answer a request, refusals in words, nothing for strangers."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from config.errors import XueliangError
from edge import control


async def _echo(arguments: dict[str, Any]) -> Any:
    return arguments


async def _refuse(_arguments: dict[str, Any]) -> Any:
    raise XueliangError("not now", hint="wait")


async def ask(folder: Path, command: str, **arguments: Any) -> Any:
    server = await control.serve(folder, {"echo": _echo, "refuse": _refuse})
    try:
        mode = (folder / control.SOCKET_NAME).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
        return await asyncio.to_thread(control.ask, folder, command, **arguments)
    finally:
        server.close()
        await server.wait_closed()


def test_a_command_is_answered(tmp_path: Path) -> None:
    assert asyncio.run(ask(tmp_path, "echo", camera="人行出口")) == {"camera": "人行出口"}


@pytest.mark.parametrize(("command", "said"), [("refuse", "not now"), ("nonsense", "unknown")])
def test_a_refusal_is_told_in_words(tmp_path: Path, command: str, said: str) -> None:
    with pytest.raises(control.ControlRefused, match=said):
        asyncio.run(ask(tmp_path, command))


def test_where_no_edge_runs_the_mend_is_told(tmp_path: Path) -> None:
    with pytest.raises(control.ControlUnavailable) as caught:
        control.ask(tmp_path, "echo")
    assert "xueliang run edge" in caught.value.hint


def test_garbage_is_answered_and_the_next_request_too(tmp_path: Path) -> None:
    async def talk() -> list[bytes]:
        server = await control.serve(tmp_path, {"echo": _echo})
        reader, writer = await asyncio.open_unix_connection(tmp_path / control.SOCKET_NAME)
        lines = []
        for request in (b"\x00\xff\n", b"[]\n", b'"x"\n', b'{"command": "echo"}\n'):
            writer.write(request)
            lines.append(await reader.readline())
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return lines

    answers = asyncio.run(talk())
    assert all(b"unknown command" in line for line in answers[:3])
    assert answers[3] == b'{"result": {}}\n'
