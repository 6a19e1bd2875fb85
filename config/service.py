"""The command line of a service started as a module, ``python -m SERVICE -c FILE``. Shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from config.errors import XueliangError
from config.load import ConfigError


def serve(name: str, description: str, run: Callable[[Path], None]) -> int:
    """Runs the service in the foreground, as ``xueliang run`` starts it.

    Returns:
        0 stopped, 1 a failure, 2 bad settings, as of ``xueliang``.
    """
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("-c", "--config", type=Path, default=Path("/etc/xueliang/xueliang.toml"))
    arguments = parser.parse_args()
    try:
        run(arguments.config)
    except ConfigError as error:
        for problem in error.problems:
            print(problem.sentence(), file=sys.stderr)  # noqa: T201 - the command line's voice
        return 2
    except XueliangError as error:
        print(error.sentence(), file=sys.stderr)  # noqa: T201
        return 1
    return 0
