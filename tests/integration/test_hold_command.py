"""``xueliang hold`` against a real ``edge``, that is killed in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.box import Box, wait_for

pytestmark = pytest.mark.integration

_SPAN = ("--from", "2026-11-20T08:00", "--to", "2026-11-20T09:00")
_WHY = ("--case", "东公刑〔2026〕17号", "--requester", "李警官", "--reason", "盗窃")


def test_a_hold_from_its_case_to_its_release(tmp_path: Path) -> None:
    volumes = [tmp_path / "a", tmp_path / "b"]
    for volume in volumes:
        volume.mkdir()
    box = Box(folder=tmp_path / "box", volumes=volumes)
    box.write_config()
    refused = box.xueliang("hold", "add", "all", *_SPAN, *_WHY)
    assert refused.returncode == 1
    assert "edge does not answer" in refused.stderr
    assert "xueliang run edge" in refused.stderr

    box.start()
    wait_for("edge started", lambda: "edge_started" in box.log)
    try:
        added = box.json("hold", "add", "all", *_SPAN, *_WHY, "--unit", "派出所")
        assert added["pending_volumes"] == []
        box.kill()  # confirmed is confirmed
        (box.state / "index.db").unlink()
        assert box.xueliang("reindex").returncode == 0
        (hold,) = box.json("hold", "list")
        assert (hold["id"], hold["state"], hold["camera"]) == (added["id"], "active", "all")
        assert hold["case"] == "东公刑〔2026〕17号"
        assert hold["from"] == "2026-11-20T08:00:00.000+08:00"

        box.start()
        wait_for("edge started again", lambda: box.log.count("edge_started") == 2)
        wait_for("measured", lambda: box.metrics().get('nvr_holds{state="active"}') == 1)
        first = box.xueliang("hold", "release", hold["id"], "--by", "王园长")
        assert first.returncode == 0
        assert "another person" in first.stdout
        again = box.xueliang("hold", "release", hold["id"], "--by", "王园长")
        assert again.returncode == 1
        assert "another person must do it" in again.stderr
        last = box.json("hold", "release", hold["id"], "--by", "李主任")
        assert last["state"] == "released"
        wait_for("measured", lambda: box.metrics().get('nvr_holds{state="released"}') == 1)
        told = box.xueliang("hold", "list").stdout
        assert hold["id"] in told
        assert "已解除" in told
        wrong = box.xueliang("hold", "add", "no-such", *_SPAN, *_WHY)
        assert wrong.returncode == 1
        assert "unknown" in wrong.stderr
    finally:
        box.stop()
    (verdict,) = [one for one in box.json("audit", "verify") if one["service"] == "edge"]
    assert verdict["sound"], verdict
