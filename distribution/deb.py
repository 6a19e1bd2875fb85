"""``make deb``: the Debian package, the same bytes from the same sources. Shell.

    python -m distribution.deb OUTPUT_FOLDER

The program is a virtual environment of its own, made from the hashed requirements for the Python
of the machine that builds (Debian 12: 3.11; Debian 13: 3.13). Instants come from
``SOURCE_DATE_EPOCH``, or the newest commit.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from distribution.payload import LIBRARY, PACKAGE, SOURCE, lay_out

#: What the program is made of; nothing else of the source tree is installed.
MODULES = ("edge", "retention", "uplink", "config")
#: In the requirements for the sake of building, and of no use on a box.
LEFT_OUT = ("pip", "setuptools", "_distutils_hack", "distutils-precedence.pth", "pkg_resources")
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
LAUNCHER = """\
#!/usr/lib/xueliang-edge/current/bin/python -I
from edge.cli import main

main(prog_name="xueliang")
"""


def build(output: Path) -> Path:
    """The package's file."""
    version = os.environ.get("DEB_VERSION") or _version()
    made_s = _made_s()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="xueliang-deb-") as folder:
        root = Path(folder) / "root"
        app = root / LIBRARY / "app"
        site = _environment(app)
        lay_out(root, version, made_s, list(distributions(path=[str(site)])))
        _control(root, version)
        _settle(root, made_s)
        architecture = _said("dpkg", "--print-architecture")
        target = output / f"{PACKAGE}_{version}_{architecture}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z6", "--build", str(root), str(target)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(made_s)},
        )
    return target


def _environment(app: Path) -> Path:
    """The virtual environment with the program; its site-packages."""
    app.parent.mkdir(parents=True)
    python = Path(sys.executable).resolve()
    system = Path(f"/usr/bin/{python.name}")
    subprocess.run([str(system), "-m", "venv", "--without-pip", str(app)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(app / "bin/python"), "install", "-q"]
    pip += ["--disable-pip-version-check", "--no-compile", "--no-warn-script-location"]
    wanted = ["--use-pep517", "--require-hashes", "-r", str(SOURCE / "requirements.txt")]
    subprocess.run([*pip, *wanted], check=True)
    with tempfile.TemporaryDirectory(prefix="xueliang-source-") as folder:
        source = Path(folder)
        for name in MODULES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(SOURCE / name, source / name, ignore=ignored)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(SOURCE / name, source / name)
        builder = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check"]
        builder += ["--no-deps", "--no-build-isolation", "-w", str(source / "wheel"), str(source)]
        subprocess.run(builder, check=True)
        wheel = next((source / "wheel").glob("*.whl"))
        subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    site = app / f"lib/{python.name}/site-packages"
    for name in LEFT_OUT:
        for path in (*site.glob(name), *site.glob(f"{name}-*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for told in site.glob("*.dist-info/direct_url.json"):
        told.unlink()  # names the folder that was built in
    for told in site.glob("*.dist-info/RECORD"):
        lines = told.read_text().splitlines()
        kept = [one for one in lines if "direct_url.json" not in one and not one.startswith("../")]
        told.write_text("\n".join(sorted(kept)) + "\n")
    for script in (app / "bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()  # they name the folder that was built in
    (app / "bin/xueliang").write_text(LAUNCHER)
    (app / "bin/xueliang").chmod(0o755)
    (app / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {_python_version()}\n"
    )
    return site


def _control(root: Path, version: str) -> None:
    folder = root / "DEBIAN"
    folder.mkdir()
    size_kib = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    minor = sys.version_info.minor
    template = (SOURCE / "distribution/debian/control").read_text()
    values = {
        "VERSION": version,
        "ARCHITECTURE": _said("dpkg", "--print-architecture"),
        "SIZE": str(size_kib),
        "PYTHON": f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})",
    }
    for name in SCRIPTS:
        (folder / name).write_text(_filled(SOURCE / "distribution/debian" / name))
        (folder / name).chmod(0o755)
    for key, value in values.items():
        template = template.replace(f"@{key}@", value)
    (folder / "control").write_text(template)
    sums = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and folder not in path.parents:
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            sums.append(f"{digest}  {path.relative_to(root)}")
    (folder / "md5sums").write_text("\n".join(sums) + "\n")


def _filled(path: Path) -> str:
    from retention.index.migrations import STEPS

    return path.read_text().replace("@SCHEMA@", str(len(STEPS)))


def _settle(root: Path, made_s: int) -> None:
    """One mode for each kind of file, one instant for all."""
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            os.utime(path, (made_s, made_s), follow_symlinks=False)
            continue
        if path.is_dir():
            path.chmod(0o755)
        else:
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (made_s, made_s))


def _version() -> str:
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def _made_s() -> int:
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or _said("git", "-C", str(SOURCE), "log", "-1", "--format=%ct"))


def _python_version() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    target = build(Path(sys.argv[1]))
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    print(f"{digest}  {target}")  # noqa: T201 - what a builder wants to see


if __name__ == "__main__":
    main()
