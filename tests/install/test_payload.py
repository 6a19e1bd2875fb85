"""What the package carries beside the program."""

from __future__ import annotations

import json
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from distribution import bill
from distribution.payload import DOCUMENTS, SOURCE, lay_out
from edge.cli import main

MADE_S = 1_760_000_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("payload") / "root"
    lay_out(made, "1.2.3", MADE_S, list(distributions()))
    return made


def test_everything_is_where_debian_looks_for_it(root: Path) -> None:
    for path in (
        "usr/lib/systemd/system/xueliang.target",
        "usr/lib/systemd/system/xueliang-edge.service",
        "usr/lib/systemd/system-generators/xueliang-generator",
        "usr/lib/sysusers.d/xueliang-edge.conf",
        "usr/lib/tmpfiles.d/xueliang-edge.conf",
        "usr/lib/xueliang-edge/rescue",
        "usr/share/bash-completion/completions/xueliang",
        "usr/share/man/man5/xueliang.toml.5.gz",
        f"{DOCUMENTS}/examples/xueliang.toml",
        f"{DOCUMENTS}/copyright",
    ):
        assert (root / path).is_file(), path
    pages = {path.name for path in (root / "usr/share/man/man1").iterdir()}
    for name in main.commands:
        assert f"xueliang-{name}.1.gz" in pages


def test_two_layouts_are_the_same(root: Path, tmp_path: Path) -> None:
    again = tmp_path / "root"
    lay_out(again, "1.2.3", MADE_S, list(distributions()))
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    assert files
    for path in files:
        other = again / path.relative_to(root)
        assert path.read_bytes() == other.read_bytes(), path
        assert path.stat().st_mode == other.stat().st_mode, path


def test_the_scripts_are_shell(root: Path) -> None:
    scripts = [
        *(SOURCE / "distribution/debian").glob("p*"),
        *(SOURCE / "distribution/programs").iterdir(),
    ]
    assert len(scripts) >= 7
    for script in scripts:
        subprocess.run(["sh", "-n", str(script)], check=True)


def test_completion_speaks_bash(root: Path) -> None:
    script = root / "usr/share/bash-completion/completions/xueliang"
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_bill_names_every_pin_with_its_hashes(root: Path) -> None:
    document = json.loads((root / DOCUMENTS / "sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    found = {one["name"]: one for one in document["components"]}
    lock = (SOURCE / "requirements.txt").read_text()
    pins = {
        line.split("==")[0]: line.split("==")[1].split()[0]
        for line in lock.splitlines()
        if "==" in line and not line.startswith((" ", "#"))
    }
    assert {name: one["version"] for name, one in found.items()} == pins
    assert all(one["hashes"] for one in found.values())
    carried = {one["name"] for one in found["av"]["components"]}
    assert any("x264" in name for name in carried)  # what the notice speaks of
    assert "GNU General Public License" in (root / DOCUMENTS / "copyright").read_text()


def test_a_lock_without_hashes_is_read_as_it_stands() -> None:
    assert bill.pinned("a==1 \\\n    --hash=sha256:" + "0" * 64 + "\nB-c==2\n") == {
        "a": ("1", ["0" * 64]),
        "b-c": ("2", []),
    }


def test_modules_of_the_package_are_those_of_the_project() -> None:
    from distribution.deb import MODULES

    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in include} == set(MODULES)
