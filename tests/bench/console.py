"""The console's page on a store of 90 days and two million segments: time lines, and the first
picture in Chromium.

Times are told twice: of the box (over TLS, as the page asks) and of what the person sees. Beside
them stand what the index alone takes for the same time line, and what Chromium alone takes to show
the first picture of the same file when it lies in its memory.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from config.instants import format_instant
from edge.console.roles import Role
from edge.demo.plan import StreamPlan
from retention.clock import SystemClock
from retention.model import US_PER_S
from retention.read import Store
from tests.retention.storing import FakeClock, Site
from tests.support.big_store import DAY_US, BigStore, make_big_store
from tests.support.console_box import ConsoleBox, chromium, person
from tests.support.demo_footage import Take, record_take

S = US_PER_S
GATE = "gate"
STREAM = StreamPlan(width=1280, height=720, fps=25, gop_frames=50, bit_rate=2_000_000)
FOOTAGE_S = 120
SEEKS = 25
ASKED = 15

#: From a click on the time line to the first picture from there, in the page's own time.
SEEK = """([share]) => new Promise((resolve) => {
  const clock = document.querySelector('.clock');
  const canvas = document.querySelector('#lines canvas[data-camera]');
  const box = canvas.getBoundingClientRect();
  const at = { clientX: box.left + share * box.width, clientY: box.top + 9, pointerId: 1 };
  const before = clock.dataset.us;
  const began = performance.now();
  const look = new MutationObserver(() => {
    if (clock.dataset.us === before) return;
    look.disconnect();
    resolve(performance.now() - began);
  });
  look.observe(clock, { attributes: true });
  for (const kind of ['pointerdown', 'pointerup']) canvas.dispatchEvent(new PointerEvent(kind, at));
})"""

#: The first picture of a stored file that lies in memory: what no server can be faster than.
ALONE = """async ([head, piece]) => {
  const get = async (address) => (await fetch(address)).arrayBuffer();
  const data = [await get(head), await get(piece)];
  const video = document.createElement('video');
  video.muted = true;
  document.body.append(video);
  const began = performance.now();
  video.src = URL.createObjectURL(new Blob(data, { type: 'video/mp4' }));
  await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  const took = performance.now() - began;
  video.remove();
  return took;
}"""

#: How long the page takes until the time lines of another span are drawn.
DRAWN = """([span]) => new Promise((resolve) => {
  const began = performance.now();
  const canvases = [...document.querySelectorAll('#lines canvas[data-camera]')];
  const before = canvases.map((canvas) => canvas.dataset.fromUs);
  document.querySelector(`[data-span="${span}"]`).click();
  const look = () => {
    const all = canvases.every((canvas, n) => canvas.dataset.fromUs !== before[n]);
    if (all) resolve(performance.now() - began); else setTimeout(look, 5);
  };
  look();
})"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        folder.mkdir()
        now_us = SystemClock().utc_us()
        until_us = now_us // S * S - 600 * S
        began = time.perf_counter()
        big = make_big_store(folder, until_us, deleted_days=1)
        begin_us = add_footage(big, until_us)
        print(f"store of {big.segments:,} segments made in {time.perf_counter() - began:.0f} s")
        box = ConsoleBox(
            folder=folder,
            volumes=big.volumes,
            cameras={one: f'name = "{one}"' for one in (GATE, *big.cameras)},
        )
        box.write_config()
        box.account("chen", Role.HEAD)
        alone = index_alone(big, now_us)
        with box, chromium() as browser:
            _, page = person(browser, box, "chen")
            lines(page, big, now_us, alone)
            pictures(page, begin_us)


