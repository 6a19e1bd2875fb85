"""The process that scrubs: ``python -m retention.scrub_child``, started by ``edge``. Shell.

Lines of JSON on standard input: the first one says ``index``, ``volumes`` and ``days``, later ones
new ``days``; its end is the end of this process, hard, since a thread may hang on its disk. Lines
on standard output: one for each segment that was reread (retention.scrub.Scrubbed).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from config import log as logging_setup
from retention.clock import SystemClock
from retention.scrub import Scrubbed, Scrubber

#: Of the end of a round's place being written down.
STOP_S = 1.0


class _Pace:
    days = 30.0


def main() -> None:
    logging_setup.set_up()
    begin = json.loads(sys.stdin.readline())
    pace = _Pace()
    pace.days = float(begin["days"])
    lock = threading.Lock()

    def report(one: Scrubbed) -> None:
        line = json.dumps(asdict(one)) + "\n"
        with lock:
            sys.stdout.write(line)
            sys.stdout.flush()

    scrubbers = [
        Scrubber(
            index_path=Path(begin["index"]),
            root=Path(root),
            days=lambda: pace.days,
            report=report,
            clock=SystemClock(),
        )
        for root in begin["volumes"]
    ]
    for scrubber in scrubbers:
        scrubber.start()
    for line in sys.stdin:
        pace.days = float(json.loads(line)["days"])
    for scrubber in scrubbers:
        scrubber.ask_to_stop()
    for scrubber in scrubbers:
        scrubber.stop(STOP_S / len(scrubbers))
    os._exit(0)


if __name__ == "__main__":
    main()
