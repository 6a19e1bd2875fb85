"""Settings read again while a service runs (SIGHUP, or a file put in the place of the old). Shell.

A bad file leaves the old settings in force; what only a restart changes stays as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from config.load import ConfigError, load
from config.schema import Settings

log = logging.getLogger(__name__)


def read_again(path: Path) -> Settings:
    """Blocks. Raises :class:`ConfigError`, which the log then has, sentence by sentence."""
    try:
        return load(path)
    except ConfigError as error:
        for problem in error.problems:
            log.error("settings_refused", extra={"problem": problem.sentence()})
        raise


def with_kept(fresh: Settings, old: Settings, keys: Iterable[str]) -> Settings:
    """``fresh``, but the tables ``keys`` as of ``old``; the log tells which differ."""
    for key in keys:
        if getattr(fresh, key) != getattr(old, key):
            log.warning("settings_need_restart", extra={"key": key})
            fresh = fresh.model_copy(update={key: getattr(old, key)})
    return fresh
