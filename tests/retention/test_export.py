"""Exports: fragments byte for byte, proof that holds elsewhere, and nothing half made."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from retention import export
from retention.export import Exported, ExportFailed, FootageGone, Order, plan_export, write_export
from retention.export_verifier import MANIFEST, canonical, manifest_bytes, render, verify_export
from retention.index import rows
from retention.index.errors import IndexCorrupt
from retention.index.read import Index
from retention.journal import key_id
from retention.keys import signing_key
from retention.model import Segment
from tests.retention.conftest import Mount
from tests.retention.evidence import copy_of, make_store
from tests.retention.storing import S, Site, path_of
from tests.retention.writing import T0, wait_until

RECORD = {"service": "cli", "seq": 1, "hash": "0" * 64}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_store(tmp_path_factory.mktemp("store") / "box")


@pytest.fixture
def site(sound: Site, tmp_path: Path) -> Site:
    return copy_of(sound, tmp_path / "box")


def exported(
    site: Site, folder: Path, from_s: float, to_s: float, key: Ed25519PrivateKey | None = None
) -> Exported:
    order = Order(
        camera="gate",
        camera_name="大门",
        from_us=T0 + int(from_s * S),
        to_us=T0 + int(to_s * S),
        reason="case 2026-11",
        actor="os:admin",
        site="测试托育中心",
        tool="test",
    )
    signer = key or signing_key(site.index_path.parent)
    now_us = T0 + int(max(100, to_s) * S)
    plan = plan_export(site.index_path, order, key_id(signer.public_key()), now_us)
    return write_export(plan, site.volumes, folder, signer, now_us=now_us, record=RECORD)


def _manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    return found


def _segment(site: Site, number: int) -> Segment:
    with Index.open_read(site.index_path) as index:
        found = index.read(lambda connection: rows.segment(connection, "gate", number))
    assert found is not None
    return found


def _durable(site: Site, number: int) -> int:
    with Index.open_read(site.index_path) as index:
        found = index.read(lambda connection: rows.segment(connection, "gate", number))
    return len(found.fragments) if found is not None else 0


def _content(site: Site, segment: Segment) -> bytes:
    paths = [path_of(site, segment, place) for place in range(len(site.volumes))]
    return next(path for path in paths if path.exists()).read_bytes()


def test_fragments_are_byte_exact_from_the_key_frame_before_to_the_asked_end(
    site: Site, tmp_path: Path
) -> None:
    result = exported(site, tmp_path / "out", 13.5, 17.2)
    assert result.range_us == (T0 + 13 * S, T0 + 18 * S)
    assert result.files == [
        "gate_20261124T000013.000Z_20261124T000015.000Z.mp4",
        "gate_20261124T000015.000Z_20261124T000018.000Z.mp4",
    ]
    for name, number, first in zip(result.files, (4, 5), (1, 0), strict=True):
        segment = _segment(site, number)
        content = _content(site, segment)
        head = content[: segment.fragments[0].offset]
        last = segment.fragments[-1]
        media = content[segment.fragments[first].offset : last.offset + last.size_bytes]
        assert (tmp_path / "out" / name).read_bytes() == head + media
    report = verify_export(tmp_path / "out", result.fingerprint)
    assert report.differences == []
    assert report.notes == []
    assert report.is_known_key
    assert report.fragments == 5
    assert report.manifest["gaps"] == []


def test_a_range_over_deleted_and_missing_footage_says_so_and_is_proven_all_the_same(
    site: Site, tmp_path: Path
) -> None:
    exported(site, tmp_path / "out", 0, 40)
    report = verify_export(tmp_path / "out")
    assert report.differences == []
    causes = [gap["cause"] for gap in report.manifest["gaps"]]
    assert causes.count("expired") == 1
    assert "network" in causes
    assert [one["number"] for one in report.manifest["segments"]] == [1, 4, 5, 6, 7]
    assert len(report.manifest["checkpoints"]) == 2
    assert len(report.manifest["tombstones"]) == 1
    assert len(report.notes) == 1
    assert "segment 7" in report.notes[0]
    assert "under no checkpoint" in report.notes[0]


def test_a_segment_that_is_still_written_is_handed_out_up_to_what_is_durable(
    site: Site, tmp_path: Path
) -> None:
    with site.running(("gate", "hall"), boot="boot-4") as recorder:
        recorder.record(8, 50, 3, is_sealed=False)
        wait_until(lambda: _durable(site, 8) == 3)
        result = exported(site, tmp_path / "out", 51, 60)
        assert result.plan.unchained == (8,)
    report = verify_export(tmp_path / "out")
    assert report.differences == []
    assert report.fragments == 2
    assert "while it was written" in report.notes[0]


def test_it_verifies_elsewhere_by_the_copy_in_the_folder_and_nothing_else(
    site: Site, tmp_path: Path
) -> None:
    result = exported(site, tmp_path / "out", 13, 18)
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    shutil.rmtree(site.folder)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", str(tmp_path / "elsewhere" / "verify.py"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONUTF8": "1"},
        )

    done = run("--key", result.fingerprint, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["key"] == result.fingerprint
    assert "校验通过" in run().stdout
    assert run("--key", "0" * 64).returncode == 1
    name = result.files[0]
    content = bytearray((tmp_path / "elsewhere" / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / "elsewhere" / name).write_bytes(content)
    done = run()
    assert done.returncode == 1
    assert f"{name} has changed" in done.stdout
    assert "fragment 3 of the segment has changed" in done.stdout


def _resign(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """What somebody can do who has a key, but not this box's."""
    document = _manifest(folder)
    change(document)
    del document["signature"]
    key = Ed25519PrivateKey.generate()
    document["other_keys"] = [document["key"]]
    document["key"] = key.public_key().public_bytes_raw().hex()
    document["signature"] = key.sign(canonical(document)).hex()
    (folder / MANIFEST).write_bytes(manifest_bytes(document))


