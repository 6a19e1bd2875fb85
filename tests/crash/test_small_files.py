"""The power goes, or the disk is full, in the middle of set-up, backup, restore, new settings.

Each small file is then the old one or the new one, whole; the same command, run again, mends the
rest. The power is cut before the n-th call that changes the disk (``EXT4_IOC_SHUTDOWN``, as in
``test_power_cut``). ``XUELIANG_FAULTS=full`` tries every n.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from config.load import load
from config.schema import Settings
from config.secrets import read_secret
from edge.alarms.board import STATE_NAME, AlarmBoard
from edge.alarms.codes import Code
from edge.alarms.register import Fault, Register
from edge.care.known import Known
from edge.care.store import keep_known, load_known
from edge.cli import main
from edge.console import settings_file
from retention.audit import AuditLog
from retention.audit_chain import Action, Outcome
from retention.audit_read import records, verify
from retention.clock import SystemClock
from retention.stamp import is_blank, read_stamp
from retention.whole_file import replace_file
from tests.edge.test_setup import SITE
from tests.support.box import XUELIANG, free_port, wait_for
from tests.support.disks import Disk, ext4

IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"
#: So many cuts a test in CI.
CUTS = 4
#: More calls than anything here makes.
CALLS_MAX = 500
CUT, WHOLE, REFUSED = 9, 0, 1
#: Else ext4 writes what takes another file's place before it does, also unasked.
STRICT = "noauto_da_alloc"
#: As sys.audit names what changes a disk; :func:`os.fsync` is watched besides.
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.chmod", "os.chown", "os.link")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
PASSWORDS = {"gate-exit": 'Gate-Exit-1 "雪"', "platform-1": "Platform-1"}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with ext4(tmp_path / "disk", 48) as made:
        made.remount(STRICT)
        yield made


def _run(work: Callable[[], int], reached: Callable[[int], None]) -> int:
    """``work`` in a process of its own; its code. ``reached``: told the number of each call."""
    with warnings.catch_warnings():  # Python 3.12 warns of threads, which the child does without
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0
    sync = os.fsync

    def count() -> None:
        nonlocal calls
        calls += 1
        reached(calls)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITES):
            count()

    def watched_sync(file: Any) -> None:
        count()
        sync(file)

    os.fsync = watched_sync  # type: ignore[assignment]
    sys.addaudithook(watch)
    code = 3
    try:
        code = work()
    finally:
        os._exit(code)


def cuts(disk: Disk, work: Callable[[], int], again: Callable[[], None]) -> Iterator[int]:
    """Runs ``work`` with the power cut before a call, and ``again`` between two runs; its code each
    time, once the disk is back."""
    read, write = os.pipe()

    def tell(number: int) -> None:
        os.write(write, bytes(1))

    assert _run(work, tell) == WHOLE
    os.close(write)
    with open(read, "rb") as file:
        total = len(file.read())
    assert 3 < total < CALLS_MAX
    numbers = range(1, total + 1)
    step = 1 if IS_FULL else max(1, total // CUTS)
    for number in [*numbers[random.randrange(step) :: step], CALLS_MAX]:
        again()
        subprocess.run(["sync", "-f", disk.root], check=True)  # no disk of another test

        def cut(reached: int, number: int = number) -> None:
            if reached == number:
                disk.cut_power()
                os._exit(CUT)

        code = _run(work, cut)
        if code != CUT:  # it is done, and answered for: now nothing may be lost any more
            disk.cut_power()
        disk.power_up()
        disk.remount(STRICT)
        yield code


def xueliang(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def command(*arguments: object) -> Callable[[], int]:
    return lambda: int(xueliang(*arguments).exit_code)


class Site:
    """A box below a folder, its site file beside the disk."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.box = disk.root / "box"
        self.config = self.box / "etc/xueliang.toml"
        self.site = folder / "site.toml"
        self.port = free_port()
        ports = f'[metrics]\nbind = "127.0.0.1:{self.port}"\n'
        platform = SITE.index("[[platform]]")
        text = SITE[:platform] + ports + SITE[platform:]
        self.site.write_text(text.format(self.box).replace("onvif", "enabled = false\nonvif"))

    @property
    def setup(self) -> tuple[object, ...]:
        return ("setup", "--site", self.site, "-c", self.config, "--json")

    def empty(self) -> None:
        shutil.rmtree(self.box, ignore_errors=True)
        self.box.mkdir()

    def contents(self) -> dict[str, bytes]:
        """What a backup holds, by path."""
        paths = [*(self.box / "etc").rglob("*"), *(self.box / "state/console").glob("*")]
        paths.append(self.box / "state/signing-key.pem")
        files = [path for path in paths if path.is_file() and not path.name.startswith(".")]
        return {str(path): path.read_bytes() for path in files}

    def accounts(self) -> list[str]:
        path = self.box / "state/console/accounts.json"
        return list(json.loads(path.read_bytes())) if path.exists() else []

    def assert_whole(self) -> None:
        """No file is half a file; there are settings only where all that they name is there."""
        for name, text in PASSWORDS.items():
            path = self.box / "etc/secrets" / name
            assert not path.exists() or path.read_text() == text
        self.accounts()
        for name in ("a", "b"):
            assert not (self.box / name).exists() or is_blank(self.box / name) or self.uuid(name)
        if self.config.exists():
            self.assert_set_up()

    def uuid(self, name: str) -> str:
        return read_stamp(self.box / name)[0]

    def assert_set_up(self) -> None:
        settings = load(self.config)
        files = [settings.camera[0].password_file, settings.platform[0].password_file]
        assert [read_secret(path).reveal() for path in files if path] == list(PASSWORDS.values())
        assert self.accounts() == ["admin"]
        assert self.uuid("a") != self.uuid("b")


