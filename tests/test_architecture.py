"""The shape of the project: what the import linter does not see."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("config", "edge", "retention", "uplink")
CORES = (
    "retention.model",
    "retention.nal",
    "retention.timebase",
    "retention.segmenter",
    "retention.timeline",
    "retention.audit_chain",
    "retention.framing",
    "retention.digest",
    "retention.mp4.mux",
    "retention.mp4.scan",
    "edge.camera.session",
    "edge.gaps",
    "edge.diagnose.gating",
    "edge.diagnose.report",
    "edge.diagnose.schedule",
)
SHELL_MODULES = {"av", "asyncio", "socket", "sqlite3", "threading", "subprocess", "pydantic"}


def test_packages_export_nothing() -> None:
    """A re-export in a package drags shells into cores."""
    full = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
        if path.read_text().strip()
    ]
    assert full == []


@pytest.mark.parametrize("core", CORES)
def test_a_core_loads_no_shell(core: str) -> None:
    """The import law holds at run time, too."""
    code = (
        "import sys, zoneinfo; before = set(sys.modules);"  # Python 3.13's loads threading
        f" import {core}; print(*set(sys.modules) - before)"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert SHELL_MODULES & set(result.stdout.split()) == set()


def test_documents_name_every_command() -> None:
    from edge.cli import main

    readme = (ROOT / "README.md").read_text()
    missing = [name for name in main.commands if f"xueliang {name}" not in readme]
    assert missing == []


def test_every_metric_has_the_projects_prefix_and_a_unit() -> None:
    text = (ROOT / "edge" / "metrics.py").read_text()
    names = set(re.findall(r'"(nvr_[a-z0-9_]+)"', text))
    assert len(names) > 30
    allowed = re.compile(
        r"nvr_.*(_total|_seconds|_bytes|_ratio|_info|_state|_up|_active|_success|_synchronized"
        r"|_segments|_ok|_results|holds|_celsius|_attribute|_trusted)"
    )
    assert [name for name in names if not allowed.fullmatch(name)] == []


#: Who takes names away, and of what. Footage goes by ``Volume.remove`` alone, which nobody but
#: ``retention.deletions`` calls; ``discard`` is for files that never held anything durable.
REMOVERS = {
    "retention/volume.py": "footage, and empty folders",
    "retention/audit.py": "old parts of audit logs",
    "retention/stamp.py": "the stamp, put in place",
    "retention/reindex.py": "an index, set aside",
    "retention/export.py": "an export half made",
    "retention/scrub.py": "its own progress",
    "retention/whole_file.py": "a small file, put in place",
    "retention/waiting.py": "what the witness and the webhook were told",
}


def test_nothing_else_takes_footage_away() -> None:
    """No call that removes or renames a file, but in the places that are known."""
    removing = re.compile(
        r"\b(?:os\.(?:unlink|remove|removedirs|rmdir|rename|renames|replace|truncate)"
        r"|shutil\.(?:rmtree|move)|rmtree)\(|\.(?:unlink|rmdir)\("
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("config", "retention")
        for path in (ROOT / package).rglob("*.py")
        if removing.search(path.read_text())
    }
    assert found <= set(REMOVERS), "who removes what? see REMOVERS"
    callers = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"[vV]olume\.remove\(", path.read_text())
    }
    assert callers == {"retention/deletions.py"}