def _without(document: dict[str, Any], number: int) -> None:
    document["segments"] = [one for one in document["segments"] if one["number"] != number]
    document["files"] = [one for one in document["files"] if one["segment"] != number]


def _swap_digests(document: dict[str, Any]) -> None:
    digests = document["checkpoints"][0]["digests"]
    digests[0], digests[3] = digests[3], digests[0]


def _bend(document: dict[str, Any]) -> None:
    document["range"]["to_us"] += 5


def _forget_gap(document: dict[str, Any]) -> None:
    document["gaps"].pop()


def _forget_tombstone(document: dict[str, Any]) -> None:
    document["tombstones"].clear()


def _rename(document: dict[str, Any]) -> None:
    document["camera"] = "hall"


def _digest_of_another(document: dict[str, Any]) -> None:
    document["segments"][1]["digest"] = document["segments"][2]["digest"]


def _edit_line(document: dict[str, Any]) -> None:
    checkpoint = document["checkpoints"][0]
    checkpoint["line"] = checkpoint["line"].replace('"position":0', '"position":1')


def _escape(document: dict[str, Any]) -> None:
    document["files"][0]["name"] = "../../etc/passwd"


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a segment left out": (lambda found: _without(found, 5), "neither there nor told as a gap"),
    "digests swapped": (_swap_digests, "do not lead to the"),
    "range bent": (_bend, "the range that is told is not that of the footage"),
    "gap forgotten": (_forget_gap, "neither there nor told as a gap"),
    "tombstone forgotten": (_forget_tombstone, "neither given nor under a tombstone"),
    "camera renamed": (_rename, "tells of another segment"),
    "digest of another": (_digest_of_another, "do not give its digest"),
    "checkpoint edited": (_edit_line, "is not signed as it says"),
    "leads out of the folder": (_escape, "is no name of a file"),
    "torn apart": (lambda found: found.pop("segments"), "not laid out as it should be"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forger_with_a_key_of_his_own_is_found_out_by_chain_and_media(
    sound: Site, tmp_path: Path, forgery: str
) -> None:
    exported(sound, tmp_path / "out", 0, 40)
    change, told = FORGERIES[forgery]
    _resign(tmp_path / "out", change)
    report = verify_export(tmp_path / "out")
    assert told in "\n".join(report.differences)


def test_files_that_do_not_belong_or_are_missing_are_told(sound: Site, tmp_path: Path) -> None:
    result = exported(sound, tmp_path / "out", 0, 40)
    (tmp_path / "out" / "more.mp4").write_bytes(b"x")
    (tmp_path / "out" / result.files[0]).unlink()
    report = verify_export(tmp_path / "out")
    assert f"{result.files[0]} is missing" in report.differences
    assert "more.mp4 does not belong to the export" in report.differences


def test_no_folder_and_no_manifest_are_no_export(tmp_path: Path) -> None:
    assert verify_export(tmp_path / "nothing").differences
    (tmp_path / MANIFEST).write_bytes(b"[1, 2")
    assert "manifest.json is damaged" in verify_export(tmp_path).differences[0]


def test_damaged_footage_is_handed_out_as_it_is_and_told(site: Site, tmp_path: Path) -> None:
    segment = _segment(site, 4)
    path = next(
        path_of(site, segment, place)
        for place in range(2)
        if path_of(site, segment, place).exists()
    )
    content = bytearray(path.read_bytes())
    content[segment.fragments[1].offset + 400] ^= 1
    path.write_bytes(content)
    result = exported(site, tmp_path / "out", 0, 40)
    assert len(result.damaged) == 1
    report = verify_export(tmp_path / "out")
    assert len(report.differences) == 1
    assert "fragment 2 of the segment has changed" in report.differences[0]
    path.unlink()
    result = exported(site, tmp_path / "again", 0, 40)
    assert "cannot be opened" in result.damaged[0]
    assert "neither there nor told as a gap" in verify_export(tmp_path / "again").differences[0]


def test_what_policy_deletes_meanwhile_asks_for_a_new_plan(site: Site, tmp_path: Path) -> None:
    order = Order(
        camera="gate",
        camera_name="",
        from_us=T0,
        to_us=T0 + 40 * S,
        reason="case",
        actor="os:admin",
        site="",
        tool="test",
    )
    key = signing_key(site.index_path.parent)
    plan = plan_export(site.index_path, order, key_id(key.public_key()), T0 + 90 * S)
    last = plan.choices[-1].segment
    for root in site.volumes:
        (root / last.path).unlink(missing_ok=True)

    def write(*, is_last_try: bool) -> Exported:
        return write_export(
            plan,
            site.volumes,
            tmp_path / "out",
            key,
            now_us=T0 + 90 * S,
            record=RECORD,
            is_last_try=is_last_try,
        )

    with pytest.raises(FootageGone, match=f"segment {last.number} "):
        write(is_last_try=False)
    assert os.listdir(tmp_path) == ["box"]
    found = write(is_last_try=True)
    assert found.gone == [last.number]
    assert len(found.damaged) == 1


def test_what_cannot_be_exported_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="no footage"):
        exported(site, tmp_path / "out", 500, 600)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").touch()
    with pytest.raises(ExportFailed, match="not empty"):
        exported(site, tmp_path / "full", 0, 40)
    (site.volumes[1] / ".xueliang-volume").unlink()
    with pytest.raises(ExportFailed, match="is not there"):
        exported(site, tmp_path / "out", 0, 40)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["box", "full"]