@pytest.fixture
def site(tmp_path: Path, disk: Disk) -> Site:
    return Site(tmp_path, disk)


def test_the_power_goes_while_a_box_is_set_up(site: Site, disk: Disk) -> None:
    seen = set()
    for code in cuts(disk, command(*site.setup), site.empty):
        site.assert_whole()
        seen.add(site.config.exists())
        assert code == CUT or site.config.exists()
        if site.config.exists():
            continue
        again = xueliang(*site.setup)
        assert again.exit_code == 0, again.output
        site.assert_set_up()
        told = json.loads(again.stdout)
        assert [one["new"] for one in told["volumes"]] == [True, True]
    assert seen == {False, True}
    assert_edge_starts(site)


def assert_edge_starts(site: Site) -> None:
    arguments = [*XUELIANG, "run", "edge", "-c", str(site.config)]
    edge = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        wait_for("edge", lambda: _answers(site.port))
    finally:
        edge.send_signal(signal.SIGTERM)
        assert edge.wait(20) == 0


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_the_power_goes_while_a_backup_is_made(site: Site, disk: Disk) -> None:
    site.empty()
    assert command(*site.setup)() == 0
    before = site.contents()
    file = disk.root / "backup"
    make = ("backup", "-o", file, "-c", site.config)
    for code in cuts(disk, command(*make), lambda: file.unlink(missing_ok=True)):
        if file.exists():
            assert len(json.loads(file.read_bytes())["files"]) >= 5
        else:
            assert code == CUT
            assert command(*make)() == 0
        assert site.contents().items() >= before.items()


@pytest.mark.parametrize("stands", [False, True])
def test_the_power_goes_while_a_backup_is_put_back(site: Site, disk: Disk, stands: bool) -> None:
    """On a bare box, and over one that differs in every file."""
    site.empty()
    assert command(*site.setup)() == 0
    file = disk.root / "backup"
    assert command("backup", "-o", file, "-c", site.config)() == 0
    new = site.contents()
    old = {}

    def again() -> None:
        site.empty()
        if stands:
            assert command(*site.setup)() == 0
            for path in site.contents():
                if "/secrets/" in path:
                    Path(path).write_text("Another-1")
            assert command("backup", "-o", site.box / "other", "-c", site.config)() == 0
            old.update(site.contents())

    back = ("restore", file, *(["--replace"] if stands else []), "-c", site.config)
    for code in cuts(disk, command(*back), again):
        found = site.contents()
        for path, content in found.items():
            assert content in (new.get(path), old.get(path)), path
        assert (found == new) or code == CUT
        if site.config.exists():
            load(site.config)  # never settings without what they name
            assert stands or found == new
        assert command(*back)() == 0
        assert site.contents() == new


def test_the_power_goes_while_the_console_changes_settings(site: Site, disk: Disk) -> None:
    site.empty()
    assert command(*site.setup)() == 0
    old = site.config.read_text()
    new = old.replace("人行出口", "人行出口 2")

    def change() -> int:
        digest = settings_file.read(site.config).digest
        settings_file.replace(site.config, new, digest, SystemClock())
        return WHOLE

    seen = set()
    for code in cuts(disk, change, lambda: replace_file(site.config, old.encode())):
        found = site.config.read_text()
        seen.add(found == new)
        assert found == new or (found == old and code == CUT)
        for kept in site.config.parent.glob("*.old"):
            assert kept.read_text() == old
        load(site.config)
    assert seen == {False, True}


def test_the_power_goes_while_a_password_is_changed(site: Site, disk: Disk) -> None:
    """The console's accounts, written by a command beside it."""
    site.empty()
    assert command(*site.setup)() == 0
    path = site.box / "state/console/accounts.json"
    old = path.read_bytes()
    change = command("user", "passwd", "admin", "-c", site.config)
    for code in cuts(disk, change, lambda: replace_file(path, old, mode=0o600)):
        assert site.accounts() == ["admin"]
        assert path.read_bytes() != old or code == CUT


