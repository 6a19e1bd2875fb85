// Cameras' time lines on canvases, from 90 days down to seconds. No gap is hidden: a column with any
// gap has a mark, however short the gap (edge/console/glance.py tells each column).
"use strict";

const ROW_PX = 34;
const AXIS_PX = 24;
const SPAN_MIN_US = 10e6;
const DAY_US = 86400e6;
const COLOURS = { recorded: "#2f7d57", missing: "#c22525", expired: "#c9d1d8", held: "#b8860b", marker: "#1d4f91", none: "#f3f5f7" };
const STEPS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600];

/** Instants as the site reads them. */
export class SiteTime {
  constructor(zone) {
    this.zone = zone;
    this.form = new Intl.DateTimeFormat("sv-SE", {
      timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
    });
  }

  /** `2026-11-25 20:15:30`, with milliseconds where asked. */
  text(us, hasMilliseconds = false) {
    const seconds = this.form.format(new Date(Math.floor(us / 1e6) * 1000));
    if (!hasMilliseconds) return seconds;
    return `${seconds}.${String(Math.floor((us % 1e6) / 1000)).padStart(3, "0")}`;
  }

  /** How much the site's clock is ahead of UTC at an instant. */
  offsetUs(us) {
    const local = Date.parse(`${this.text(us).replace(" ", "T")}Z`) * 1000;
    return local - Math.floor(us / 1e6) * 1e6;
  }

  /** The instant that a `datetime-local` field names; null where it names none. */
  parse(text) {
    const ms = Date.parse(`${text}Z`);
    if (Number.isNaN(ms)) return null;
    const guess = ms * 1000;
    return guess - this.offsetUs(guess - this.offsetUs(guess));
  }

  field(us) {
    return this.text(us).replace(" ", "T");
  }
}

