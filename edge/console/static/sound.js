// The sound of one camera, beside its pictures: an <audio> of its own that is held to their time, so
// that sound never stops a picture. G.711 comes as FLAC, without loss (retention/mp4/browser.py).
import { canPlay } from "./player.js";

const AHEAD_US = 8e6;
const STRAY_S = 0.12;

export class SoundTrack {
  constructor(player, onrefused) {
    this.player = player;
    this.onrefused = onrefused;
    this.audio = new Audio();
    this.source = new (window.ManagedMediaSource || window.MediaSource)();
    this.audio.disableRemotePlayback = true;
    this.audio.src = URL.createObjectURL(this.source);
    this.source.addEventListener("sourceopen", () => { this.isOpen = true; }, { once: true });
    this.done = new Set();
    this.isBusy = false;
    this.isClosed = false;
    this.lastHead = null;
  }

  close() {
    this.isClosed = true;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  /** Called with each tick of the wall. */
  follow(us, isPlaying, rate) {
    if (!this.isOpen || this.isClosed) return;
    if (!this.isBusy) {
      this.isBusy = true;
      this.fetch(us).catch(() => {}).finally(() => { this.isBusy = false; });
    }
    const at = (this.player.mediaUs() - this.player.originUs) / 1e6;
    if (!isPlaying || rate > 2 || !this.holds(at)) {
      this.audio.pause();
      return;
    }
    this.audio.playbackRate = rate;
    if (Math.abs(this.audio.currentTime - at) > STRAY_S) this.audio.currentTime = at;
    if (this.audio.paused) this.audio.play().catch(() => this.onrefused());
  }

  holds(at) {
    const { buffered } = this.audio;
    for (let n = 0; n < buffered.length; n += 1) if (buffered.start(n) <= at && at < buffered.end(n)) return true;
    return false;
  }

  async fetch(us) {
    const { playlist, base, originUs } = this.player;
    const wanted = playlist.pieces.filter((piece) => piece.endUs > us && piece.startUs < us + AHEAD_US && piece.chapter.audio_type && !this.done.has(piece.key));
    for (const piece of wanted.slice(0, 4)) {
      const { chapter } = piece;
      this.done.add(piece.key);
      if (!canPlay(chapter.audio_type)) { this.onrefused(); return; }
      const data = await this.get(`${base}/${piece.key}.m4a`);
      if (!data || this.isClosed) continue;
      if (!this.buffer) this.buffer = this.source.addSourceBuffer(chapter.audio_type);
      if (this.lastHead !== chapter.number) {
        const head = await this.get(`${base}/${chapter.number}/sound.mp4`);
        if (!head) continue;
        this.buffer.changeType(chapter.audio_type);
        this.buffer.timestampOffset = (chapter.zero_us - originUs) / 1e6;
        await this.append(head);
        this.lastHead = chapter.number;
      }
      await this.append(data);
    }
  }

  async get(url) {
    const answer = await fetch(url, { credentials: "same-origin" });
    return answer.ok ? answer.arrayBuffer() : null;
  }

  append(data) {
    return new Promise((resolve, reject) => {
      this.buffer.addEventListener("updateend", resolve, { once: true });
      this.buffer.addEventListener("error", reject, { once: true });
      this.buffer.appendBuffer(data);
    });
  }
}
