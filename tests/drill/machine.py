"""A Debian root booted with systemd as process 1 of namespaces of its own.

Its own mounts, processes, host name, network and control groups; the kernel, its clock and its
control-group controllers are the host's. So units, users, sandboxes, address filters and restarts
are real; what a cgroup v1 host does not hand down (memory and CPU limits), a boot loader and a
kernel's own start are not.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PACKAGES = (
    "systemd,systemd-sysv,dbus,python3,python3-venv,iproute2,nftables,procps,ca-certificates,"
    "e2fsprogs,cryptsetup-bin,mdadm"
)
_BOOT = r"""
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys" || mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty loop-control; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir -p "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
umount -R "$root/sys/fs/cgroup" 2>/dev/null || true
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
cd "$root"
mkdir -p old
pivot_root . old
umount -l old
mount --make-rshared /  # as process 1 does on hardware: a disk that comes late reaches the services
exec env -i container=xueliang-drill PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LANG=C.UTF-8 \
    /lib/systemd/systemd --log-target=journal --show-status=no
"""
CGROUP = Path("/sys/fs/cgroup/unified")


def debootstrapped(root: Path, suite: str, packages: str) -> Path:
    """A clean root of ``suite``, made once."""
    if not root.exists():
        beside = root.with_name(f"{root.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(beside)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        beside.rename(root)
    return root


class Machine:
    """``with Machine(base, folder) as machine``: booted until it is left."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.root = folder
        if not folder.exists():
            subprocess.run(["cp", "-a", str(base), str(folder)], check=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    @property
    def init(self) -> int:
        """Process 1, as the host knows it."""
        return self._init

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.power_off()

    def boot(self) -> None:
        group = (CGROUP if CGROUP.is_dir() else CGROUP.parent) / f"drill-{os.getpid()}"
        group.mkdir(exist_ok=True)

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        self._process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork"]
            + ["--kill-child", "sh", "-c", _BOOT, "sh", str(self.root)],
            stdin=subprocess.DEVNULL,
            preexec_fn=enter,
            start_new_session=True,
        )
        self._init = self.wait("process 1", self._find_init, 30)
        self.wait("systemd", lambda: self.run("systemctl", "is-system-running") is not None, 60)
        self.run("ip", "link", "set", "lo", "up")
        self.wait("boot", self._is_up, 120)

    def power_off(self) -> None:
        """Everything dies at once, as when the power goes; what was written stays."""
        if self._process is not None:
            if self._init:
                os.kill(self._init, signal.SIGKILL)
            self._process.wait(30)
            self._process = None
            self._init = 0

    def reboot(self) -> None:
        """A clean shutdown, and a boot: services are ended by their units' rules."""
        self.run("systemctl", "isolate", "--no-block", "rescue.target")
        self.wait("services ended", lambda: self.said("pgrep", "-f", "edge.cli") == "", 60)
        self.power_off()
        self.boot()

    def run(self, *command: str, text: str | None = None, timeout_s: float = 300) -> Any:
        """A command in the machine, as root."""
        return subprocess.run(
            ["nsenter", "-t", str(self._init), "-m", "-p", "-u", "-i", "-n", "-C"]
            + ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"]
            + ["DEBIAN_FRONTEND=noninteractive", *command],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def said(self, *command: str) -> str:
        return str(self.run(*command).stdout).strip()

    def must(self, *command: str, text: str | None = None) -> str:
        done = self.run(*command, text=text)
        if done.returncode:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return str(done.stdout)

    def json(self, *command: str) -> Any:
        done = self.run(*command)
        if not done.stdout:
            raise AssertionError(f"{command}: {done.stderr}")
        return json.loads(done.stdout)

    def put(self, source: Path, target: str) -> None:
        shutil.copy(source, self.root / target.lstrip("/"))

    def write(self, target: str, text: str) -> None:
        path = self.root / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def wait(self, what: str, probe: Callable[[], Any], timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        while not (answer := probe()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s} s: {what}")
            time.sleep(0.2)
        return answer

    def _find_init(self) -> int:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError("the machine did not begin to boot")
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for child in path.read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return 0

    def _is_up(self) -> bool:
        return self.said("systemctl", "is-system-running") in ("running", "degraded")
