"""Footage in a real browser: the clock under a picture is the one that is burnt into it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from config.instants import format_instant, parse_instant
from edge.console.roles import Role
from retention.model import US_PER_S
from tests.support.accessibility import serious
from tests.support.box import wait_for
from tests.support.burnt_clock import GRAB, GRAB_NEXT, read_clock
from tests.support.console_box import PHONE, ConsoleBox, person, screenshot
from tests.support.demo_store import CAMERAS, DemoStore, make_demo_store

pytestmark = pytest.mark.integration
S = US_PER_S
REASON = "家长询问丢失的书包"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DemoStore:
    return make_demo_store(tmp_path_factory.mktemp("watch") / "box")


@pytest.fixture(scope="module")
def box(store: DemoStore) -> Iterator[ConsoleBox]:
    found = ConsoleBox(folder=store.site.folder, volumes=store.site.volumes, cameras=CAMERAS)
    found.write_config()
    found.account("chen", Role.HEAD)
    with found:
        yield found


@pytest.fixture
def page(browser: Browser, box: ConsoleBox) -> Iterator[Page]:
    """A page of a head; nothing on it may fail or ask elsewhere."""
    context, found = person(browser, box, "chen")
    wrong: list[str] = []
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    found.on("request", lambda asked: wrong.append(asked.url) if _is_away(asked.url, box) else None)
    yield found
    context.close()
    assert wrong == []


def _is_away(url: str, box: ConsoleBox) -> bool:
    return not url.startswith((box.url, "blob:", "data:"))


def text(instant_us: int) -> str:
    return format_instant(instant_us).replace("T", " ")[:23]


def watch(page: Page, cameras: list[str], from_us: int, to_us: int) -> None:
    """Through the form, as a person does it."""
    page.goto("/playback")
    for box in page.query_selector_all("input[name=camera]"):
        box.set_checked(box.get_attribute("value") in cameras)
    page.fill("#from", format_instant(from_us)[:19])
    page.fill("#to", format_instant(to_us)[:19])
    page.fill("#reason", REASON)
    page.click("#ask button.primary")
    page.wait_for_selector("#watch .clock[data-us]")


def clock_of(page: Page, camera: str) -> str:
    return page.inner_text(f'[data-camera="{camera}"] .clock')


def wait_clock(page: Page, camera: str, wanted: str) -> None:
    page.locator(f'[data-camera="{camera}"] .clock', has_text=wanted).wait_for()


def burnt(page: Page, camera: str) -> str:
    return read_clock(page.eval_on_selector(f'[data-camera="{camera}"] video', GRAB))


def test_step_by_step_over_a_segments_boundary_and_a_gap(page: Page, store: DemoStore) -> None:
    """Each picture's clock is the one burnt into it, of a stream with and one without B-frames."""
    begin_us = store.begin_us
    for camera, edge_s in (("gate", 9), ("gate", 19), ("parking", 0), ("parking", 9)):
        from_us = begin_us + edge_s * S
        watch(page, [camera], from_us, begin_us + 40 * S)
        wait_clock(page, camera, text(from_us))
        assert burnt(page, camera) == text(from_us)
        before = 8 if edge_s else 0  # of no interest
        for _ in range(before):
            page.click("#step")
        expected_us = from_us + before * S // 10
        for _ in range(4):
            expected_us += S // 10
            if camera == "gate" and expected_us == begin_us + 20 * S:
                expected_us += 10 * S  # the gap
            page.click("#step")
            wait_clock(page, camera, text(expected_us))
            assert burnt(page, camera) == text(expected_us)
        page.click("#stepback")
        page.click("#stepback")
        page.click("#stepback")
        wait_clock(page, camera, text(from_us + (before + 1) * S // 10))
        assert burnt(page, camera) == text(from_us + (before + 1) * S // 10)


def test_no_step_is_lost_that_comes_before_its_picture(page: Page, store: DemoStore) -> None:
    from_us = store.begin_us + 2 * S
    watch(page, ["gate"], from_us, store.begin_us + 40 * S)
    wait_clock(page, "gate", text(from_us))
    for button, count, at_us in (
        ("step", 7, from_us + 7 * S // 10),
        ("stepback", 4, from_us + 3 * S // 10),
    ):
        page.evaluate(
            f"for (let n = 0; n < {count}; n += 1) document.getElementById('{button}').click()"
        )
        wait_clock(page, "gate", text(at_us))
        assert burnt(page, "gate") == text(at_us)


def test_playing_over_boundary_and_gap_the_clock_is_the_burnt_one(
    page: Page, store: DemoStore
) -> None:
    """While it plays, at several speeds; the gap is jumped with its cause."""
    begin_us = store.begin_us
    watch(page, ["gate"], begin_us + 6 * S, begin_us + 40 * S)
    page.select_option("#rate", "2")
    page.click("#play")
    read: list[str] = []
    video = page.query_selector('[data-camera="gate"] video')
    assert video is not None
    while not read or read[-1] < text(begin_us + 32 * S):
        if len(read) == 15:
            page.select_option("#rate", "4")
        picture, shown, following = video.evaluate(GRAB_NEXT)
        assert shown <= read_clock(picture) <= following  # a canvas may get the next one
        assert not read or shown >= read[-1]
        read.append(shown)
    assert read[0] < text(begin_us + 10 * S)
    assert [one for one in read if text(begin_us + 10 * S) <= one < text(begin_us + 20 * S)]
    assert not [one for one in read if text(begin_us + 20 * S) <= one < text(begin_us + 30 * S)]
    assert page.inner_text("#said") == "跳过缺口 10 秒：网络不通"


def test_several_cameras_keep_one_time_and_a_gap_shows_its_cause(
    page: Page, store: DemoStore
) -> None:
    begin_us = store.begin_us
    watch(page, ["gate", "parking"], begin_us + 16 * S, begin_us + 40 * S)
    for camera in ("gate", "parking"):
        wait_clock(page, camera, text(begin_us + 16 * S))
    page.click("#step")
    for camera in ("gate", "parking"):
        wait_clock(page, camera, text(begin_us + 16 * S + S // 10))
        assert burnt(page, camera) == text(begin_us + 16 * S + S // 10)
    page.select_option("#rate", "2")
    page.click("#play")
    over = page.locator('[data-camera="gate"] .over')
    over.filter(has_text="缺口: 网络不通").wait_for()  # the other camera goes on
    screenshot(page, "watch-gap")
    assert clock_of(page, "parking") > text(begin_us + 19 * S)
    over.wait_for(state="hidden")
    page.click("#play")
    page.wait_for_timeout(400)
    screenshot(page, "watch")
    gate, parking = (burnt(page, camera) for camera in ("gate", "parking"))
    assert gate == clock_of(page, "gate")
    assert parking == clock_of(page, "parking")
    assert gate > text(begin_us + 30 * S)


def test_h265_that_is_not_played_shows_a_still_and_a_word(page: Page, store: DemoStore) -> None:
    """Debian's Chromium has no H.265: it is asked, and a key frame is decoded by the box."""
    plays = "MediaSource.isTypeSupported('video/mp4; codecs=\"hvc1.1.6.L93.B0\"')"
    watch_without_wait(page, ["yard"], store)
    if page.evaluate(plays):
        pytest.skip("this Chromium plays H.265")
    still = page.locator('[data-camera="yard"] img.still')
    still.wait_for(state="visible")
    assert "H.265" in page.inner_text('[data-camera="yard"] .over')
    assert serious(page) == []
    screenshot(page, "watch-still")
    assert clock_of(page, "yard") == f"{text(store.begin_us)} (静图)"
    grab = GRAB.replace("video.videoWidth", "video.naturalWidth")
    picture = still.evaluate(grab.replace("video.videoHeight", "video.naturalHeight"))
    assert read_clock(picture) == text(store.begin_us)


def watch_without_wait(page: Page, cameras: list[str], store: DemoStore) -> None:
    watch(page, cameras, store.begin_us, store.begin_us + 10 * S)


def test_g711_is_heard(page: Page, store: DemoStore) -> None:
    """What the box repacks is taken by the browser, and as long as the pictures."""
    watch(page, ["hall"], store.begin_us, store.begin_us + 10 * S)
    page.click("#sound")
    page.click("#play")
    base = page.evaluate(
        """async () => {
          const view = document.getElementById('watch');
          return `/footage/${view.dataset.grant}/hall`;
        }"""
    )
    heard = page.evaluate(
        """async (base) => {
          const audio = new Audio(), source = new MediaSource();
          audio.src = URL.createObjectURL(source);
          await new Promise((resolve) => { source.onsourceopen = resolve; });
          const buffer = source.addSourceBuffer('audio/mp4; codecs="flac"');
          const parts = ['1/sound.mp4', '1/0.m4a', '1/1.m4a', '1/2.m4a'];
          for (const part of parts) {
            const data = await (await fetch(`${base}/${part}`)).arrayBuffer();
            buffer.appendBuffer(data);
            await new Promise((resolve) => { buffer.onupdateend = resolve; });
          }
          source.endOfStream();
          audio.muted = true;
          await audio.play();
          await new Promise((resolve) => { audio.onended = resolve; audio.playbackRate = 8; });
          return [audio.error, audio.buffered.length, audio.buffered.end(0)];
        }""",
        base,
    )
    assert heard[:2] == [None, 1]
    assert heard[2] == pytest.approx(6.0, abs=0.05)


def test_the_overview_shows_every_gap_and_leads_to_it(page: Page, store: DemoStore) -> None:
    page.goto("/playback")
    page.click('[data-span="86400"]')
    row = page.locator("#gaps tr", has_text="网络不通")
    row.wait_for()
    assert "10 秒" in row.inner_text()
    row.locator("button").click()
    assert page.input_value("#from") == format_instant(store.begin_us - 10 * S)[:19]
    page.locator("#shown", has_text=text(store.begin_us + 25 * S)[:14]).wait_for()
    line = page.locator('#lines canvas[data-camera="gate"]')
    expect(line).to_have_attribute("aria-label", re.compile("54.545 %, 缺口 2$"))
    screenshot(page, "overview")
    # this one, and since the service stopped
    wait_for("it is drawn", lambda: abs(line.evaluate(RED) - 25 / 60) < 0.02)
    assert line.evaluate(BLUE) == pytest.approx(10 / 60, abs=0.02)  # what the camera told


def test_buttons_keys_and_wheel_move_and_zoom_what_is_shown(page: Page, store: DemoStore) -> None:
    page.goto("/playback")
    page.click('[data-span="86400"]')
    page.locator("#gaps tr", has_text="网络不通").locator("button").click()

    def shows(from_s: float, to_s: float) -> None:
        ends = [text(store.begin_us + round(end_s * S))[:19] for end_s in (from_s, to_s)]
        expect(page.locator("#shown")).to_have_text(" – ".join(ends))

    shows(-5, 55)  # the gap in its middle
    for button, from_s, to_s in (
        ('[data-move="1"]', 25, 85),
        ('[data-move="-1"]', -5, 55),
        ('[data-zoom="0.4"]', 13, 37),
        ('[data-zoom="2.5"]', -5, 55),
    ):
        page.click(f"{button}:visible")
        shows(from_s, to_s)
    line = page.locator('#lines canvas[data-camera="gate"]')
    line.focus()
    for key, from_s, to_s in (
        ("ArrowRight", 10, 70),
        ("ArrowLeft", -5, 55),
        ("+", 10, 40),
        ("-", -5, 55),
    ):
        page.keyboard.press(key)
        shows(from_s, to_s)
    line.hover()
    page.mouse.wheel(0, -100)  # closer, around the pointer, which stands about in the middle

    def shown_s() -> list[float]:
        ends = page.inner_text("#shown").split(" – ")
        return [datetime.fromisoformat(f"{one}+08:00").timestamp() for one in ends]

    wait_for("it is closer", lambda: shown_s()[1] - shown_s()[0] < 60)
    begin_s = store.begin_us / S
    assert shown_s() == pytest.approx([begin_s + 5, begin_s + 45], abs=2)


#: Where in a time line's width the first marker stands.
BLUE = """(canvas) => {
  const scale = canvas.height / 34;
  const { data, width } = canvas.getContext('2d').getImageData(0, 32 * scale, canvas.width, 1);
  for (let x = 0; x < width; x += 1) {
    if (data[4 * x + 2] > 120 && data[4 * x] < 60) return x / width;
  }
  return -1;
}"""
#: How much of a time line's width is red.
RED = """(canvas) => {
  const { data, width } = canvas.getContext('2d').getImageData(0, 12, canvas.width, 1);
  let found = 0;
  for (let x = 0; x < width; x += 1) found += data[4 * x] > 180 && data[4 * x + 1] < 60;
  return found / width;
}"""


def test_a_phone_shows_the_same(browser: Browser, box: ConsoleBox, store: DemoStore) -> None:
    context, page = person(browser, box, "chen", PHONE)
    page.goto("/playback")
    page.wait_for_selector("#gaps tr")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    watch(page, ["gate", "parking"], store.begin_us, store.begin_us + 10 * S)
    wait_clock(page, "parking", text(store.begin_us))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert serious(page) == []
    screenshot(page, "watch-phone")
    context.close()


def test_every_look_is_on_record_before_it(page: Page, box: ConsoleBox, store: DemoStore) -> None:
    """Who, which camera, which range, why; and what went out of it, once it is over."""
    from_us, to_us = store.begin_us + 5 * S, store.begin_us + 9 * S
    watch(page, ["gate"], from_us, to_us)
    last = _looks(box, "begun")[-1]
    assert last["actor"] == "person:chen"
    assert last["subject"] == "cameras:gate"
    assert last["detail"]["reason"] == REASON
    assert last["detail"]["from_us"] == from_us
    assert last["detail"]["to_us"] == to_us
    page.click("header form button")
    page.wait_for_url("**/login")

    def is_told() -> list[dict[str, Any]] | None:
        looks = _looks(box, "done")
        return [one for one in looks if one["detail"]["grant"] == last["detail"]["grant"]] or None

    (over,) = wait_for("what went out", is_told, 30)
    assert over["actor"] == "person:chen"
    assert over["subject"] == "cameras:gate"
    begin_us, end_us = map(parse_instant, over["detail"]["ranges"].split("/"))
    assert begin_us <= from_us
    assert end_us == store.begin_us + 10 * S  # whole fragments, and to the end of the range


def _looks(box: ConsoleBox, outcome: str) -> list[dict[str, Any]]:
    found = [
        json.loads(line)
        for path in sorted((box.state / "audit" / "console").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    return [one for one in found if (one["action"], one["outcome"]) == ("footage_access", outcome)]