@pytest.mark.root
def test_a_disk_that_fills_up_leaves_nothing(sound: Site, mount: Mount) -> None:
    disk = mount("size=32k")
    with pytest.raises(ExportFailed, match="takes"):
        exported(sound, disk / "out", 0, 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_require_room", lambda _folder, _size: None)
        with pytest.raises(ExportFailed, match="No space left"):
            exported(sound, disk / "out", 0, 40)
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("failing", range(1, 9))
def test_an_error_or_an_interruption_at_any_write_leaves_nothing_that_looks_whole(
    sound: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    for error in (OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()):
        count = [0]
        create = export._Writer._create

        def broken(
            self: Any,
            name: str,
            count: list[int] = count,
            create: Callable[[Any, str], int] = create,
            error: BaseException = error,
        ) -> int:
            count[0] += 1
            if count[0] == failing:
                raise error
            return create(self, name)

        with monkeypatch.context() as patch:
            patch.setattr(export._Writer, "_create", broken)
            with pytest.raises((ExportFailed, KeyboardInterrupt)):
                exported(sound, tmp_path / "out", 0, 40)
        assert os.listdir(tmp_path) == []


def _killed_at(site: Site, folder: Path, place: int | str) -> None:
    """A child that is killed when it makes its n-th file, or renames."""
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        return
    create, count = export._Writer._create, [0]

    def maybe(self: Any, name: str) -> int:
        count[0] += 1
        file = create(self, name)
        if count[0] == place or name == place:
            os.write(file, b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return file

    export._Writer._create = maybe  # type: ignore[method-assign]
    if place == "rename":
        os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    try:
        exported(site, folder, 0, 40)
    finally:
        os._exit(0)


@pytest.mark.parametrize("place", [1, 3, "verify.py", MANIFEST, "rename"])
def test_a_killed_export_never_looks_whole_and_the_next_one_clears_up(
    sound: Site, tmp_path: Path, place: int | str
) -> None:
    _killed_at(sound, tmp_path / "out", place)
    [left] = os.listdir(tmp_path)
    assert left.startswith(".out.partial-")
    if place != "rename":
        assert verify_export(tmp_path / left).differences
    exported(sound, tmp_path / "out", 0, 40)
    assert os.listdir(tmp_path) == ["out"]
    assert verify_export(tmp_path / "out").differences == []


def test_an_export_under_way_is_not_cleared_up(sound: Site, tmp_path: Path) -> None:
    other = tmp_path / ".out.partial-12345678"
    other.mkdir()
    with export._locked(other):
        exported(sound, tmp_path / "out", 0, 40)
        assert sorted(os.listdir(tmp_path)) == [other.name, "out"]


@pytest.fixture(scope="module")
def whole(sound: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "out"
    exported(sound, folder, 0, 40)
    return folder


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@given(st.data())
def test_whatever_a_stranger_signs_the_verifier_answers(whole: Path, data: st.DataObject) -> None:
    """Any part of a manifest replaced by anything, signed again: never more than a difference."""
    content = (whole / MANIFEST).read_bytes()
    document = json.loads(content)
    node: Any = document
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    kind = data.draw(st.sampled_from(["replace", "remove", "nudge"]))
    if kind == "remove":
        del node[key]
    elif kind == "nudge" and type(node[key]) is int:
        node[key] += data.draw(st.sampled_from([-1, 1, -(1 << 70), 1 << 70]))
    else:
        node[key] = data.draw(_values)
    signer = Ed25519PrivateKey.from_private_bytes(bytes(32))
    if document.get("key") is not None:
        document["other_keys"] = [json.loads(content)["key"]]
        document["key"] = signer.public_key().public_bytes_raw().hex()
    document.pop("signature", None)
    document["signature"] = signer.sign(canonical(document)).hex()
    try:
        (whole / MANIFEST).write_bytes(manifest_bytes(document))
        report = verify_export(whole)
        assert report.as_json()["key"] in ("", report.fingerprint)
        assert render(report)
    finally:
        (whole / MANIFEST).write_bytes(content)


def test_a_damaged_row_is_told_in_one_sentence(site: Site, tmp_path: Path) -> None:
    with closing(sqlite3.connect(site.index_path)) as connection:
        connection.execute("UPDATE checkpoint SET numbers = '[[1, 2'")
        connection.commit()
    with pytest.raises(IndexCorrupt, match="a row of the index"):
        exported(site, tmp_path / "out", 0, 40)
