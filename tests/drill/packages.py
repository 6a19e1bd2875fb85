"""Packages made from a package: another version, and one that does not come up."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path


def repacked(package: Path, target: Path, version: str) -> Path:
    """The same program under another version."""
    return _repack(package, target, version, is_broken=False)


def broken(package: Path, target: Path, version: str) -> Path:
    """A program that takes the index one schema further, and then ends with an error."""
    return _repack(package, target, version, is_broken=True)


def _repack(package: Path, target: Path, version: str, *, is_broken: bool) -> Path:
    with tempfile.TemporaryDirectory(prefix="xueliang-repack-") as folder:
        root = Path(folder) / "root"
        subprocess.run(["dpkg-deb", "-R", str(package), str(root)], check=True)
        control = root / "DEBIAN/control"
        control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
        app = root / "usr/lib/xueliang-edge/app"
        [told] = app.glob("lib/python3*/site-packages/xueliang_edge-*.dist-info")
        metadata = told / "METADATA"
        text = re.sub(r"(?m)^Version: .*$", f"Version: {version}", metadata.read_text())
        metadata.write_text(text)
        if is_broken:
            site = told.parent
            steps = site / "retention/index/migrations.py"
            found = re.search(r"(?m)^STEPS: .*\)$", steps.read_text())
            assert found
            more = f"{found[0][:-1]}, 'SELECT 1')"
            steps.write_text(steps.read_text().replace(found[0], more, 1))
            daemon = site / "edge/daemon.py"
            old = "        opened = await asyncio.to_thread(self._open_storage)\n"
            assert old in daemon.read_text()
            new = f"{old}        raise SystemExit('broken on purpose')\n"
            daemon.write_text(daemon.read_text().replace(old, new, 1))
            preinst = root / "DEBIAN/preinst"
            script = preinst.read_text()
            schema = re.search(r'int\("(\d+)"\)', script)
            assert schema
            later = f'int("{int(schema[1]) + 1}")'
            preinst.write_text(script.replace(schema[0], later))
        command = ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "-b", str(root), str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target
