"""The drill: install, set up, record, fences, clean end, power cut, upgrade, rollback, removal, a
new box on the old disks. Prints what was measured; the first thing that is not as it must be ends
it.

    python -m tests.drill [--suite bookworm] [--deb FILE] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from config.instants import parse_instant
from distribution import deb
from edge.demo import plan_json
from edge.demo.plan import CameraPlan, StreamPlan
from tests.drill.clone import Clone
from tests.drill.documents import blocks, commands, inline
from tests.drill.machine import PACKAGES, Machine, debootstrapped
from tests.drill.packages import broken, repacked

SOURCE = Path(__file__).parents[2]
STATE = "/var/lib/xueliang"
PYTHON = "/usr/lib/xueliang-edge/current/bin/python"
SERVICES = tuple(f"xueliang-{one}.service" for one in ("edge", "uplink", "console", "diagnose"))
CAP_SYS_RESOURCE = 24  # capabilities(7): what lowers a process's score for the OOM killer
PLATFORM_HOST, CAMERA_HOST, NEW_HOST = "198.51.100.7", "192.0.2.10", "203.0.113.9"


class Drill:
    def __init__(self, folder: Path, suite: str, package: Path) -> None:
        self.package = package
        self.folder = folder
        root = folder / f"machine-{suite}"
        if root.exists():
            shutil.rmtree(root)
        self.machine = Machine(debootstrapped(folder / f"base-{suite}", suite, PACKAGES), root)
        self.loop = ""

    def run(self) -> None:
        try:
            with self.machine:
                for step in (
                    self.install,
                    self.set_up,
                    self.record,
                    self.fences,
                    self.limits,
                    self.fences_follow,
                    self.readers_after_a_clean_end,
                    self.power_fail_hook,
                    self.restart_of_the_box,
                    self.power_cut,
                    self.watchdog,
                    self.upgrade,
                    self.broken_upgrade,
                    self.rescue,
                    self.remove_and_purge,
                    self.new_box_on_old_disks,
                    self.backup_on_another_box,
                    self.acceptance,
                    self.documents,
                    self.encrypted_and_mirrored,
                ):
                    begun_s = time.monotonic()
                    told = step()
                    name = step.__name__.replace("_", " ")
                    print(f"ok  {name} ({time.monotonic() - begun_s:.0f} s): {told}", flush=True)
        finally:
            if self.loop:
                subprocess.run(["losetup", "-d", self.loop], check=False)

    # Steps -----------------------------------------------------------------------------------

    def install(self) -> str:
        machine = self.machine
        machine.put(self.package, "/root/new.deb")
        machine.must("dpkg", "-i", "/root/new.deb")
        assert machine.said("systemctl", "is-enabled", "xueliang.target") == "enabled"
        assert machine.said("systemctl", "is-active", "xueliang-edge.service") == "inactive"
        assert machine.run("xueliang", "--help").returncode == 0
        assert "SYNOPSIS" in machine.said("sh", "-c", "zcat /usr/share/man/man1/xueliang.1.gz") or (
            "SYNOPSIS" in machine.said("sh", "-c", "zcat /usr/share/man/man1/xueliang-run.1.gz")
        )
        return "nothing runs before it is set up"

    def set_up(self) -> str:
        machine = self.machine
        self._cameras()
        disk = self.machine.root / "disk.img"
        with disk.open("wb") as file:
            file.truncate(3 * 2**30)
        self.loop = _loop(disk)
        self._make_node()
        machine.write("/root/site.toml", self._site())
        refused = machine.run(
            "xueliang",
            "setup",
            "--site",
            "/root/site.toml",
            "--format",
            "/dev/null=/srv/xueliang/a",
        )
        assert refused.returncode == 1, refused
        told = json.loads(
            machine.must(
                "xueliang", "setup", "--site", "/root/site.toml", "--json",
                "--format", f"{self.loop}=/srv/xueliang/a",
            )
        )  # fmt: skip
        assert len(told["first_password"]) >= 8
        modes = machine.said("stat", "-c", "%U %G %a %n", *told["password_files"], told["config"])
        for line in modes.splitlines():
            owner, _, mode, name = line.split()
            assert mode == ("640" if name == told["config"] else "600"), line
            assert owner.startswith("xueliang-"), line

        found = machine.json("xueliang", "check", "--json")
        # a machine that is busy with other things may not answer in time
        bad = [
            one for one in found
            if one["severity"] == "bad" and "does not answer within" not in one["sentence"]
        ]  # fmt: skip
        assert bad == [], bad
        machine.must("systemctl", "daemon-reload")
        machine.must("systemctl", "start", "xueliang.target")
        return "one disk formatted, two stamped, first account made"

    def record(self) -> str:
        begun_s = time.monotonic()
        self._wait_recording()
        took_s = time.monotonic() - begun_s
        machine = self.machine
        for service in ("edge", "uplink", "console", "diagnose"):
            unit = f"xueliang-{service}.service"
            assert machine.said("systemctl", "is-active", unit) == "active", machine.said(
                "journalctl", "-u", unit, "-n", "30", "--no-pager"
            )
            pid = machine.said("systemctl", "show", "-P", "MainPID", unit)
            assert machine.said("ps", "-o", "user:32=", "-p", pid) == f"xueliang-{service}"
        owners = set(machine.said("sh", "-c", f"stat -c %U:%G {STATE} /srv/xueliang/*").split())
        assert owners == {"xueliang-edge:xueliang"}
        assert self._open_files() == ""
        machine.must("xueliang", "audit", "verify")
        status = machine.json("xueliang", "status", "--json")
        return f"recording {took_s:.1f} s after the start; time: {status['time']['code']}"

    def fences(self) -> str:
        """Each service's own fence, with a probe in the service's place."""
        machine = self.machine
        for host in (CAMERA_HOST, PLATFORM_HOST):
            machine.must("ip", "address", "add", f"{host}/24", "dev", "lo")
        machine.must(
            "systemd-run", "-q", "--unit=listeners", "python3", "-c",
            "import socket,time\n"
            f"made=[socket.create_server((h,9000)) for h in ('{CAMERA_HOST}','{PLATFORM_HOST}')]\n"
            "time.sleep(3600)",
        )  # fmt: skip
        segment = machine.said("sh", "-c", "find /srv/xueliang -name '*.mp4' | head -1")
        machine.write(f"{STATE}/secrets/drill", "Camera-9")
        machine.must("chown", "-R", "xueliang-edge:xueliang", f"{STATE}/secrets")
        machine.must("chmod", "600", f"{STATE}/secrets/drill")
        wanted: dict[str, list[Any]] = {
            "read footage": ["read", segment],
            "write footage": ["write", segment],
            "remove footage": ["remove", segment],
            "make footage": ["make", "/srv/xueliang/a/x"],
            "read index": ["read", f"{STATE}/index.db"],
            "write index": ["write", f"{STATE}/index.db"],
            "signing key": ["read", f"{STATE}/signing-key.pem"],
            "camera secret": ["read", "/etc/xueliang/secrets/gate-exit"],
            "platform secret": ["read", "/etc/xueliang/secrets/platform-1"],
            "accounts": ["read", f"{STATE}/console/accounts.json"],
            "settings": ["write", "/etc/xueliang/xueliang.toml"],
            "program": ["make", "/usr/lib/xueliang-edge/app/x"],
            "home": ["read", "/root/site.toml"],
            "console's key": ["read", f"{STATE}/console/tls-key.pem"],
            "secret given later": ["read", f"{STATE}/secrets/drill"],
            "camera LAN": ["connect", CAMERA_HOST, 9000],
            "platform": ["connect", PLATFORM_HOST, 9000],
            "control of edge": ["socket", f"{STATE}/edge.sock"],
            "live tap": ["socket", f"{STATE}/tap.sock"],
            "other's audit": ["write", f"{STATE}/audit/cli/x"],
        }
        may = {
            "edge": {
                "read footage", "write footage", "make footage", "read index", "write index",
                "signing key", "camera secret", "control of edge", "live tap", "camera LAN",
                "other's audit", "state of the clock", "secret given later",
            },
            "uplink": {"read footage", "read index", "platform secret", "live tap", "platform"},
            "console": {
                "read footage", "read index", "accounts", "control of edge", "live tap", "settings",
                "console's key",
            },
            "diagnose": {"read footage", "read index", "live tap"},
            # These are root: without the capabilities, the network and the disks of one.
            "smart": {"read footage", "read index", "live tap", "root"},
            "settings": set(),
            "rescue@": {"read footage", "read index", "live tap", "root", "program"},
            "power-fail": {"read footage", "read index", "live tap"},
        }  # fmt: skip
        units = (SOURCE / "systemd/system").glob("xueliang-*.service")
        assert may.keys() == {path.stem.removeprefix("xueliang-") for path in units}
        told = []
        for service, allowed in may.items():
            names = dict(wanted)
            if service == "edge":
                del names["remove footage"]  # it would be done
            found = self._probe(service, names)
            done = {name for name, result in found.items() if result == "done"}
            assert done == allowed, (service, done ^ allowed, found)
            told.append(f"{service} {len(found) - len(done)} refused")
        return ", ".join(told)

    def limits(self) -> str:
        """Recording is favoured; seen in the kernel where it hands controllers down."""
        machine = self.machine
        handed = machine.said("cat", "/sys/fs/cgroup/cgroup.controllers").split()
        lowers = _has_capability(CAP_SYS_RESOURCE)
        weights = {}
        for service in ("edge", "uplink", "console", "diagnose"):
            unit = f"xueliang-{service}.service"
            asked = ("MemoryMax", "MemoryLow", "CPUWeight", "IOWeight", "OOMScoreAdjust", "Nice")
            shown = dict(
                line.split("=", 1)
                for line in machine.said(
                    "systemctl", "show", unit, *(f"-p{one}" for one in asked)
                ).splitlines()
            )
            assert shown["MemoryMax"] != "infinity", shown
            weights[service] = int(shown["CPUWeight"]), int(shown["IOWeight"])
            pid = machine.said("systemctl", "show", "-P", "MainPID", unit)
            had = machine.said("cat", f"/proc/{pid}/oom_score_adj")
            if lowers or int(shown["OOMScoreAdjust"]) > 0:
                assert had == shown["OOMScoreAdjust"], (unit, had, shown)
            if "memory" in handed:
                group = machine.said("systemctl", "show", "-P", "ControlGroup", unit)
                limit = machine.said("cat", f"/sys/fs/cgroup{group}/memory.max")
                assert limit == shown["MemoryMax"], (limit, shown)
        assert max(weights, key=lambda one: weights[one]) == "edge", weights
        assert min(weights, key=lambda one: weights[one]) == "diagnose", weights
        enforced = sorted({"memory", "cpu", "io"} & set(handed))
        told = f"as written; enforced by this kernel's cgroup v2: {enforced or 'none (v1 host)'}"
        return told + ("" if lowers else "; scores below 0 for the OOM killer not allowed here")

    def fences_follow(self) -> str:
        """A camera of another network, added as the console does it: a new file in the old one's
        place; the running edge reaches it, without a restart or a command."""
        machine = self.machine
        machine.must("ip", "address", "add", f"{NEW_HOST}/24", "dev", "lo")
        machine.must(
            "systemd-run", "-q", "--unit=listener", "python3", "-c",
            f"import socket,time\nmade=socket.create_server(('{NEW_HOST}',9000))\ntime.sleep(3600)",
        )  # fmt: skip
        pid = machine.said("systemctl", "show", "-P", "MainPID", "xueliang-edge.service")
        group = machine.said("systemctl", "show", "-P", "ControlGroup", "xueliang-edge.service")
        reach = (
            f"echo $$ >/sys/fs/cgroup{group}/cgroup.procs; exec python3 -c 'import socket;"
            f' socket.create_connection(("{NEW_HOST}", 9000), 1)\''
        )
        machine.wait("the listener", lambda: machine.run("ss", "-ltn").stdout.count(NEW_HOST), 20)
        assert machine.run("sh", "-c", reach).returncode != 0
        settings = "/etc/xueliang/xueliang.toml"
        text = machine.said("cat", settings)
        camera = f'[[camera]]\nid = "new"\nname = "新"\nrtsp = "rtsp://{NEW_HOST}/1"'
        fresh = "/root/new.toml"
        machine.write(fresh, f"{text}\n{camera}\nenabled = false\nexpose = false\n")
        for same in ("chown", "chmod"):
            machine.must(same, f"--reference={settings}", fresh)
        machine.must("cp", "-a", settings, "/root/old.toml")
        begun_s = time.monotonic()
        machine.must("mv", fresh, settings)
        machine.wait("a way", lambda: machine.run("sh", "-c", reach).returncode == 0, 20)
        took_s = time.monotonic() - begun_s
        for _ in range(8):  # a unit that is started too often is started no more
            machine.must("touch", settings)
        assert machine.said("systemctl", "is-active", "xueliang-settings.path") == "active"
        machine.must("mv", "/root/old.toml", settings)
        machine.wait("no way", lambda: machine.run("sh", "-c", reach).returncode != 0, 20)
        again = machine.said("systemctl", "show", "-P", "MainPID", "xueliang-edge.service")
        assert again == pid
        return f"edge reaches a new camera's network {took_s:.1f} s after the settings changed"

    def readers_after_a_clean_end(self) -> str:
        machine = self.machine
        begun_s = time.monotonic()
        machine.must("systemctl", "stop", "xueliang.target", *SERVICES)
        took_s = time.monotonic() - begun_s
        assert took_s < 10, took_s
        result = machine.said("systemctl", "show", "-P", "Result", "xueliang-edge.service")
        assert result == "success", result
        for user in ("xueliang-uplink", "xueliang-console", "xueliang-diagnose"):
            done = machine.run(
                "setpriv", f"--reuid={user}", "--regid=xueliang", "--init-groups", PYTHON, "-I",
                "-c",
                "from pathlib import Path; from retention.read import Store;"
                f"s=Store(Path('{STATE}/index.db'), [Path('/srv/xueliang/a'),"
                " Path('/srv/xueliang/b')]);"
                "print(sum(1 for c in s.cameras() for u in s.access_units(c, s.oldest(c))))",
            )  # fmt: skip
            assert int(done.stdout or 0) > 0, done.stderr
        return f"ended in {took_s:.1f} s; three users read footage and index without edge"

    def power_fail_hook(self) -> str:
        machine = self.machine
        machine.must("systemctl", "start", "xueliang.target")
        self._wait_recording()
        begun_s = time.monotonic()
        os.kill(machine.init, 30)  # SIGPWR to process 1: sigpwr.target
        machine.wait(
            "edge ended",
            lambda: machine.said("systemctl", "is-active", "xueliang-edge.service") == "inactive",
            20,
        )
        took_s = time.monotonic() - begun_s
        machine.must("systemctl", "start", "xueliang.target")
        self._wait_recording()
        return f"everything sealed {took_s:.1f} s after SIGPWR"

    def restart_of_the_box(self) -> str:
        self.machine.reboot()
        self._come_back()
        return "recording without a hand, on the disk that came after edge, too"

    def power_cut(self) -> str:
        self.machine.power_off()
        self.machine.boot()
        self._come_back()
        assert self.machine.run("xueliang", "verify", "--camera", "gate-exit").returncode == 0
        return "recording again, footage verified"

    def watchdog(self) -> str:
        machine = self.machine
        pid = machine.said("systemctl", "show", "-P", "MainPID", "xueliang-edge.service")
        begun_s = time.monotonic()
        machine.must("kill", "-STOP", pid)

        def is_another() -> bool:
            now = machine.said("systemctl", "show", "-P", "MainPID", "xueliang-edge.service")
            return now not in ("0", pid)

        machine.wait("a new edge", is_another, 120)
        took_s = time.monotonic() - begun_s
        self._wait_recording()
        return f"a hung edge was ended and started anew after {took_s:.0f} s"

    def upgrade(self) -> str:
        machine = self.machine
        newer = repacked(self.package, self.folder / "newer.deb", "9.1.0")
        machine.put(newer, "/root/new.deb")
        machine.must("systemctl", "stop", "xueliang-settings.path")  # as if it were new
        since = machine.said("date", "-u", "+%Y-%m-%dT%H:%M:%SZ")
        machine.must("dpkg", "-i", "/root/new.deb")
        assert machine.said("xueliang", "--version").endswith("9.1.0")
        assert machine.said("systemctl", "is-active", "xueliang-settings.path") == "active"
        self._wait_recording()
        gap_s = self._longest_gap_s(since)
        assert gap_s <= 10, gap_s
        return f"recording stopped for {gap_s:.1f} s"

    def broken_upgrade(self) -> str:
        """A version that takes the index to a newer schema, and then does not come up."""
        machine = self.machine
        worse = broken(self.package, self.folder / "worse.deb", "9.2.0")
        machine.put(worse, "/root/new.deb")
        schema = self._schema()
        before = machine.said("xueliang", "--version").rpartition(" ")[2]
        since = machine.said("date", "-u", "+%Y-%m-%dT%H:%M:%SZ")
        done = machine.run("dpkg", "-i", "/root/new.deb")
        assert done.returncode != 0
        assert "rolled back" in done.stderr, done.stderr
        assert machine.said("xueliang", "--version").endswith(before)
        assert self._schema() == schema
        self._wait_recording()
        gap_s = self._longest_gap_s(since)
        time.sleep(5)
        assert machine.run("xueliang", "verify", "--camera", "gate-exit").returncode == 0
        again = repacked(self.package, self.folder / "again.deb", "9.3.0")
        machine.put(again, "/root/new.deb")
        machine.must("dpkg", "-i", "/root/new.deb")
        assert machine.said("xueliang", "--version").endswith("9.3.0")
        self._wait_recording()
        return f"back to the old version and schema by itself; recording stopped for {gap_s:.1f} s"

    def rescue(self) -> str:
        """A version that came up once, and does not any more within the day."""
        machine = self.machine
        machine.must(
            "sh", "-c",
            "cd /usr/lib/xueliang-edge/app/lib/python3*/site-packages/edge &&"
            " echo 'raise SystemExit(3)' >daemon.py",
        )  # fmt: skip
        machine.run("systemctl", "restart", "xueliang-edge.service")
        begun_s = time.monotonic()
        current = "/usr/lib/xueliang-edge/current"
        machine.wait("back", lambda: machine.said("readlink", current) == "previous", 200)
        self._wait_recording()
        return (
            f"given up by systemd, rolled back and recording {time.monotonic() - begun_s:.0f} s on"
        )

    def remove_and_purge(self) -> str:
        machine = self.machine
        before = self._footage()
        machine.must("dpkg", "-r", "xueliang-edge")
        assert machine.said("sh", "-c", "ls /usr/lib/xueliang-edge 2>/dev/null") == ""
        assert (machine.root / "etc/xueliang/xueliang.toml").exists()
        told = machine.must("dpkg", "-P", "xueliang-edge")
        assert "/srv/xueliang/a" in told, told
        assert not (machine.root / "etc/xueliang").exists()
        assert self._footage() >= before > 0
        return f"{before} segments stay; purge names their place"

    def new_box_on_old_disks(self) -> str:
        machine = self.machine
        before = self._footage()
        machine.must("mv", STATE, "/root/old-state")
        machine.put(self.package, "/root/new.deb")
        machine.must("dpkg", "-i", "/root/new.deb")
        refused = machine.run("xueliang", "setup", "--site", "/root/site.toml")
        assert refused.returncode == 1
        assert "--adopt" in refused.stderr, refused.stderr
        told = json.loads(
            machine.must("xueliang", "setup", "--site", "/root/site.toml", "--adopt", "--json")
        )
        machine.must("systemctl", "daemon-reload")
        machine.must("systemctl", "start", "xueliang.target")
        self._wait_recording()
        assert told["adopted_segments"] == before, (told, before)
        return f"{before} segments adopted, recording on the same disks"

    def backup_on_another_box(self) -> str:
        """Nothing of the system's disk is left: the documents' way back."""
        machine = self.machine
        machine.write("/media/usb/passphrase", "correct horse")
        machine.must("chmod", "600", "/media/usb/passphrase")
        machine.must(
            "xueliang", "backup", "-o", "/media/usb/box.backup",
            "--passphrase-file", "/media/usb/passphrase",
        )  # fmt: skip
        before, key = self._footage(), machine.must("sha256sum", f"{STATE}/signing-key.pem")
        machine.must("systemctl", "stop", "xueliang.target", *SERVICES)
        machine.must("mv", STATE, "/root/lost-state")
        machine.must("mv", "/etc/xueliang", "/root/lost-settings")
        machine.must("systemd-tmpfiles", "--create", "xueliang-edge.conf")
        page = (SOURCE / "docs/years.md").read_text()
        [way] = [text for _, text in blocks(page) if "xueliang restore" in text]
        for line in way.splitlines():
            machine.must("sh", "-c", line)
        self._wait_recording()
        assert machine.must("sha256sum", f"{STATE}/signing-key.pem") == key
        assert machine.run("xueliang", "verify", "--camera", "gate-exit").returncode == 0
        logs = {
            one["service"]: one for one in machine.json("xueliang", "audit", "verify", "--json")
        }
        assert all(one["sound"] for one in logs.values()), logs
        assert logs["edge"]["lost_seq"], logs
        assert machine.json("xueliang", "user", "list", "--json")
        for service in SERVICES:
            assert machine.said("systemctl", "is-active", service) == "active", service
        timeline = self._recorded_s()
        return f"the same key; {before} segments adopted, {timeline:.0f} s of them on the time line"

    def acceptance(self) -> str:
        """With its drill: the recorder is killed, systemd brings it back."""
        machine = self.machine
        done = machine.run("xueliang", "accept", "-o", "/root/report", "--drills", "--json")
        document = json.loads(done.stdout)
        results = {item["number"]: item["result"] for item in document["items"]}
        drill = next(item for item in document["items"] if item["number"] == "13")
        assert drill["result"] == "passed", drill
        assert results["4a"] == results["5b"] == results["9"] == "passed", document
        machine.must("xueliang", "accept", "--verify", "/root/report")
        return f"{results}; {drill['found'][0]}"

    def documents(self) -> str:
        """What the documents have root do; each block once, by what this drill has at hand."""
        machine = self.machine
        pages = [page.read_text() for page in sorted((SOURCE / "docs").glob("*.md"))]
        told = [text for page in pages for kind, text in blocks(page) if kind == "root"]
        lines = [line for text in dict.fromkeys(told) for line in text.splitlines()]
        said = [one for page in pages for one in inline(page) if not one.startswith("xueliang")]
        lines += dict.fromkeys(said)
        for line in lines:
            if line.startswith("/usr/lib/xueliang-edge/rollback"):
                done = machine.run("sh", "-c", line)  # there is no older version by now
                assert "no version to go back to" in done.stderr, done.stderr
            elif line.startswith(("xueliang setup", "dpkg -i")):
                continue  # done in the steps set up, new box, install and upgrade
            else:
                machine.must("sh", "-c", line)
        self._wait_recording()
        return f"{len(lines)} lines"

    def encrypted_and_mirrored(self) -> str:
        """Where this kernel has dm-crypt and md; says so where it has not."""
        machine = self.machine
        text = (SOURCE / "docs/years.md").read_text()
        loops = []
        told = []
        try:
            for number in range(2):
                disk = machine.root / f"extra-{number}.img"
                with disk.open("wb") as file:
                    file.truncate(256 * 2**20)
                loops.append(_loop(disk))
                status = os.stat(loops[-1])
                machine.run(
                    "mknod", loops[-1], "b", str(os.major(status.st_rdev)),
                    str(os.minor(status.st_rdev)),
                )  # fmt: skip
            machine.write("/root/volume.key", "not a secret")
            for kind in ("cryptsetup", "mdadm"):
                lines = commands(text, "disk")
                at = next(i for i, line in enumerate(lines) if line.startswith(kind))
                count = 3 if kind == "cryptsetup" else 2
                for line in lines[at : at + count]:
                    line = line.replace("/dev/loopX", loops[0]).replace("/dev/loopY", loops[1])
                    done = machine.run("sh", "-c", line)
                    if done.returncode:
                        told.append(f"{kind} not run: {done.stderr.strip().splitlines()[-1:]}")
                        break
                else:
                    told.append(f"{kind} made")
                machine.run("cryptsetup", "close", "xueliang-a")
                machine.run("mdadm", "--stop", "/dev/md/xueliang")
        finally:
            for loop in loops:
                subprocess.run(["losetup", "-d", loop], check=False)
        return "; ".join(told)

    # Means -----------------------------------------------------------------------------------

    def _cameras(self) -> None:
        machine = self.machine
        plans = [
            CameraPlan(
                id=name,
                stream=StreamPlan(width=320, height=192),
                password=f"Camera-{port}",
                rtsp_port=port,
                onvif_port=port + 1,
            )
            for name, port in (("gate-exit", 8554), ("parking-in", 8564))
        ]
        machine.write("/root/plans.json", plan_json.to_json(plans) + "\n")
        machine.write(
            "/etc/systemd/system/cameras.service",
            f"[Service]\nExecStart=sh -c 'exec {PYTHON} -I -m edge.demo"
            " --plans </root/plans.json >/run/cameras.json'\n"
            "[Install]\nWantedBy=multi-user.target\n",
        )
        machine.must("systemctl", "daemon-reload")
        machine.must("systemctl", "enable", "-q", "--now", "cameras.service")
        machine.wait("cameras", lambda: machine.said("cat", "/run/cameras.json"), 60)

    def _site(self) -> str:
        told = json.loads(self.machine.said("cat", "/run/cameras.json"))["cameras"]
        lines = [
            '[site]\nname = "演练托育中心"',
            '[storage]\nvolumes = ["/srv/xueliang/a", "/srv/xueliang/b"]',
            f'state_dir = "{STATE}"\nreserve_bytes = "64MiB"\nsegment_seconds = 5',
            "durability_seconds = 1",
        ]
        for number, camera in enumerate(told, 1):
            lines += [
                f'[[camera]]\nid = "{camera["id"]}"\nname = "摄像机 {number}"',
                f'gb_id = "3601020000132000000{number}"\nonvif = "{camera["onvif"]}"',
                f'username = "{camera["username"]}"\npassword = "{camera["password"]}"',
            ]
        lines += [
            # a camera that is not there: its network is what edge may reach beside loopback
            f'[[camera]]\nid = "away"\nname = "不在"\nrtsp = "rtsp://{CAMERA_HOST}/1"',
            "enabled = false\nexpose = false",
            '[[platform]]\nname = "police"\nauthorised_by = "drill"',
            f'server = "{PLATFORM_HOST}:5060"\nserver_id = "36010200002000000001"',
            'domain = "3601020000"\ndevice_id = "36010200001180000001"',
            'password = "Platform-1"\ninterface = "lo"',
        ]
        return "\n".join(lines) + "\n"

    def _come_back(self) -> None:
        """After a boot: there is no udev here that would bring the disk; it comes late."""
        machine = self.machine
        self._make_node()
        machine.must("mount", self.loop, "/srv/xueliang/a")
        self._wait_recording()

        def is_used() -> bool:
            told = machine.json("xueliang", "status", "--json")
            return all(one["state"] == "ok" for one in told["volumes"])

        machine.wait("both disks in use", is_used, 60)

    def _make_node(self) -> None:
        number = os.stat(self.loop).st_rdev
        node = ("mknod", self.loop, "b", str(os.major(number)), str(os.minor(number)))
        self.machine.run(*node)

    def _probe(self, service: str, wanted: dict[str, list[Any]]) -> dict[str, str]:
        machine = self.machine
        name = f"xueliang-{service}.service"
        probe = f"xueliang-probe{service.rstrip('@')}.service"
        units = machine.root / "usr/lib/systemd/system"
        text = (units / name).read_text()
        machine.put(SOURCE / "tests/drill/probe.py", "/usr/local/lib/probe.py")
        machine.write("/usr/local/lib/probe.json", json.dumps(wanted))
        kept = [
            line
            for line in text.splitlines()
            if not line.startswith(
                ("Exec", "Type", "Notify", "Watchdog", "Restart", "OnFailure", "Condition")
            )
        ]
        run = "sh -c 'exec /usr/bin/python3 -I /usr/local/lib/probe.py"
        run += ' "$(cat /usr/local/lib/probe.json)" >&2\''
        text = "\n".join([*kept, "", "[Service]", "Type=oneshot", f"ExecStart={run}"])
        text += "\nStandardError=file:/run/probe.out\n"
        machine.write(f"/etc/systemd/system/{probe}", text)
        folder = f"/etc/systemd/system/{probe}.d"
        machine.run("cp", "-rT", f"/usr/lib/systemd/system/{name}.d", folder)
        machine.run("cp", "-rT", f"/run/systemd/generator/{name}.d", folder)
        machine.must("systemctl", "daemon-reload")
        machine.must("rm", "-f", "/run/probe.out")
        done = machine.run("systemctl", "start", probe)
        said = machine.said("cat", "/run/probe.out")
        if done.returncode or not said.startswith("{"):
            raise AssertionError(machine.said("journalctl", "-n", "20", "--no-pager") + said)
        found: dict[str, str] = json.loads(said)
        return found

    def _wait_recording(self) -> None:
        def is_recording() -> bool:
            done = self.machine.run("xueliang", "status", "--json")
            if not done.stdout:
                return False
            cameras = json.loads(done.stdout)["cameras"]
            return all(one["recording"] for one in cameras if one["enabled"])

        try:
            self.machine.wait("recording", is_recording, 60)
        except AssertionError:
            log = self.machine.said("journalctl", "-u", "xueliang-edge", "-n", "40", "--no-pager")
            raise AssertionError(log) from None

    def _longest_gap_s(self, since: str) -> float:
        time.sleep(3)
        now = self.machine.said("date", "-u", "+%Y-%m-%dT%H:%M:%SZ")
        told = self.machine.json(
            "xueliang", "timeline", "gate-exit", "--from", since, "--to", now, "--json"
        )
        gaps = [
            (parse_instant(one["end"]) - parse_instant(one["start"])) / 1e6 for one in told["gaps"]
        ]
        return max(gaps, default=0.0)

    def _recorded_s(self) -> float:
        told = self.machine.json(
            "xueliang", "timeline", "gate-exit", "--from", "2020-01-01", "--to", "2100-01-01",
            "--json",
        )  # fmt: skip
        spans = told["spans"]
        return sum(parse_instant(one["end"]) - parse_instant(one["start"]) for one in spans) / 1e6

    def _schema(self) -> str:
        script = (
            f"import sqlite3; c=sqlite3.connect('file:{STATE}/index.db?mode=ro', uri=True);"
            "print(c.execute('PRAGMA user_version').fetchone()[0])"
        )
        return self.machine.said("python3", "-c", script)

    def _footage(self) -> int:
        return int(self.machine.said("sh", "-c", "find /srv/xueliang -name '*.mp4' | wc -l"))

    def _open_files(self) -> str:
        """Footage and state that the world could read."""
        folders = ("/srv/xueliang", STATE, "/etc/xueliang/secrets")
        return self.machine.said(
            "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh", "-c",
            f"find {' '.join(folders)} -type f -readable 2>/dev/null | head",
        )  # fmt: skip


def _has_capability(number: int) -> bool:
    found = re.search(r"(?m)^CapEff:\t(\w+)$", Path("/proc/self/status").read_text())
    return found is not None and bool(int(found[1], 16) >> number & 1)


def _loop(disk: Path) -> str:
    """The loop device that now shows a file."""
    command = ["losetup", "-f", "--show", str(disk)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _package(arguments: argparse.Namespace) -> Path:
    """Made for the Python of the suite: here, or in a root of the suite."""
    if platform.freedesktop_os_release().get("VERSION_CODENAME") == arguments.suite:
        return deb.build(arguments.folder)
    return Clone(arguments.folder, arguments.suite).package()


def main() -> None:
    parser = argparse.ArgumentParser(prog="drill", description=__doc__)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--deb", type=Path)
    parser.add_argument("--folder", type=Path, default=SOURCE / "build/drill")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    Drill(arguments.folder, arguments.suite, arguments.deb or _package(arguments)).run()


if __name__ == "__main__":
    main()
