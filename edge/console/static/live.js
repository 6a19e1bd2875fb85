// Live pictures: messages of edge/console/live_muxer.py into a <video>, kept close to the newest one.
import { canPlay } from "./player.js";
import { SiteTime } from "./timeline.js";

const TOLD = 1;
const HEAD = 2;
const FRAGMENT = 3;
const LAG_S = 2.5; // more is jumped over
const KEEP_S = 10;
const AGAIN_MS = 2000;

const page = document.getElementById("live");
const words = JSON.parse(page.dataset.words);
const time = new SiteTime(page.dataset.zone);

class View {
  constructor(box) {
    this.camera = box.dataset.camera;
    this.video = box.querySelector("video");
    this.over = box.querySelector(".over");
    this.clock = box.querySelector(".clock");
    this.originUs = null;
  }

  say(text) {
    this.over.textContent = text;
    this.over.hidden = !text;
  }

  /** Watch until it is refused; try again when the camera or the service was away. */
  async run() {
    for (;;) {
      let status = 0;
      try {
        status = await this.watch();
      } catch (error) {
        if (error.name === "NotSupportedError") { this.say(words.unsupported); return; }
      }
      if (status === 401 || status === 403) { this.say(words.ended); return; }
      this.say(words.nothing);
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  async watch() {
    const address = `/live/${page.dataset.grant}/${encodeURIComponent(this.camera)}/stream`;
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok) return answer.status;
    const reader = answer.body.getReader();
    let rest = new Uint8Array(0);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return 0;
        const data = new Uint8Array(rest.length + value.length);
        data.set(rest);
        data.set(value, rest.length);
        rest = await this.take(data);
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  /** Whole messages; gives back what is left. */
  async take(data) {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    let at = 0;
    let media = [];
    while (at + 5 <= data.length) {
      const size = view.getUint32(at + 1);
      if (at + 5 + size > data.length) break;
      const body = data.subarray(at + 5, at + 5 + size);
      const kind = data[at];
      at += 5 + size;
      if (kind === FRAGMENT) { media.push(body); continue; }
      await this.append(media);
      media = [];
      if (kind === TOLD) await this.begin(JSON.parse(new TextDecoder().decode(body)));
      else if (kind === HEAD) await this.append([body]);
    }
    await this.append(media);
    return data.slice(at);
  }

  async begin({ type, zero_us: zeroUs }) {
    if (!canPlay(type)) throw new DOMException(type, "NotSupportedError");
    if (!this.source) {
      this.originUs = zeroUs - 60e6;
      this.source = new (window.ManagedMediaSource || window.MediaSource)();
      this.video.disableRemotePlayback = true;
      this.video.src = URL.createObjectURL(this.source);
      await new Promise((resolve) => this.source.addEventListener("sourceopen", resolve, { once: true }));
      this.buffer = this.source.addSourceBuffer(type);
      this.follow();
    } else {
      this.buffer.changeType(type);
    }
    this.buffer.timestampOffset = (zeroUs - this.originUs) / 1e6;
  }

  async append(parts) {
    if (!parts.length || !this.buffer) return;
    await this.change(() => this.buffer.appendBuffer(joined(parts)));
    this.hurry();
    const old = this.video.currentTime - KEEP_S;
    if (this.buffer.buffered.length && this.buffer.buffered.start(0) < old - KEEP_S) {
      await this.change(() => this.buffer.remove(0, old));
    }
  }

  change(doing) {
    return new Promise((resolve, reject) => {
      this.buffer.addEventListener("updateend", resolve, { once: true });
      this.buffer.addEventListener("error", () => reject(new Error("append")), { once: true });
      doing();
    });
  }

  /** To the newest picture, or a little faster towards it. */
  hurry() {
    const { buffered } = this.video;
    if (!buffered.length) return;
    const end = buffered.end(buffered.length - 1);
    const start = buffered.start(buffered.length - 1);
    const lag = end - this.video.currentTime;
    if (lag > LAG_S || this.video.currentTime < start) this.video.currentTime = Math.max(start, end - 0.4);
    this.video.playbackRate = lag > 1.2 ? 1.1 : 1;
    if (this.video.paused) this.video.play().catch(() => {});
  }

  follow() {
    const shown = (_now, frame) => {
      const us = this.originUs + Math.round(frame.mediaTime * 1e6);
      this.clock.textContent = time.text(us, true);
      this.clock.dataset.us = String(us);
      this.say("");
      this.video.requestVideoFrameCallback(shown);
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(shown);
    else this.video.addEventListener("timeupdate", () => shown(0, { mediaTime: this.video.currentTime }));
  }
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

for (const box of page.querySelectorAll(".screen")) new View(box).run();
