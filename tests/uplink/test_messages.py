"""Queries, orders and subscriptions through the shell that the user agent calls."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retention.index.errors import IndexUnavailable
from retention.model import US_PER_S
from tests.support.history import DAY_US, make_history, whole_seconds, write_history
from tests.uplink.bodies import (
    DEVICE,
    DEVICE_2016,
    DEVICE_2022,
    GATE,
    ON,
    STATE,
    T0,
    YARD,
    asked,
    judged,
    judged_all,
)
from tests.uplink.uplinking import (
    BYTES_MAX,
    Bench,
    Edge,
    bench,
    drained,
    incoming,
    picture_server,
)
from uplink.changes import SETTLES_US
from uplink.device import Device, SiteState
from uplink.manscdp.instants import format_time, parse_time

ALL_ON = replace(STATE, cameras={"gate": ON, "yard": ON})


def run(body: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body

    asyncio.run(bounded())


QUERIES = [
    ("Catalog", "", DEVICE, "SumNum", "3"),
    ("DeviceInfo", "", DEVICE, "Result", "OK"),
    ("DeviceInfo", "", GATE, "Channel", "1"),
    ("DeviceStatus", "", DEVICE, "Online", "ONLINE"),
    ("DeviceStatus", "", YARD, "Online", "OFFLINE"),
    ("ConfigDownload", "<ConfigType>BasicParam</ConfigType>", DEVICE, "Result", "OK"),
    ("CruiseTrackListQuery", "", GATE, "SumNum", "0"),
    ("CruiseTrackQuery", "<Number>0</Number>", GATE, "Result", "ERROR"),
    ("SDCardStatus", "", DEVICE, "SumNum", "1"),
    ("MobilePosition", "<Interval>5</Interval>", GATE, "Longitude", "118.376451"),
    ("MobilePosition", "<Interval>5</Interval>", YARD, "Result", "ERROR"),
    ("Alarm", "", DEVICE, "Result", "OK"),
    ("PresetQuery", "", YARD, "Result", "ERROR"),  # its camera does not tell
    ("HomePositionQuery", "", YARD, "Result", "ERROR"),
    ("PTZPosition", "", YARD, "Pan", None),
    ("MakeCoffee", "", DEVICE, "Result", "ERROR"),
]


def test_every_query_is_answered(tmp_path: Path) -> None:
    async def body() -> None:
        async with bench(tmp_path) as one:
            for command, element, code, name, value in QUERIES:
                status, bodies = await one.ask(command, element, device_id=code)
                assert status == 200, command
                root = judged(bodies[0])
                assert (root.findtext("CmdType"), root.findtext("SN")) == (command, "17")
                assert root.findtext(name) == value, command

    run(body())


def test_cameras_that_turn_are_asked(tmp_path: Path) -> None:
    async def body() -> None:
        edge = Edge(
            answers={
                "presets": {"presets": [{"number": 1, "name": "门"}]},
                "home": {"enabled": True, "reset_s": 30, "preset": 1},
            }
        )
        async with bench(tmp_path) as one, edge.listening(tmp_path):
            _, (presets,) = await one.ask("PresetQuery", device_id=GATE)
            assert judged(presets).findtext("PresetList/Item/PresetName") == "门"
            _, (home,) = await one.ask("HomePositionQuery", device_id=GATE)
            assert judged(home).findtext("HomePosition/ResetTime") == "30"
        assert [request["camera"] for request in edge.asked] == ["gate"] * 2

    run(body())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"<Query><SN>1</SN></Query>", 400),
        (asked("RecordInfo", device_id=GATE), 400),
        (asked("Keepalive", kind="Notify"), 200),
        (asked("Alarm", "<Result>OK</Result>", kind="Response"), 200),
    ],
)
def test_what_needs_no_answer_gets_a_status(tmp_path: Path, body: bytes, status: int) -> None:
    async def check() -> None:
        async with bench(tmp_path) as one:
            reply = one.messages.message(incoming(body))
            assert reply.status == status
            assert await drained(reply.bodies) == []
            other = replace(incoming(body), content_type="application/sdp")
            assert one.messages.message(other).status == 415
            xml = replace(incoming(body), content_type="text/xml")
            assert one.messages.message(xml).status == status

    run(check())


# RecordInfo ----------------------------------------------------------------------------------


async def _records(one: Bench, code: str, from_us: int, to_us: int) -> list[tuple[int, int]]:
    """Ranges of seconds, adjacent items joined, after everything about them was checked."""
    times = f"<StartTime>{format_time(from_us)}</StartTime><EndTime>{format_time(to_us)}</EndTime>"
    status, bodies = await one.ask("RecordInfo", times, "<Type>all</Type>", device_id=code)
    assert status == 200
    assert max(map(len, bodies)) <= BYTES_MAX
    joined: list[tuple[int, int]] = []
    pairs = set()
    for item in judged_all(bodies, BYTES_MAX, "RecordList"):
        start_us = parse_time(item.findtext("StartTime", ""))
        end_us = parse_time(item.findtext("EndTime", ""))
        assert start_us is not None
        assert end_us is not None
        assert start_us < end_us
        assert (start_us + 8 * 3600 * US_PER_S) // DAY_US == (
            end_us + 8 * 3600 * US_PER_S - 1
        ) // DAY_US  # never over midnight
        assert (start_us, end_us) not in pairs
        pairs.add((start_us, end_us))
        low, high = start_us // US_PER_S, end_us // US_PER_S
        assert not joined or low >= joined[-1][1]  # in order, never overlapping
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


def test_ninety_days_four_at_once_against_an_oracle(tmp_path: Path) -> None:
    history = make_history(["gate", "yard"], T0, days=90)
    write_history(tmp_path / "index.db", history, segment_us=600 * US_PER_S)

    async def body() -> None:
        async with bench(tmp_path) as one:
            windows = [
                (GATE, "gate", T0 - 90 * DAY_US, T0),
                (GATE, "gate", T0 - 7 * DAY_US, T0),
                (YARD, "yard", T0 - 90 * DAY_US, T0),
                (YARD, "yard", T0 - 30 * DAY_US - 12_345 * US_PER_S, T0 - 29 * DAY_US),
            ]
            async with asyncio.TaskGroup() as tasks:
                asking = [
                    tasks.create_task(_records(one, code, from_us, to_us))
                    for code, _, from_us, to_us in windows
                ]
            for (_, camera, from_us, to_us), task in zip(windows, asking, strict=True):
                assert task.result() == whole_seconds(history.spans[camera], from_us, to_us)
            # before the first recording, and after now
            assert await _records(one, GATE, T0 - 200 * DAY_US, T0 - 100 * DAY_US) == []
            assert await _records(one, GATE, T0 + DAY_US, T0 + 2 * DAY_US) == []
            answered = one.metric(
                "nvr_gb28181_record_queries_total", platform="city", result="answered"
            )
            assert answered == 6

    run(body())


def test_no_index_is_no_answer_and_not_an_hour_without_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uplink.records.PAUSE_S", 0.01)

    async def body() -> None:
        async with bench(tmp_path) as one:
            times = (
                "<StartTime>2026-11-23T08:00:00</StartTime><EndTime>2026-11-23T09:00:00</EndTime>"
            )
            with pytest.raises(IndexUnavailable):
                await one.ask("RecordInfo", times, device_id=GATE)
            count = one.metric(
                "nvr_gb28181_record_queries_total", platform="city", result="unavailable"
            )
            assert count == 1
            _, (empty,) = await one.ask("RecordInfo", times, device_id=DEVICE)
            assert judged(empty).findtext("SumNum") == "0"
            stranger = await one.ask("RecordInfo", times, device_id="34020000001320000099")
            assert stranger == (404, [])

    run(body())


# Orders --------------------------------------------------------------------------------------


def test_orders_reach_the_camera_in_their_order(tmp_path: Path) -> None:
    async def body() -> None:
        edge = Edge(answers={verb: {} for verb in ("move", "stop", "preset_call", "key_frame")})
        async with bench(tmp_path) as one, edge.listening(tmp_path):
            for frame in ("A50F01029600004D", "A50F018200020039", "A50F0100000000B5"):
                reply = await one.ask(
                    "DeviceControl", f"<PTZCmd>{frame}</PTZCmd>", kind="Control", device_id=GATE
                )
                assert reply == (200, [])
                await asyncio.sleep(0.05)
            await one.ask(
                "DeviceControl", "<IFameCmd>Send</IFameCmd>", kind="Control", device_id=GATE
            )
            await asyncio.sleep(0.05)
        verbs = [request["command"] for request in edge.asked]
        assert verbs == ["move", "preset_call", "stop", "key_frame"]
        assert edge.asked[0]["pan"] < 0

    run(body())


def test_destructive_orders_reach_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        edge = Edge(answers={"reboot": {}})
        async with bench(tmp_path) as one, edge.listening(tmp_path):
            for element, status in (
                ("<TeleBoot>Boot</TeleBoot>", 403),
                ("<FormatSDCard>1</FormatSDCard>", 403),
            ):
                assert await one.ask("DeviceControl", element, kind="Control") == (status, [])
            stop = "<RecordCmd>StopRecord</RecordCmd>"
            status, (answer,) = await one.ask("DeviceControl", stop, kind="Control", device_id=GATE)
            assert (status, judged(answer).findtext("Result")) == (200, "ERROR")
            osd = "<OSDConfig><TextEnable>0</TextEnable></OSDConfig>"
            status, (answer,) = await one.ask("DeviceConfig", osd, kind="Control", device_id=GATE)
            assert judged(answer).findtext("Result") == "ERROR"
            refused = one.metric("nvr_gb28181_commands_total", platform="city", verdict="refused")
            assert refused == 4
            # alarmed: to the platform once for each device, to the site's own register
            (fault,) = one.messages.faults()
            assert (fault["code"], fault["subject"]) == ("platform_orders_refused", "city")
            assert fault["reason_en"].endswith("OSDConfig")
            sending = asyncio.create_task(one.desk.run(one.platform))
            while len(one.platform.sent) < 2:
                await asyncio.sleep(0.01)
            sending.cancel()
            told = [judged(sent) for sent in one.platform.sent]
            assert [root.findtext("CmdType") for root in told] == ["Alarm", "Alarm"]
            assert {root.findtext("DeviceID") for root in told} == {DEVICE, GATE}
            one.clock.now_us += 3600 * US_PER_S
            assert one.messages.faults() == []
        assert edge.asked == []

    run(body())


def test_orders_with_an_answer(tmp_path: Path) -> None:
    async def body() -> None:
        edge = Edge(answers={"home_set": {}})
        async with bench(tmp_path) as one:

            async def result(command: str, element: str, code: str = GATE) -> str | None:
                status, (answer,) = await one.ask(command, element, kind="Control", device_id=code)
                assert status == 200
                return judged(answer).findtext("Result")

            home = "<HomePosition><Enabled>1</Enabled><ResetTime>9</ResetTime></HomePosition>"
            assert await result("DeviceControl", home) == "ERROR"  # no edge
            async with edge.listening(tmp_path):
                assert await result("DeviceControl", home) == "OK"
            assert await result("DeviceControl", "<RecordCmd>Record</RecordCmd>") == "OK"
            assert await result("DeviceControl", "<GuardCmd>ResetGuard</GuardCmd>") == "OK"
            _, (told,) = await one.ask("DeviceStatus", device_id=GATE)
            assert judged(told).findtext("Alarmstatus/Item/DutyStatus") == "OFFDUTY"
            assert await result("DeviceControl", "<GuardCmd>SetGuard</GuardCmd>") == "OK"
            _, (told,) = await one.ask("DeviceStatus", device_id=GATE)
            assert judged(told).findtext("Alarmstatus/Item/DutyStatus") == "ONDUTY"
            beat = "<BasicParam><HeartBeatInterval>30</HeartBeatInterval></BasicParam>"
            assert await result("DeviceConfig", beat, DEVICE) == "OK"
            assert one.platform.heartbeats == [(30, None)]

    run(body())


def test_there_is_no_loudspeaker(tmp_path: Path) -> None:
    async def body() -> None:
        async with bench(tmp_path) as one:
            elements = f"<SourceID>34020000001360000001</SourceID><TargetID>{GATE}</TargetID>"
            status, (answer,) = await one.ask("Broadcast", elements, kind="Notify")
            assert (status, judged(answer).findtext("Result")) == (200, "ERROR")
            assert judged(answer).findtext("DeviceID") == GATE

    run(body())


@pytest.mark.parametrize(("http_status", "arrived"), [(200, 2), (302, 0), (500, 0)])
def test_snapshots_are_taken_sent_and_reported(
    tmp_path: Path, http_status: int, arrived: int
) -> None:
    taken: list[bytes] = []

    async def body(port: int) -> None:
        edge = Edge(answers={"snapshot": {"jpeg": "/9j/2Q=="}})
        device = replace(DEVICE_2022, snapshot_hosts=frozenset({"127.0.0.1"}))
        async with bench(tmp_path, device) as one, edge.listening(tmp_path):
            order = (
                f"<SnapShotConfig><SnapNum>2</SnapNum><Interval>1</Interval><UploadURL>"
                f"http://127.0.0.1:{port}/snap</UploadURL><SessionID>abc-1</SessionID>"
                "</SnapShotConfig>"
            )
            _, (answer,) = await one.ask("DeviceConfig", order, kind="Control", device_id=GATE)
            assert judged(answer).findtext("Result") == "OK"
            while not one.platform.sent:
                await asyncio.sleep(0.05)
            root = judged(one.platform.sent[0])
            assert root.findtext("CmdType") == "UploadSnapShotFinished"
            assert root.findtext("SessionID") == "abc-1"
            names = [one.text or "" for one in root.findall("SnapShotList/SnapShotFileID")]
            assert len(names) == arrived
            for name in names:
                assert name.startswith(f"{GATE}02")
                assert len(name) == 41
                assert any(f'filename="{name}.jpg"'.encode() in form for form in taken)
            told = [(one.action, one.target, one.outcome) for one in one.platform.recorded]
            outcome = "done" if arrived else "failed"
            assert told == [("snapshot_upload", GATE, outcome)] * 2
            details = [one.detail for one in one.platform.recorded]
            assert all(name in detail for name, detail in zip(names, details, strict=False))

    with picture_server(http_status, taken) as port:
        run(body(port))
    assert len(taken) == 2
    assert all(b"\xff\xd8\xff\xd9" in form for form in taken)


# Subscriptions -------------------------------------------------------------------------------


def _subscribe(one: Bench, command: str, *elements: str, device_id: str = DEVICE) -> Any:
    request = incoming(asked(command, *elements, device_id=device_id), device=one.device)
    reply = one.messages.subscribe(request, 600)
    if reply.status == 200:
        one.platform.topics.add(reply.topic)
    return reply


def test_a_catalogue_subscription_hears_of_cameras(tmp_path: Path) -> None:
    async def body() -> None:
        async with bench(tmp_path) as one:
            reply = _subscribe(one, "Catalog")
            assert judged(reply.body).findtext("Result") == "OK"
            (first,) = await drained(reply.bodies)
            assert judged(first).findtext("DeviceList/Item/Event") == "OFF"
            one.state = ALL_ON
            one.messages.tick(one.platform)
            one.clock.now_us += SETTLES_US
            one.messages.tick(one.platform)
            await asyncio.gather(*one.platform.pulling)
            ((topic, told),) = one.platform.notified
            assert topic == "Catalog"
            item = judged(told).find("DeviceList/Item")
            assert item is not None
            assert (item.findtext("DeviceID"), item.findtext("Event")) == (YARD, "ON")
            one.messages.unsubscribed("city", "Catalog")
            one.state = STATE
            one.clock.now_us += 10 * SETTLES_US
            one.messages.tick(one.platform)
            assert len(one.platform.notified) == 1

    run(body())


def test_a_subscriber_hears_of_new_and_gone_cameras(tmp_path: Path) -> None:
    async def body() -> None:
        fewer = replace(DEVICE_2016, channels=DEVICE_2016.channels[:1])
        async with bench(tmp_path, fewer) as one:
            one.state = ALL_ON
            await drained(_subscribe(one, "Catalog").bodies)
            one.messages.apply({"city": DEVICE_2016})
            one.messages.tick(one.platform)
            one.messages.apply({"city": replace(DEVICE_2016, channels=DEVICE_2016.channels[1:])})
            one.messages.tick(one.platform)
            await asyncio.gather(*one.platform.pulling)
            events = [
                (item.findtext("DeviceID"), item.findtext("Event"), item.findtext("Name"))
                for _, told in one.platform.notified
                for item in judged(told).findall("DeviceList/Item")
            ]
            assert events == [(YARD, "ADD", "操场"), (GATE, "DEL", None)]
            status, _ = await one.ask("DeviceInfo", device_id=GATE)
            assert status == 200
            _, (answer,) = await one.ask("DeviceInfo", device_id=GATE)
            assert judged(answer).findtext("Result") == "ERROR"

    run(body())


@pytest.mark.parametrize("device", [DEVICE_2016, DEVICE_2022])
def test_a_place_is_repeated(tmp_path: Path, device: Device) -> None:
    async def body() -> None:
        async with bench(tmp_path, device) as one:
            reply = _subscribe(one, "MobilePosition", "<Interval>10</Interval>", device_id=GATE)
            first = [judged(told) for told in await drained(reply.bodies)]
            assert len(first) == 1
            assert first[0].find(".//Longitude") is not None
            one.messages.tick(one.platform)
            one.clock.now_us += 10 * US_PER_S
            one.messages.tick(one.platform)
            await asyncio.gather(*one.platform.pulling)
            assert len(one.platform.notified) == 1
            assert _subscribe(one, "MobilePosition", device_id=YARD).status == 489

    run(body())


def test_unknown_and_broken_subscriptions(tmp_path: Path) -> None:
    async def body() -> None:
        async with bench(tmp_path) as one:
            assert _subscribe(one, "PTZPosition").status == 489
            assert one.messages.subscribe(incoming(b"<x/>"), 600).status == 400

    run(body())


# Alarms --------------------------------------------------------------------------------------


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def _raise_alarm(one: Bench) -> None:
    one.state = STATE
    one.messages.tick(one.platform)


def test_an_alarm_survives_an_outage_and_a_restart(tmp_path: Path) -> None:
    async def before() -> None:
        async with bench(tmp_path) as one:
            one.platform.is_here = False
            serving = asyncio.get_running_loop().create_task(one.messages.serve())
            await _raise_alarm(one)
            files = list((tmp_path / "uplink").glob("alarms-*.json"))
            await _until(lambda: files or list((tmp_path / "uplink").glob("alarms-*.json")))
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            assert one.platform.sent == []
            assert one.metric("nvr_gb28181_alarms_waiting", platform="city") == 1

    async def after() -> None:
        async with bench(tmp_path) as one:
            one.platform.status = None
            serving = asyncio.get_running_loop().create_task(one.messages.serve())
            await asyncio.sleep(0.2)  # it was tried, and not answered
            one.platform.status = 200
            one.messages.registered("city")
            await _until(lambda: one.platform.sent)
            root = judged(one.platform.sent[0])
            assert (root.findtext("CmdType"), root.findtext("DeviceID")) == ("Alarm", YARD)
            assert root.findtext("AlarmTime") == "2026-11-23T08:00:00"  # when it began
            await _raise_alarm(one)  # the condition lasts: told before
            await asyncio.sleep(0.2)
            assert len(one.platform.sent) == 1
            reset = "<AlarmCmd>ResetAlarm</AlarmCmd>"
            await one.ask("DeviceControl", reset, kind="Control", device_id=YARD)
            await _raise_alarm(one)
            await _until(lambda: len(one.platform.sent) == 2)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    run(before())
    run(after())


def test_an_alarm_goes_out_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "uplink").write_text("in the way")

    async def body() -> None:
        async with bench(tmp_path) as one:
            serving = asyncio.get_running_loop().create_task(one.messages.serve())
            await _raise_alarm(one)
            await _until(lambda: one.platform.sent)
            assert one.metric("nvr_gb28181_failures_total", what="alarm_book_read") == 1
            assert one.metric("nvr_gb28181_failures_total", what="alarm_book_write") >= 1
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    run(body())


def test_a_subscribed_platform_hears_it_in_its_subscription(tmp_path: Path) -> None:
    async def body() -> None:
        async with bench(tmp_path) as one:
            serving = asyncio.get_running_loop().create_task(one.messages.serve())
            _subscribe(one, "Alarm", "<StartAlarmPriority>1</StartAlarmPriority>")
            await _raise_alarm(one)
            await _until(lambda: one.platform.notified)
            await asyncio.sleep(0.2)
            assert one.platform.sent == []
            assert [topic for topic, _ in one.platform.notified] == ["Alarm"]
            # a subscriber who wants the highest priority only does not hear of a lost picture
            one.platform.notified.clear()
            reset = "<AlarmCmd>ResetAlarm</AlarmCmd>"
            await one.ask("DeviceControl", reset, kind="Control")
            _subscribe(one, "Alarm", "<EndAlarmPriority>1</EndAlarmPriority>")
            await _raise_alarm(one)
            one.state = replace(SiteState())
            await asyncio.sleep(0.2)
            assert one.platform.notified == []
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    run(body())


# Anything ------------------------------------------------------------------------------------

_COMMANDS = st.sampled_from(
    [command for command, *_ in QUERIES] + ["DeviceControl", "DeviceConfig", "Broadcast"]
)
_NAMES = st.sampled_from(
    ["StartTime", "EndTime", "Type", "ConfigType", "Interval", "AlarmMethod", "TargetID", "Number"]
    + ["PTZCmd", "GuardCmd", "AlarmCmd", "RecordCmd", "HomePosition", "BasicParam", "Enabled"]
    + ["StartAlarmPriority", "EndAlarmPriority", "DeviceID", "SN", "CmdType"]
)
_VALUES = st.text(max_size=20) | st.sampled_from(
    ["2026-11-23T08:00:00", "0", "99999999999999999999", "-1", "BasicParam/OSDConfig", "<", "&#0;"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            _COMMANDS,
            st.sampled_from(["Query", "Control", "Notify", "Response"]),
            st.sampled_from([DEVICE, GATE, "", "34", "x" * 50]),
            st.lists(st.tuples(_NAMES, _VALUES), max_size=5),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_any_message_gets_a_status_and_whole_bodies(
    tmp_path: Path, requests: list[tuple[str, str, str, list[tuple[str, str]]]]
) -> None:
    async def body() -> None:
        async with bench(tmp_path) as one:
            for command, kind, code, pairs in requests:
                inside = "".join(f"<{name}>{value}</{name}>" for name, value in pairs)
                text = asked(command, kind=kind, device_id=code).decode("gb18030")
                raw = text.replace(f"</{kind}>", inside + f"</{kind}>").encode("utf-8", "replace")
                reply = one.messages.message(incoming(raw))
                assert 200 <= reply.status < 600
                for answer in await drained(reply.bodies):
                    judged(answer)
                subscribed = one.messages.subscribe(incoming(raw), 600)
                assert 200 <= subscribed.status < 600
                for answer in await drained(subscribed.bodies):
                    judged(answer)

    run(body())