/** A length as people say it. */
export function lengthText(us, units) {
  const seconds = Math.max(0, us / 1e6);
  if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} ${units.s}`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} ${units.m} ${Math.round(seconds % 60)} ${units.s}`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} ${units.h} ${Math.round((seconds % 3600) / 60)} ${units.m}`;
  return `${Math.floor(seconds / 86400)} ${units.d} ${Math.round((seconds % 86400) / 3600)} ${units.h}`;
}

/**
 * Rows of cameras. `words`: texts by name. `on.pick(us, camera)`: an instant was chosen;
 * `on.view(fromUs, toUs)`: another stretch is shown; `on.told(documents)`: its facts have come.
 */
export class Timeline {
  constructor(host, cameras, limits, time, words, on) {
    this.host = host;
    this.cameras = cameras;
    this.limits = limits; // {fromUs, toUs}: nothing is shown beyond
    this.time = time;
    this.words = words;
    this.on = on;
    this.fromUs = limits.fromUs;
    this.toUs = limits.toUs;
    this.cursorUs = null;
    this.documents = new Map(); // by camera
    this.asked = 0;
    this.rows = cameras.map((camera) => this.row(camera));
    this.axis = document.createElement("canvas");
    this.axis.className = "axis";
    this.axis.setAttribute("aria-hidden", "true");
    host.append(this.axis);
    new ResizeObserver(() => this.refresh()).observe(host);
  }

  row(camera) {
    const row = document.createElement("div");
    row.className = "line";
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = camera.name;
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", camera.name);
    canvas.dataset.camera = camera.id;
    row.append(name, canvas);
    this.host.append(row);
    this.listen(canvas, camera);
    return { camera, canvas };
  }

  listen(canvas, camera) {
    let down = null;
    let hasMoved = false;
    canvas.addEventListener("pointerdown", (event) => {
      down = { x: event.clientX, fromUs: this.fromUs, toUs: this.toUs };
      hasMoved = false;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!down) { canvas.title = this.hint(camera.id, this.instant(canvas, event)); return; }
      const moved = event.clientX - down.x;
      if (Math.abs(moved) < 5 && !hasMoved) return;
      hasMoved = true;
      const us = -moved / canvas.clientWidth * (down.toUs - down.fromUs);
      this.show(down.fromUs + us, down.toUs + us);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (down && !hasMoved) this.on.pick(this.instant(canvas, event), camera.id);
      down = null;
    });
    canvas.addEventListener("pointercancel", () => { down = null; });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.5 : 1 / 1.5, this.instant(canvas, event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const span = this.toUs - this.fromUs;
      if (event.key === "ArrowLeft") this.show(this.fromUs - span / 4, this.toUs - span / 4);
      else if (event.key === "ArrowRight") this.show(this.fromUs + span / 4, this.toUs + span / 4);
      else if (event.key === "+" || event.key === "=") this.zoom(0.5);
      else if (event.key === "-") this.zoom(2);
      else if (event.key === "Enter") this.on.pick(Math.round((this.fromUs + this.toUs) / 2), camera.id);
      else return;
      event.preventDefault();
    });
  }

  instant(canvas, event) {
    const box = canvas.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return Math.round(this.fromUs + share * (this.toUs - this.fromUs));
  }

  /** What stands at an instant, in words. */
  hint(camera, us) {
    const told = this.documents.get(camera);
    const text = this.time.text(us);
    if (!told) return text;
    const gap = told.gaps.find((one) => one.start_us <= us && us < one.end_us);
    return gap ? `${text}  ${this.words.causes[gap.cause]}` : text;
  }

  zoom(factor, aroundUs = null) {
    const span = (this.toUs - this.fromUs) * factor;
    const centre = aroundUs === null ? (this.cursorIsSeen() ? this.cursorUs : (this.fromUs + this.toUs) / 2) : aroundUs;
    const share = (centre - this.fromUs) / (this.toUs - this.fromUs);
    this.show(centre - span * share, centre + span * (1 - share));
  }

  /** The buttons below `root` that go to what stands beside, by half of what is shown, and closer. */
  obey(root) {
    for (const button of root.querySelectorAll("[data-move]")) {
      button.addEventListener("click", () => {
        const us = Number(button.dataset.move) * (this.toUs - this.fromUs) / 2;
        this.show(this.fromUs + us, this.toUs + us);
      });
    }
    for (const button of root.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.zoom(Number(button.dataset.zoom)));
    }
  }

  cursorIsSeen() {
    return this.cursorUs !== null && this.fromUs <= this.cursorUs && this.cursorUs < this.toUs;
  }

  show(fromUs, toUs) {
    const { limits } = this;
    const span = Math.min(limits.toUs - limits.fromUs, Math.max(SPAN_MIN_US, toUs - fromUs));
    const centre = (fromUs + toUs) / 2;
    const from = Math.max(limits.fromUs, Math.min(limits.toUs - span, centre - span / 2));
    this.fromUs = Math.round(from);
    this.toUs = Math.round(from + span);
    this.refresh();
  }

  cursor(us) {
    this.cursorUs = us;
    this.draw();
  }

  /** Ask for what is shown, soon; draw what there is at once. */
  refresh() {
    this.draw();
    this.on.view(this.fromUs, this.toUs);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), 60);
  }

  async ask() {
    this.asked += 1;
    const { asked, fromUs, toUs } = this;
    await Promise.all(this.rows.map(async ({ camera, canvas }) => {
      const buckets = Math.max(1, Math.min(2000, canvas.clientWidth));
      const url = `/timeline/${camera.id}.json?from_us=${fromUs}&to_us=${toUs}&buckets=${buckets}`;
      try {
        const answer = await fetch(url, { credentials: "same-origin" });
        if (!answer.ok) throw new Error(String(answer.status));
        const told = await answer.json();
        if (asked !== this.asked) return;
        this.documents.set(camera.id, told);
        canvas.dataset.fromUs = String(told.from_us);
        canvas.setAttribute("aria-label", this.summary(camera, told));
      } catch {
        if (asked === this.asked) {
          this.documents.delete(camera.id);
          canvas.setAttribute("aria-label", `${camera.name}: ${this.words.unavailable}`);
        }
      }
    }));
    if (asked !== this.asked) return;
    this.draw();
    this.on.told(this.documents);
  }

  summary(camera, told) {
    const due = told.recorded_us + told.missing_us;
    const share = due ? `${(Math.floor(told.recorded_us / due * 1e5) / 1e3).toFixed(3)} %` : "–";
    return `${camera.name}: ${this.words.recorded} ${share}, ${this.words.gaps} ${told.gap_count}`;
  }

  draw() {
    for (const { camera, canvas } of this.rows) this.drawRow(canvas, this.documents.get(camera.id));
    this.drawAxis();
  }

  surface(canvas, height) {
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const paper = canvas.getContext("2d");
    paper.setTransform(scale, 0, 0, scale, 0, 0);
    paper.clearRect(0, 0, width, height);
    return [paper, width];
  }

  x(us, width) {
    return (us - this.fromUs) / (this.toUs - this.fromUs) * width;
  }

  drawRow(canvas, told) {
    const [paper, width] = this.surface(canvas, ROW_PX);
    paper.fillStyle = COLOURS.none;
    paper.fillRect(0, 0, width, ROW_PX);
    if (told) {
      const top = 5;
      const high = ROW_PX - 9;
      const step = (told.to_us - told.from_us) / told.buckets.length;
      told.buckets.forEach(([recorded, missing, expired, , , isHeld], n) => {
        const left = this.x(told.from_us + n * step, width);
        const right = Math.max(left + 1, this.x(told.from_us + (n + 1) * step, width));
        if (right < 0 || left > width) return;
        const all = recorded + missing + expired;
        if (!all) return;
        const wide = right - left + 0.35;
        paper.fillStyle = recorded ? COLOURS.recorded : COLOURS.expired;
        if (recorded || expired) paper.fillRect(left, top, wide, high);
        if (missing) { // any gap, at least a third of the height
          paper.fillStyle = COLOURS.missing;
          paper.fillRect(left, top, Math.max(1, wide), recorded ? Math.max(high / 3, high * missing / all) : high);
        }
        if (isHeld) {
          paper.fillStyle = COLOURS.held;
          paper.fillRect(left, 0, wide, 3);
        }
      });
      paper.fillStyle = COLOURS.marker;
      for (const [n, kinds] of told.markers) {
        const left = this.x(told.from_us + n * step, width);
        paper.fillRect(left, ROW_PX - 4, Math.max(1.5, step / (told.to_us - told.from_us) * width), 3 + 0 * kinds.length);
      }
    }
    if (this.cursorIsSeen()) {
      const at = this.x(this.cursorUs, width);
      paper.fillStyle = "#fff";
      paper.fillRect(at - 2, 0, 4, ROW_PX);
      paper.fillStyle = "#111";
      paper.fillRect(at - 1, 0, 2, ROW_PX);
    }
  }

  drawAxis() {
    const [paper, width] = this.surface(this.axis, AXIS_PX);
    const perLabel = Math.max(1, Math.floor(width / 110));
    const span = (this.toUs - this.fromUs) / 1e6;
    const step = (STEPS_S.find((one) => span / one <= perLabel) || STEPS_S[STEPS_S.length - 1]) * 1e6;
    paper.fillStyle = "#4c5a67";
    paper.font = "12px system-ui, sans-serif";
    const shift = this.time.offsetUs(this.fromUs);
    for (let us = Math.ceil((this.fromUs + shift) / step) * step - shift; us < this.toUs; us += step) {
      const at = this.x(us, width);
      paper.fillRect(at, 0, 1, 5);
      const text = this.time.text(us);
      const label = step >= DAY_US ? text.slice(5, 10) : step >= 60e6 ? (text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16)) : text.slice(11);
      const wide = paper.measureText(label).width;
      if (at + wide / 2 < width && at - wide / 2 > 0) paper.fillText(label, at - wide / 2, 18);
    }
  }
}

/** Days as columns, hours as rows: 90 days of one camera at a glance. */
export class Days {
  constructor(canvas, time, words, on) {
    this.canvas = canvas;
    this.time = time;
    this.words = words;
    this.on = on;
    this.told = null;
    canvas.addEventListener("click", (event) => this.pick(event));
    canvas.addEventListener("pointermove", (event) => {
      const cell = this.cell(event);
      canvas.title = cell ? this.describe(cell) : "";
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  async load(camera) {
    const answer = await fetch(`/timeline/${camera}/hours.json`, { credentials: "same-origin" });
    this.told = answer.ok ? await answer.json() : null;
    this.draw();
    return this.told;
  }

  cell(event) {
    if (!this.told) return null;
    const box = this.canvas.getBoundingClientRect();
    const days = this.told.days;
    const day = Math.floor((event.clientX - box.left) / box.width * days.length);
    const hour = Math.floor((event.clientY - box.top) / box.height * 24);
    const found = days[Math.min(days.length - 1, Math.max(0, day))];
    return found ? { day: found, hour: Math.min(23, Math.max(0, hour)) } : null;
  }

  describe({ day, hour }) {
    const [recorded, missing, expired, gaps, cause] = day.hours[hour];
    const head = `${day.date} ${String(hour).padStart(2, "0")}:00`;
    if (!recorded && !missing && !expired) return `${head}  ${this.words.not_due}`;
    if (!gaps) return `${head}  ${recorded ? this.words.complete : this.words.causes.expired}`;
    return `${head}  ${this.words.gaps} ${gaps}: ${this.words.causes[cause]}`;
  }

  pick(event) {
    const cell = this.cell(event);
    if (cell) this.on.pick(cell.day.from_us + cell.hour * 3600e6, cell.day);
  }

  draw() {
    const { canvas } = this;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const paper = canvas.getContext("2d");
    paper.setTransform(scale, 0, 0, scale, 0, 0);
    if (!this.told) return;
    const { days } = this.told;
    const wide = width / days.length;
    const high = height / 24;
    const space = wide > 6 ? 1 : 0.4;
    days.forEach((day, x) => {
      day.hours.forEach(([recorded, missing, expired, , , isHeld], y) => {
        const all = recorded + missing + expired;
        const left = x * wide;
        const top = y * high;
        paper.fillStyle = !all ? "#eef1f4" : recorded ? COLOURS.recorded : missing ? COLOURS.missing : COLOURS.expired;
        paper.fillRect(left, top, wide - space, high - space);
        if (recorded && missing) {
          paper.fillStyle = COLOURS.missing;
          paper.fillRect(left, top, Math.max(Math.min(3, wide - space), (wide - space) * missing / all), high - space);
        }
        if (isHeld) {
          paper.fillStyle = COLOURS.held;
          paper.fillRect(left, top, wide - space, 1.5);
        }
      });
    });
  }
}
