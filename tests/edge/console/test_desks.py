"""Export desk and guardians' register on their pages: each step on record, each wrong role out."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.instants import format_instant
from edge import control
from edge.console.export_orders import OrderState
from edge.console.roles import Role
from edge.console.zip_answer import zip_of
from retention.export_verifier import MANIFEST
from tests.support.console_site import Browser, ConsoleSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ConsoleSite]:
    with ConsoleSite(tmp_path) as found:
        yield found


class Edge:
    """What ``edge`` would answer on its control socket."""

    def __init__(self, site: ConsoleSite, patch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.state: dict[str, Any] = {"state": "unknown"}
        patch.setattr(control, "ask", self.ask)

    def ask(self, _state_dir: Path, command: str, *, timeout_s: float = 5, **rest: Any) -> Any:
        self.asked.append((command, rest))
        folder = self.site.parts.exports.folder(self.site.parts.exports.find(rest["id"]))
        if command == "export_start":
            self.state = {"state": "running", "written_bytes": 3, "of_bytes": 10, "error": ""}
        if command == "export_remove":
            shutil.rmtree(folder)
        return self.state if command == "export_state" else {}

    def finish(self) -> None:
        (command, rest) = next(one for one in self.asked if one[0] == "export_start")
        order = self.site.parts.exports.find(rest["id"])
        folder = self.site.parts.exports.folder(order)
        folder.mkdir(parents=True)
        manifest = {"files": [{}, {}], "gaps": [{}], "key": "ab" * 32}
        (folder / MANIFEST).write_text(json.dumps(manifest))
        (folder / "gate_1.mp4").write_bytes(b"x" * 3_000_000)
        self.state = {"state": "done"}


@pytest.fixture
def edge(site: ConsoleSite, monkeypatch: pytest.MonkeyPatch) -> Edge:
    return Edge(site, monkeypatch)


def ask(person: Browser, site: ConsoleSite, **more: str) -> Any:
    fields = {
        "camera": "gate-exit",
        "from": format_instant(site.clock.now_us - 3600_000_000)[:19],
        "to": format_instant(site.clock.now_us)[:19],
        "reason": "派出所调取 赣公〔2026〕12号",
    }
    return person.post("/exports", **(fields | more))


def steps(site: ConsoleSite) -> list[tuple[str, str]]:
    return [
        (one.actor, str(one.detail["step"]))
        for one in site.records()
        if one.action in ("export_desk", "guardian_request")
    ]


def test_an_export_from_asking_to_its_copys_end(site: ConsoleSite, edge: Edge) -> None:
    chen, li = site.person(Role.HEAD, name="chen"), site.person(Role.HEAD, name="li")
    path = ask(chen, site).headers["location"]
    desk = site.parts.exports
    desk.look()
    assert edge.asked == []  # nobody has approved it
    assert chen.post(f"{path}/approve").status_code == 409
    assert "申请" in chen.post(f"{path}/approve").text
    assert chen.get(f"{path}/download.zip").status_code == 404
    assert li.post(f"{path}/approve").status_code == 303
    desk.look()
    command, order = edge.asked[-1]
    assert command == "export_start"
    assert (order["actor"], order["approved_by"]) == ("person:chen", "person:li")
    desk.look()
    assert chen.get(f"{path}/state.json").json() == {"state": "running", "share": 30}
    edge.finish()
    desk.look()
    assert chen.get(f"{path}/state.json").json() == {"state": "done", "share": 100}
    answer = chen.get(f"{path}/download.zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    names = archive.namelist()
    assert [name.partition("/")[2] for name in names] == ["gate_1.mp4", MANIFEST]
    assert archive.read(names[0]) == b"x" * 3_000_000
    page = chen.get(path).text
    assert "已取走" in page
    site.clock.sleep(7 * 86_400)
    desk.look()
    assert edge.asked[-1][0] == "export_remove"
    found = desk.find(path.rpartition("/")[2])
    assert found.state is OrderState.REMOVED
    assert not desk.folder(found).exists()
    assert steps(site) == [
        ("person:chen", "asked"),
        ("person:li", "approved"),
        ("person:chen", "taken"),
        ("service:console", "removed"),
    ]
    assert site.person(Role.HEAD, name="chen").get(f"{path}/download.zip").status_code == 404


def test_refused_withdrawn_and_failed(site: ConsoleSite, edge: Edge) -> None:
    chen, li = site.person(Role.HEAD, name="chen"), site.person(Role.HEAD, name="li")
    first, second, third = (ask(chen, site).headers["location"] for _ in range(3))
    assert li.post(f"{first}/refuse", why="").status_code == 409
    assert li.post(f"{first}/refuse", why="理由不足，请写明案号").status_code == 303
    assert li.post(f"{first}/approve").status_code == 409
    assert li.post(f"{second}/withdraw").status_code == 409  # not his
    assert chen.post(f"{second}/withdraw").status_code == 303
    li.post(f"{third}/approve")
    site.parts.exports.look()
    edge.state = {"state": "failed", "error": "the disk is full"}
    site.parts.exports.look()
    assert "the disk is full" in chen.get(third).text
    assert chen.post(f"{third}/again").status_code == 303
    site.parts.exports.look()
    assert [one[0] for one in edge.asked].count("export_start") == 2
    edge.state = {"state": "unknown"}  # edge was started anew
    site.parts.exports.look()
    found = site.parts.exports.find(third.rpartition("/")[2])
    assert found.state is OrderState.FAILED
    assert chen.get("/exports/nothere").status_code == 404
    assert ask(chen, site, camera="nowhere").status_code == 400
    assert ask(chen, site, reason="x").status_code == 400
    assert ask(chen, site, to="2020-01-01T00:00:00").status_code == 400


def test_without_the_setting_one_person_suffices(tmp_path: Path) -> None:
    with ConsoleSite(tmp_path, more="[console]\nexport_approval = false\n") as site:
        path = ask(site.person(Role.HEAD), site).headers["location"]
        order = site.parts.exports.find(path.rpartition("/")[2])
        assert (order.state, order.decided_by) == (OrderState.APPROVED, "")


def test_what_is_not_on_record_is_not_done(site: ConsoleSite, edge: Edge) -> None:
    chen, li = site.person(Role.HEAD, name="chen"), site.person(Role.HEAD, name="li")
    path = ask(chen, site).headers["location"]
    site.parts.audit.close()
    assert ask(chen, site).status_code == 503
    assert li.post(f"{path}/approve").status_code == 503
    assert len(site.parts.exports.orders()) == 1
    assert site.parts.exports.orders()[0].state is OrderState.ASKED


def test_each_wrong_role_is_refused(site: ConsoleSite, edge: Edge) -> None:
    chen, li = site.person(Role.HEAD, name="chen"), site.person(Role.HEAD, name="li")
    path = ask(chen, site).headers["location"]
    for role in (Role.INTEGRATOR, Role.GUARD, Role.AUDITOR):
        person = site.person(role)
        assert ask(person, site).status_code == 403
        for verb in ("approve", "refuse", "withdraw", "again", "remove"):
            assert person.post(f"{path}/{verb}", why="理由不足").status_code == 403
        assert person.get(f"{path}/download.zip").status_code == 403
        may_read = role is Role.AUDITOR
        assert person.get(path).status_code == (200 if may_read else 403)
        assert person.get("/requests").status_code == (200 if may_read else 403)
        assert person.post("/requests", guardian="x").status_code == 403
        assert person.post("/requests/x/decide", decision="granted").status_code == 403
    assert li.post(f"{path}/approve").status_code == 303


def test_the_register_of_guardians(site: ConsoleSite) -> None:
    chen = site.person(Role.HEAD, name="chen")
    fields = {
        "guardian": "王某",
        "relation": "母亲",
        "child": "小班 王小某",
        "identified_by": "身份证与接送卡",
        "camera": "gate-exit",
        "from": format_instant(site.clock.now_us - 3600_000_000)[:16],
        "to": format_instant(site.clock.now_us)[:16],
        "purpose": "查看跌倒经过",
    }
    assert chen.post("/requests", **(fields | {"guardian": ""})).status_code == 400
    assert chen.post("/requests", **(fields | {"to": fields["from"]})).status_code == 400
    for _ in range(2):
        assert chen.post("/requests", **fields).status_code == 303
    second, first = (one.id for one in site.parts.requests.requests())
    assert chen.post(f"/requests/{first}/decide", decision="refused", why="").status_code == 400
    assert chen.post(f"/requests/{first}/close", outcome="viewed").status_code == 400
    chen.post(f"/requests/{first}/decide", decision="granted", why="")
    assert chen.post(f"/requests/{first}/close", outcome="else").status_code == 400
    assert chen.post(f"/requests/{first}/close", outcome="viewed").status_code == 303
    chen.post(f"/requests/{second}/decide", decision="refused", why="画面中有其他幼儿")
    page = site.person(Role.AUDITOR).get("/requests").text
    for text in ("王某", "母亲", "身份证与接送卡", "现场查看", "画面中有其他幼儿", "chen"):
        assert text in page
    assert steps(site) == [
        ("person:chen", "entered"),
        ("person:chen", "entered"),
        ("person:chen", "granted"),
        ("person:chen", "viewed"),
        ("person:chen", "refused"),
    ]
    assert not [one for one in site.records() if "王" in json.dumps(dict(one.detail))]


def test_a_zip_of_a_large_folder_holds_no_more_than_a_piece(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(bytes(range(256)) * 20_000)
    (folder / "empty").write_bytes(b"")
    pieces = list(zip_of(folder, "x"))
    assert max(map(len, pieces)) < 1_100_000
    archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert archive.testzip() is None
    assert archive.read("x/a.mp4") == bytes(range(256)) * 20_000
