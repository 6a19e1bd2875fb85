"""``python -m edge.demo``: demo cameras in a process of their own.

Prints one JSON line that introduces the cameras (addresses, passwords), then plays until SIGTERM
or SIGINT. With ``--control``, commands are read from stdin (see edge.demo.script) and the end of
stdin ends the process, so that no camera outlives the one who started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence

from edge.demo import plan_json, script
from edge.demo.discovery import PORT
from edge.demo.plan import CameraPlan
from edge.demo.site import DemoSite, demo_plans
from retention.clock import SystemClock

_LINE_BYTES_MAX = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m edge.demo", description=__doc__)
    parser.add_argument("--cameras", type=int, default=4, help="how many, as in xueliang demo")
    parser.add_argument("--loop-seconds", type=int, help="loop this long a recording: cheap")
    parser.add_argument(
        "--plans", action="store_true", help="read plans (JSON) from stdin's line 1"
    )
    parser.add_argument("--control", action="store_true", help="read commands from stdin")
    parser.add_argument(
        "--discoverable", action="store_true", help="answer WS-Discovery on loopback"
    )
    parser.add_argument("--discovery-port", type=int, default=PORT, help="for tests: not 3702")
    given = parser.parse_args(arguments)
    if given.plans:
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as raw:
            plans = plan_json.from_json(raw.readline().decode())  # not a byte of the commands
    else:
        plans = demo_plans(given.cameras, loop_seconds=given.loop_seconds)
    port = given.discovery_port if given.discoverable else None
    asyncio.run(_play(plans, port, is_controlled=given.control))


async def _play(
    plans: Sequence[CameraPlan], discovery_port: int | None, *, is_controlled: bool
) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    async with DemoSite(plans, SystemClock(), discovery_port) as site, asyncio.TaskGroup() as group:
        _say(script.introduce(site))
        obeying = group.create_task(_obey(site, over)) if is_controlled else None
        await over.wait()
        if obeying is not None:
            obeying.cancel()


async def _obey(site: DemoSite, over: asyncio.Event) -> None:
    """Commands until the end of stdin."""
    reader = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            _say(await script.perform(site, line))
    finally:
        transport.close()
        over.set()


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