def add_footage(big: BigStore, until_us: int) -> int:
    """Two minutes that can be seen, behind the synthetic ones; where they begin."""
    begin_us = until_us
    site = Site(big.folder, big.volumes, FakeClock(begin_us))
    with site.running((GATE, *big.cameras)) as recorder:
        middle_us, end_us = begin_us + FOOTAGE_S // 2 * S, begin_us + FOOTAGE_S * S
        cuts = [begin_us, middle_us, end_us]
        take = Take(camera=GATE, run="f" * 32, first_number=1, cuts_us=cuts, stream=STREAM)
        record_take(recorder, take)
        site.clock.now_us = end_us
    return begin_us


def _ms(took: list[float]) -> str:
    took = sorted(took)
    return (
        f"p50 {statistics.median(took):7.1f} ms, p95 {took[len(took) * 19 // 20]:7.1f} ms"
        f" ({len(took)} times)"
    )


def _timed(act: Callable[[], object], count: int = ASKED) -> list[float]:
    took = []
    for _ in range(count):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1000)
    return took


def index_alone(big: BigStore, now_us: int) -> list[float]:
    draw = random.Random(1)
    with Store(big.index_path, big.volumes) as store:
        return _timed(
            lambda: store.timeline(draw.choice(big.cameras), now_us - 90 * DAY_US, now_us, now_us)
        )


def lines(page: Page, big: BigStore, now_us: int, alone: list[float]) -> None:
    """Time lines of 90 days."""
    print(f"90 days of a camera, the index alone:        {_ms(alone)}")
    page.goto("/playback")
    page.wait_for_selector("#gaps tr", timeout=120_000)
    draw = random.Random(2)

    def ask(path: str) -> None:
        took = page.evaluate(
            "async (path) => { const a = await fetch(path); return (await a.text()).length; }", path
        )
        assert took > 1000

    def window(camera: str) -> str:
        return f"/timeline/{camera}.json?from_us={now_us - 90 * DAY_US}&to_us={now_us}&buckets=1000"

    told = _timed(lambda: ask(window(draw.choice(big.cameras))))
    print(f"  as 1,000 buckets with holds and gaps:      {_ms(told)}")
    told = _timed(lambda: ask(f"/timeline/{draw.choice(big.cameras)}/hours.json"))
    print(f"  hour by hour:                              {_ms(told)}")
    spans = [page.get_attribute("[data-span]", "data-span"), "604800"]
    drawn: dict[str | None, list[float]] = {span: [] for span in spans}
    for _ in range(5):
        for span in reversed(spans):
            page.wait_for_timeout(500)
            drawn[span].append(page.evaluate(DRAWN, [span]))
    print(f"17 cameras' 90 days drawn in the page:       {_ms(drawn[spans[0]])}")
    print(f"17 cameras' week drawn in the page:          {_ms(drawn[spans[1]])}")


def pictures(page: Page, begin_us: int) -> None:
    """First pictures of two minutes of 720p25 at 2 Mbit/s, groups of 2 s."""
    opened = []
    for _ in range(5):
        page.goto(f"/playback?camera={GATE}")
        page.fill("#from", format_instant(begin_us)[:19])
        page.fill("#to", format_instant(begin_us + FOOTAGE_S * S)[:19])
        page.fill("#reason", "基准测试 benchmark")
        began = time.perf_counter()
        page.click("#ask button.primary")
        page.wait_for_selector(".clock[data-us]")
        opened.append((time.perf_counter() - began) * 1000)
    grant = page.get_attribute("#watch", "data-grant")
    base = f"/footage/{grant}/{GATE}/1"
    alone = [page.evaluate(ALONE, [f"{base}/head.mp4", f"{base}/5.m4s"]) for _ in range(SEEKS)]
    print(f"first picture, Chromium alone from memory:   {_ms(alone)}")
    draw = random.Random(3)
    took = []
    for _ in range(SEEKS):
        page.wait_for_timeout(300)
        took.append(page.evaluate(SEEK, [draw.uniform(0.01, 0.98)]))
    print(f"  any instant, from the click to the picture: {_ms(took)}")
    print(f"  reason stated to first picture, whole page: {_ms(opened)}")


if __name__ == "__main__":
    main()
