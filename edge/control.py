"""The local control socket of ``edge``: one JSON request a line, one JSON answer a line.

Shell. The socket is a file in the state folder, mode 0600: who may open it is decided by the file
system. On an installed box the console may, too, by a group that it shares with ``edge`` alone.
Answers hold no secret; the only one that a request may hold is a camera's password
(edge.setup_desk).
"""

from __future__ import annotations

import asyncio
import grp
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from config.errors import Retry, XueliangError

REQUEST_BYTES_MAX = 64 * 1024
REPLY_BYTES_MAX = 16 * 1024 * 1024
SOCKET_NAME = "edge.sock"
#: Orders to cameras (edge.orders), for the other services of the box.
ORDERS_SOCKET_NAME = "orders.sock"
#: Who may give orders to ``edge`` beside its own user and root (systemd/sysusers.d).
GROUP = "xueliang-control"

#: What a command gets (its arguments) and gives (a JSON-able answer).
Command = Callable[[dict[str, Any]], Awaitable[Any]]

log = logging.getLogger(__name__)


class ControlUnavailable(XueliangError):
    """No ``edge`` answers on the control socket."""

    code = "control_unavailable"


async def serve(
    state_dir: Path,
    commands: dict[str, Command],
    *,
    name: str = SOCKET_NAME,
    is_shared: bool = False,
) -> asyncio.AbstractServer:
    """Listen on the socket; close the returned server to stop.

    Args:
        is_shared: the folder's group may connect, too.
    """
    path = state_dir / name
    path.unlink(missing_ok=True)
    old_mask = os.umask(0o117 if is_shared else 0o177)
    try:
        server = await asyncio.start_unix_server(
            lambda reader, writer: _answer_all(reader, writer, commands),
            path=path,
            limit=REQUEST_BYTES_MAX,
        )
    finally:
        os.umask(old_mask)
    if not is_shared:
        _open_to_group(path)
    return server


def _open_to_group(path: Path) -> None:
    """Let :data:`GROUP` connect, where there is such a group and this process is of it."""
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return
    if group in os.getgroups():
        os.chown(path, -1, group)
        path.chmod(0o660)


async def _answer_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: dict[str, Command]
) -> None:
    try:
        while line := await reader.readline():
            writer.write(json.dumps(await _answer(line, commands)).encode() + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError) as error:  # ValueError: a line over the limit
        log.warning("control_request_refused", extra={"fields": {"error": type(error).__name__}})
    finally:
        writer.close()


async def _answer(line: bytes, commands: dict[str, Command]) -> dict[str, Any]:
    try:
        request = json.loads(line)
        command = commands[request.pop("command")]
    except (ValueError, KeyError, AttributeError, TypeError):
        return {"error": "unknown command", "hint": f"known: {', '.join(sorted(commands))}"}
    try:
        return {"result": await command(request)}
    except XueliangError as error:
        return {"error": str(error), "hint": error.hint}


def ask(
    state_dir: Path,
    command: str,
    *,
    timeout_s: float = 5.0,
    socket_name: str = SOCKET_NAME,
    **arguments: Any,
) -> Any:
    """Send one command to the running ``edge`` and return its answer.

    Raises:
        ControlUnavailable: nothing listens, or it did not answer within ``timeout_s``.
        ControlRefused: the command was understood and refused.
    """
    path = state_dir / socket_name
    reply = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(os.fspath(path))
            connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            while not reply.endswith(b"\n"):
                piece = connection.recv(65536)
                if not piece or len(reply) > REPLY_BYTES_MAX:
                    raise ConnectionError("the answer was cut short")
                reply += piece
    except OSError as error:
        raise ControlUnavailable(
            f"edge does not answer on {path} ({error.strerror or error})",
            hint="start it with 'xueliang run edge', as the user that owns the state folder",
            retry=Retry.LATER,
        ) from error
    answer = json.loads(reply)
    if "error" in answer:
        raise ControlRefused(answer["error"], hint=answer.get("hint", ""))
    return answer["result"]


class ControlRefused(XueliangError):
    """``edge`` understood the command and refused it."""

    code = "control_refused"