COVERED = Fault(code=Code.PICTURE_COVERED, subject="gate-exit", reason_en="covered")


def test_the_power_goes_while_alarms_are_told(site: Site, disk: Disk) -> None:
    """What counts as told is on record, and waits for the webhook."""
    site.empty()
    state = site.box / "state"
    settings = Settings.model_validate(
        {
            "site": {"name": "阳光"},
            "storage": {"volumes": [str(site.box / "a")], "state_dir": str(state)},
            "alarms": {"webhook_url": "http://127.0.0.1:9/"},
        }
    )

    def tell() -> int:
        with AuditLog(state, "edge", SystemClock()) as audit:
            board = AlarmBoard(
                state,
                settings=lambda: settings,
                audit=audit,
                registry=CollectorRegistry(),
                clock=SystemClock(),
            )
            board.tell("diagnose", [COVERED])
            board.look()
            board.tell("diagnose", [])
            board.look()
            return WHOLE if [one["number"] for one in board.ended()] == [1] else REFUSED

    def again() -> None:
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()

    seen = set()
    for code in cuts(disk, tell, again):
        register, path = Register(), state / STATE_NAME
        assert not path.exists() or register.loads(path.read_bytes())
        known = [*register.standing, *register.ended]
        told = {(one.number, one.until_us is not None) for one in known}
        told |= {(number, False) for number, is_over in told if is_over}
        told -= {(one.number, one.until_us is not None) for one in register.untold}
        seen.add(len(told))
        assert code == CUT or len(told) == 2
        with AuditLog(state, "edge", SystemClock()) as audit:  # as the next edge opens it
            audit.opened().result(20)
        assert verify(state, "edge").is_sound
        recorded = {
            (one.detail["number"], one.outcome == Outcome.DONE)
            for one in records(state, "edge")
            if one.action == Action.ALARM
        }
        assert told <= recorded
        waiting = [json.loads(one.read_bytes()) for one in (state / "alarms").glob("*.json")]
        assert told <= {(one["number"], one["event"] == "ended") for one in waiting}
    assert {0, 2} <= seen


def test_the_power_goes_while_what_is_known_of_cameras_is_kept(site: Site, disk: Disk) -> None:
    site.empty()
    old = {"gate": Known(serial="1", endpoint="urn:a")}
    new = {"gate": Known(serial="2"), "hall": Known(serial="3")}

    def keep() -> int:
        keep_known(site.box, new)
        return WHOLE

    for code in cuts(disk, keep, lambda: keep_known(site.box, old)):
        found = load_known(site.box)
        assert found == new or (found == old and code == CUT)


@pytest.mark.parametrize("left_bytes", range(0, 1 << 16, 1 << (12 if IS_FULL else 14)))
def test_a_full_disk_while_a_box_is_set_up(site: Site, disk: Disk, left_bytes: int) -> None:
    """It says so in a sentence, and the same command goes on once there is room."""
    site.empty()
    fill = disk.fill(left_bytes)
    first = xueliang(*site.setup)
    assert first.exit_code in (0, 1)
    assert first.exit_code == 0 or isinstance(first.exception, SystemExit), first.exception
    assert first.exit_code == 0 or "Gate-Exit" not in first.output
    site.assert_whole()
    assert site.config.exists() == (first.exit_code == 0)
    fill.unlink()
    if first.exit_code:
        again = xueliang(*site.setup)
        assert again.exit_code == 0, again.output
    site.assert_set_up()


@pytest.mark.parametrize("left_bytes", range(0, 1 << 16, 1 << (12 if IS_FULL else 14)))
def test_a_full_disk_while_a_backup_is_made_and_put_back(
    tmp_path: Path, site: Site, disk: Disk, left_bytes: int
) -> None:
    site.empty()
    assert command(*site.setup)() == 0
    small, large = disk.root / "backup", tmp_path / "backup"
    assert command("backup", "-o", large, "-c", site.config)() == 0
    before = site.contents()
    fill = disk.fill(left_bytes)
    made = xueliang("backup", "-o", small, "-c", site.config)
    assert small.exists() == (made.exit_code == 0), made.output
    for path in before:
        Path(path).unlink()
    fill.write_bytes(b"")
    disk.fill(left_bytes)
    back = ("restore", large, "-c", site.config)
    done = xueliang(*back)
    assert done.exit_code == 0 or isinstance(done.exception, SystemExit), done.exception
    found = site.contents()
    assert found.items() <= before.items()
    assert (found == before) if done.exit_code == 0 else not site.config.exists()
    fill.unlink()
    assert command(*back)() == 0
    assert site.contents() == before
