"""The process that looks: ``python -m edge.diagnose.child``, started by the service. Shell.

It alone reads index and footage and runs the decoder, so whatever a broken file or a dead disk does
costs one check. Lines of JSON on standard input: the first says ``index`` and ``volumes``, each
following one ``camera``, ``until_us``, ``seen_us``; the end of it is the end of this process. On
standard output for each request ``{"decoding": instant}`` once the footage is there, and then what
came of it (:mod:`edge.diagnose.wire`). No picture leaves this process.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from config import log as logging_setup
from config.errors import XueliangError
from edge.diagnose.decoder import Undecodable, decode
from edge.diagnose.defects import Failure
from edge.diagnose.footage import Pieces, pieces_of
from edge.diagnose.measures import Look, measure
from edge.diagnose.pictures import picture_of
from edge.diagnose.wire import Looked, looked_json
from retention.read import Store

#: Address space: a decoder that wants more gets an error, and this process ends of it.
MEMORY_BYTES_MAX = 2 * 2**30
#: CPU seconds of one check; a check of a 4K camera takes two.
CPU_S_MAX = 20
#: Close pictures of a check, and which of the camera's these are.
CLOSE_COUNT, CLOSE_STEP = 6, 2


def main() -> None:
    logging_setup.set_up()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold pictures
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the service
    # whatever the decoder's libraries print must not come between the lines
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    begin = json.loads(sys.stdin.readline())
    child = _Child(Path(begin["index"]), [Path(path) for path in begin["volumes"]])
    for line in sys.stdin:
        request = json.loads(line)
        began_s = cpu_seconds()
        limit_s = int(began_s) + CPU_S_MAX
        resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.RLIM_INFINITY))  # SIGXCPU
        looked = child.look(request, lambda at_us: _say(out, {"decoding": at_us}))
        told = looked_json(looked)
        told["cpu_seconds"] = round(cpu_seconds() - began_s, 4)
        _say(out, told)


def _say(out: Any, document: dict[str, Any]) -> None:
    out.write(json.dumps(document) + "\n")
    out.flush()


def cpu_seconds() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class _Child:
    def __init__(self, index_path: Path, volumes: list[Path]) -> None:
        self._index_path = index_path
        self._volumes = volumes
        self._store: Store | None = None

    def look(self, request: dict[str, Any], decoding: Any) -> Looked:
        camera, until_us = str(request["camera"]), int(request["until_us"])
        try:
            if self._store is None:
                self._store = Store(self._index_path, self._volumes)
            found = pieces_of(self._store, camera, until_us, int(request["seen_us"]))
        except XueliangError as error:
            if self._store is not None:
                self._store.close()
            self._store = None
            return Looked(failure=Failure.UNREADABLE, detail=error.sentence())
        if isinstance(found, Failure):
            return Looked(failure=found)
        decoding(found.footage_us)
        return look_at(found)


def look_at(pieces: Pieces) -> Looked:
    """Decode and measure; the pictures are given up."""
    try:
        pictures, errors = decode(pieces.close, CLOSE_COUNT, CLOSE_STEP)
    except Undecodable as error:
        return Looked(footage_us=pieces.footage_us, failure=Failure.UNDECODABLE, detail=str(error))
    earlier = None
    if pieces.earlier is not None:
        try:
            before, more = decode(pieces.earlier, 1, 1)
        except Undecodable:
            before, more = [], 1
        errors += more
        earlier = picture_of(before[0]) if before else None
    close = [picture_of(one) for one in pictures if one.shape == pictures[0].shape]
    if earlier is not None and earlier.grey.shape != close[0].grey.shape:
        earlier = None
    look = Look(close=close, earlier=earlier, decoder_errors=errors)
    return Looked(footage_us=pieces.footage_us, measures=measure(look))


if __name__ == "__main__":
    main()
