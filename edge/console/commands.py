"""Commands of ``xueliang`` that the console has run for it, each a process of its own. Shell.

What plans and reports needs parts that this service must not be able to reach (the import law), and
time that pages should not wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import Any

from config.errors import Retry, XueliangError
from edge.console.parts import Parts

#: 0 done, 1 a finding: both tell a document.
_TOLD = (0, 1)
ERROR_CHARACTERS_MAX = 500


class CommandFailed(XueliangError):
    """The command told no document."""

    code = "command_failed"


async def run_command(parts: Parts, *arguments: str, timeout_s: float = 60.0) -> Any:
    """What ``xueliang ARGUMENTS --json`` tells, on the console's settings; at low priority.

    Raises:
        CommandFailed: it failed, or took longer than ``timeout_s``.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edge.cli",
        *arguments,
        "--json",
        "-c",
        str(parts.config_path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_step_back,
    )
    try:
        async with asyncio.timeout(timeout_s):
            told, said = await process.communicate()
    except TimeoutError:
        raise CommandFailed(
            f"{arguments[0]} takes longer than {timeout_s:.0f} s", hint="try again later"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode not in _TOLD or not told:
        reason = said.decode(errors="replace").strip()[-ERROR_CHARACTERS_MAX:]
        raise CommandFailed(f"{arguments[0]} failed: {reason}", retry=Retry.LATER)
    return json.loads(told)


def _step_back() -> None:
    """In the child: recording comes first."""
    os.nice(10)
