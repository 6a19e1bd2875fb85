"""Every command of the documents is run: ``xueliang`` here, on a recording site; the system's own
(``sh root``, ``sh disk``) in the drill (tests.drill), which this test holds them against."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edge.cli import main
from edge.demo.plan import CameraPlan, StreamPlan
from retention.forecast import needed_bytes
from tests.drill.documents import blocks, commands, inline
from tests.support.box import XUELIANG, Box, BoxCamera
from tests.support.cameras import demo_process

pytestmark = pytest.mark.integration

DOCS = Path(__file__).parents[2] / "docs"
#: These tell of what is wrong with a site, and of a demo's site there is something.
FINDING = {
    "diagnose",
    "alarms",
    "camera",
    "discover",
    "accept",
    "check",
    "plan",
    "self-check",
    "status",
    "completeness",
    "report",
}
FULL = os.environ.get("XUELIANG_FAULTS") == "full"
FROM = r"--from \S+ --to \S+"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("documents")
    plan = CameraPlan(id="gate", stream=StreamPlan(width=320, height=192), password="Gate-2026-x")
    with demo_process(plan) as site:
        source = f'onvif = "{site["gate"].onvif}"\ngb_id = "36010200001320000001"'
        made = Box(
            folder=folder / "box",
            cameras=[BoxCamera(id="gate-exit", source=source, password="Gate-2026-x")],
            segment_seconds=2,
        )
        made.write_config()
        made.start()
        try:
            made.wait_recording()
            time.sleep(4)
            yield made
        finally:
            made.stop()


def test_the_guides_say_the_same_commands_in_both_languages() -> None:
    chinese, english = ((DOCS / f"integrator.{one}.md").read_text() for one in ("zh", "en"))
    assert list(blocks(chinese)) == list(blocks(english))


def test_links_lead_somewhere() -> None:
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), (page.name, target)


def test_the_sizing_table_is_what_plan_says() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| ([0-9.]+) \| ([0-9.]+) \| ([0-9.]+) \| ([0-9.]+) \|$",
                      (DOCS / "sizing.md").read_text())  # fmt: skip
    assert len(rows) >= 6
    for cameras, *cells in rows:
        for mbps, cell in zip((2, 4, 6, 8), cells, strict=True):
            assert f"{needed_bytes(int(cameras), mbps * 1e6, 97) / 1e12:.1f}" == cell


def test_commands_are_those_of_the_program() -> None:
    """Names, arguments and options; what they do is seen when they are run."""
    for page in DOCS.glob("*.md"):
        for line in commands(page.read_text(), ""):
            name, *words = shlex.split(line)
            assert name == "xueliang", line
            command: click.Command = main
            while isinstance(command, click.Group):
                command = command.commands[words.pop(0)]
            command.make_context(line, words)  # raises for what is not understood


def test_commands_within_sentences_are_those_of_the_program() -> None:
    """Names and options, without the values that stand there for a person."""
    for page in DOCS.glob("*.md"):
        for line in inline(page.read_text()):
            name, *words = line.split()
            command: click.Command = main
            while name == "xueliang" and words:
                word = words.pop(0)
                if isinstance(command, click.Group):
                    command = command.commands[word]
                elif word.startswith("-"):
                    known = [one for option in command.params for one in option.opts]
                    assert word in known, (page.name, line)


@pytest.mark.skipif(not FULL, reason="runs every command: make faults")
@pytest.mark.timeout(600)
def test_commands_run(box: Box, tmp_path: Path) -> None:
    """Each distinct line once, in the order of the pages."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse")
    passphrase.chmod(0o600)
    pages = [page.read_text() for page in sorted(DOCS.glob("*.md"))]
    lines = dict.fromkeys(line for page in pages for line in commands(page, ""))
    assert len(lines) > 25
    zone = "+%Y-%m-%dT%H:%M:%SZ"
    for line in lines:
        assert line.startswith("xueliang "), line
        now = time.time()
        ends = [
            subprocess.run(
                ["date", "-u", f"-d@{at:.0f}", zone], capture_output=True, text=True
            ).stdout.strip()
            for at in (now - 6, now - 2)
        ]
        line = re.sub(FROM, f"--from {ends[0]} --to {ends[1]}", line)
        line = line.replace("/media/usb", str(tmp_path))
        words = shlex.split(line)[1:]
        given = [] if words[0] == "verify" and "--camera" not in words else ["-c", str(box.config)]
        done = subprocess.run(
            [*XUELIANG, *words, *given], capture_output=True, text=True, timeout=120
        )
        wanted = {0, 1} if words[0] in FINDING else {0}
        assert done.returncode in wanted, (line, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, (line, done.stderr)
        assert done.stdout, line
