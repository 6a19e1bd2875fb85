"""Footage of a living box handed out with its proof, judged by ffmpeg and by the verifier."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.instants import parse_instant
from edge.demo.plan import CameraPlan, StreamPlan
from retention.export_verifier import is_statement
from retention.mp4.scan import scan
from retention.mp4.units import read_units
from tests.support.box import Box, BoxCamera, decode_errors, wait_for
from tests.support.cameras import demo_process
from tests.support.witness import witness_server

#: What the witness was told.
STATEMENTS: list[list[bytes]] = []

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    plan = CameraPlan(id="gate", stream=StreamPlan(width=160, height=96, gop_frames=12, b_frames=2))
    with demo_process(plan) as site, witness_server() as witness:
        box = Box(
            folder=tmp_path_factory.mktemp("box"),
            cameras=[BoxCamera(id="gate", source=f'rtsp = "{site["gate"].rtsp}"')],
            segment_seconds=2,
            evidence=f'witness_url = "http://127.0.0.1:{witness.server_port}/heads"',
        )
        STATEMENTS.append(witness.bodies)
        box.write_config()
        try:
            box.start()
            box.wait_recording()
            wait_for("four segments", lambda: len(box.segments("gate")) >= 5)
            yield box
        finally:
            box.kill()


def _range(box: Box) -> tuple[str, str]:
    """From the middle of the second segment to the middle of the last sealed one."""
    line = box.json("timeline", "gate", "--from", "2020-01-01", "--to", "2100-01-01")
    start_us = parse_instant(line["spans"][0]["start"])
    return _text(start_us + 2_700_000), _text(start_us + 6_900_000)


def _text(instant_us: int) -> str:
    seconds, rest = divmod(instant_us, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06}Z"


def _export(box: Box, folder: Path) -> Any:
    from_text, to_text = _range(box)
    return box.json(
        "export",
        "gate",
        "--from",
        from_text,
        "--to",
        to_text,
        "-o",
        str(folder),
        "--reason",
        "案件",
    )


def _duration_s(path: Path) -> float:
    """From the first picture shown to the end of the last."""
    starts = _pictures(path)
    frame = sorted(starts)[1] - sorted(starts)[0]
    return max(starts) + frame - min(starts)


def _pictures(path: Path) -> list[float]:
    """When each is shown, as ffprobe reads it."""
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries"]
        + ["packet=pts_time,duration_time", "-of", "json", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    packets = json.loads(told.stdout)["packets"]
    return [float(packet["pts_time"]) for packet in packets]


def test_an_export_of_a_living_box_plays_and_is_proven(box: Box, tmp_path: Path) -> None:
    before = box.metrics().get('nvr_export_total{result="ok"}', 0)
    told = _export(box, tmp_path / "out")
    from_us, to_us = (parse_instant(told["asked"][name]) for name in ("from", "to"))
    start_us, end_us = (parse_instant(told["range"][name]) for name in ("from", "to"))
    assert start_us <= from_us < to_us <= end_us
    assert from_us - start_us < 1_100_000  # a key frame each second
    assert end_us - to_us < 1_100_000
    assert told["gaps"] == []
    files = [tmp_path / "out" / name for name in told["files"]]
    assert len(files) >= 2
    for path in files:
        assert decode_errors(path) == ""
        content = path.read_bytes()
        scanned = scan(lambda at, size, content=content: content[at : at + size], len(content))  # type: ignore[misc]
        assert scanned.header.camera == "gate"
    assert sum(map(_duration_s, files)) == pytest.approx((end_us - start_us) / 1e6, abs=0.05)
    report = box.json("verify", str(tmp_path / "out"), "--key", told["key"])
    assert report["differences"] == []
    assert report["key_is_the_known_one"] is True
    assert box.xueliang("verify", str(tmp_path / "out")).returncode == 0
    # a sealed segment is under the checkpoint that the export asked for
    assert len(told["without_checkpoint"]) <= 1
    records = [one for one in box.json("audit", "list") if one["action"] == "export"]
    assert [one["outcome"] for one in records] == ["begun", "done"]
    assert records[0]["detail"]["reason"] == "案件"
    assert records[1]["detail"]["manifest_sha256"] == told["manifest_sha256"]
    assert box.metrics()['nvr_export_total{result="ok"}'] == before + 1
    assert box.metrics()['nvr_export_bytes_total{result="ok"}'] >= told["bytes"]


def test_gstreamer_reads_a_file_that_begins_in_the_middle_of_its_segment(
    box: Box, tmp_path: Path
) -> None:
    told = _export(box, tmp_path / "out")
    path = tmp_path / "out" / told["files"][0]
    peer = Path(__file__).parents[1] / "peers" / "gst_mp4_samples.py"
    command = ["/usr/bin/python3", str(peer), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "No module named 'gi'" in done.stderr or "Namespace Gst not" in done.stderr:
        pytest.skip("needs python3-gi and GStreamer")
    assert done.returncode == 0, done.stderr
    [pictures] = json.loads(done.stdout).values()
    assert len(pictures) == len(_pictures(path))


def test_exported_pictures_are_those_of_the_store(box: Box, tmp_path: Path) -> None:
    told = _export(box, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    stored = {path.stem.rpartition("-")[2]: path.read_bytes() for path in box.segments("gate")}
    for file in manifest["files"]:
        content = (tmp_path / "out" / file["name"]).read_bytes()
        segment = next(s for s in manifest["segments"] if s["number"] == file["segment"])
        original = stored[str(file["segment"])]
        at, head_bytes = segment["head_bytes"], segment["head_bytes"]
        assert content[:at] == original[:at]
        skipped = sum(fragment[0] for fragment in segment["fragments"][: file["first"]])
        assert content[at:] == original[at + skipped : skipped + len(content)]
        header = scan(lambda o, n, c=original: c[o : o + n], head_bytes).header  # type: ignore[misc]
        size = segment["fragments"][file["first"]][0]
        assert read_units(content[at : at + size], header)[0].is_key
    assert told["files"] == [file["name"] for file in manifest["files"]]


def test_the_store_verifies_live_and_dead_and_a_changed_bit_is_found(
    box: Box, tmp_path: Path
) -> None:
    live = box.json("verify", "--camera", "gate")
    assert live["differences"] == []
    assert live["segments"] >= 4
    assert box.stop() == 0
    dead = box.json("verify", "--camera", "gate")
    assert dead["differences"] == []
    assert dead["segments"] == len(box.segments("gate"))
    told = _export(box, tmp_path / "out")  # without edge: without a new checkpoint
    assert any("no new checkpoint" in one for one in _notes(tmp_path / "out"))
    assert box.json("verify", str(tmp_path / "out"))["differences"] == []
    assert told["damaged"] == []
    path = box.segments("gate")[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    answer = box.xueliang("verify", "--camera", "gate")
    assert answer.returncode == 1
    assert "segment gate 2: fragment" in answer.stdout
    assert box.xueliang("verify").returncode == 2
    assert box.xueliang("verify", "--camera", "nobody").returncode == 1


def test_the_witness_knows_the_links_under_which_the_export_stands(
    box: Box, tmp_path: Path
) -> None:
    _export(box, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    told = [json.loads(body) for body in STATEMENTS[0]]
    assert told
    assert all(is_statement(one) for one in told)
    assert {one["site"] for one in told} == {"测试托育中心"}
    assert {one["key"] for one in told} == {manifest["key"]}
    links = {one["cameras"]["gate"]["link"] for one in told}
    entries = [json.loads(one["line"]) for one in manifest["checkpoints"]]
    assert entries
    assert {entry["data"]["after"] for entry in entries} <= links
    hashes = {one["journal"]["seq"]: one["journal"]["hash"] for one in told}
    store = box.json("verify", "--camera", "gate")["journal"]
    assert hashes.get(store["seq"], store["hash"]) == store["hash"]


def _notes(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "manifest.json").read_bytes())["notes"]
    return found


def test_what_cannot_be_asked_is_refused_in_one_sentence(box: Box, tmp_path: Path) -> None:
    from_text, to_text = _range(box)
    out = str(tmp_path / "out")
    for arguments in (
        ("gate", "--from", to_text, "--to", from_text, "-o", out, "--reason", "x"),
        ("gate", "--from", from_text, "--to", to_text, "-o", out, "--reason", " "),
        ("gate", "--from", "2001-01-01", "--to", "2001-01-02", "-o", out, "--reason", "x"),
        ("nobody", "--from", from_text, "--to", to_text, "-o", out, "--reason", "x"),
    ):
        answer = box.xueliang("export", *arguments)
        assert answer.returncode == 1
        assert len(answer.stderr.strip().splitlines()) == 1, answer.stderr
    assert os.listdir(tmp_path) == []


def test_after_a_clean_stop_everything_is_signed(box: Box) -> None:
    """Also what was sealed by the stop itself, which is done in time."""
    if box.process is None:
        box.start()
        box.wait_recording()
    began = time.monotonic()
    assert box.stop(timeout_s=10.0) == 0
    told = box.json("verify", "--camera", "gate")
    print(f"stopped and verified within {time.monotonic() - began:.1f} s")
    assert told["unchained"] == []
    assert told["chained"] == len(box.segments("gate"))
