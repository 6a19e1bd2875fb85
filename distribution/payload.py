"""Every file of the package but the program itself, laid out below a root folder. Shell."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from importlib.metadata import Distribution
from pathlib import Path

from distribution import bill, manual

SOURCE = Path(__file__).resolve().parents[1]
LIBRARY = "usr/lib/xueliang-edge"
DOCUMENTS = "usr/share/doc/xueliang-edge"
PACKAGE = "xueliang-edge"


def lay_out(root: Path, version: str, made_s: int, installed: Sequence[Distribution]) -> None:
    """Write units, scripts, manual pages, completion, examples, bill and notices."""
    from edge.cli import main

    _tree(SOURCE / "systemd/system", root / "usr/lib/systemd/system")
    _tree(SOURCE / "systemd/sysusers.d", root / "usr/lib/sysusers.d")
    _tree(SOURCE / "systemd/tmpfiles.d", root / "usr/lib/tmpfiles.d")
    for program in sorted((SOURCE / "distribution/programs").iterdir()):
        target = root / LIBRARY / program.name
        if program.name == "xueliang-generator":
            target = root / "usr/lib/systemd/system-generators" / program.name
        _copy(program, target, 0o755)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/xueliang").symlink_to("../lib/xueliang-edge/current/bin/xueliang")
    for name, text in manual.pages(main, version, made_s).items():
        _man(root / "usr/share/man/man1" / name, text)
    example = (SOURCE / "config/xueliang.example.toml").read_text()
    page = manual.settings_page(example, version, made_s)
    _man(root / "usr/share/man/man5/xueliang.toml.5", page)
    for path, text in manual.completions(main).items():
        _write(root / path, text)
    _write(root / DOCUMENTS / "examples/xueliang.toml", example)
    for folder in ("config/prometheus", "config/grafana", "systemd/nftables"):
        _tree(SOURCE / folder, root / DOCUMENTS / "examples" / Path(folder).name)
    _tree(SOURCE / "docs", root / DOCUMENTS / "docs")
    for name in ("README.md", "ARCHITECTURE.md"):
        _copy(SOURCE / name, root / DOCUMENTS / name, 0o644)
    _gzip(root / DOCUMENTS / "changelog.gz", (SOURCE / "CHANGELOG.md").read_text())
    lock = (SOURCE / "requirements.txt").read_text()
    document = bill.sbom(PACKAGE, version, lock, installed, made_s)
    _write(root / DOCUMENTS / "sbom.cdx.json", json.dumps(document, indent=1, ensure_ascii=False))
    _write(root / DOCUMENTS / "copyright", bill.notices(installed))


def _tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            _copy(path, target / path.relative_to(source), 0o644)


def _copy(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(0o644)


def _man(target: Path, text: str) -> None:
    _gzip(target.with_name(f"{target.name}.gz"), text)


def _gzip(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode(), mtime=0))
    target.chmod(0o644)
