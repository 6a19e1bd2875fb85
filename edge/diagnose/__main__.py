"""``python -m edge.diagnose -c FILE``: the service, as ``xueliang run diagnose`` starts it. Shell.

Exit 0 stopped, 1 a failure, 2 bad settings, as of ``xueliang``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from config.errors import XueliangError
from config.load import ConfigError
from edge.diagnose.service import run_diagnose


def main() -> int:
    parser = argparse.ArgumentParser(prog="diagnose", description="picture diagnosis service")
    parser.add_argument("-c", "--config", type=Path, default=Path("/etc/xueliang/xueliang.toml"))
    arguments = parser.parse_args()
    try:
        run_diagnose(arguments.config)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)  # noqa: T201 - the command line's voice
        return 2
    except XueliangError as error:
        print(error.sentence(), file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
