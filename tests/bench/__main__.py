"""``make bench``: every benchmark, each beside its peer, in one run; or those named."""

import sys

from tests.bench import (
    console,
    diagnose,
    faults,
    media,
    recordinfo,
    recording,
    scale,
    sweep,
    writers,
)

BENCHMARKS = {
    "recording": recording.main,
    "writers": writers.main,
    "scale": scale.main,
    "recordinfo": recordinfo.main,
    "sweep": sweep.main,
    "media": media.main,
    "diagnose": diagnose.main,
    "faults": faults.main,
    "console": console.main,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"== {name}", flush=True)
        BENCHMARKS[name]()
