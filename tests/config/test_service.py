"""A service started as a module tells its troubles in sentences, by exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SERVICES = ("uplink", "edge.console", "edge.diagnose")


@pytest.mark.parametrize("service", SERVICES)
def test_settings_that_are_not_there_are_told_in_one_sentence(service: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", service, "-c", str(tmp_path / "no.toml")]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 2
    assert told.stderr == (
        f"{tmp_path}/no.toml: the settings file does not exist; name one with --config\n"
    )
