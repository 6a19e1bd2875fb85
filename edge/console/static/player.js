// Stored footage of one camera in a <video>, on wall time: every fragment is put at its own instant
// (Media Source Extensions), so media time plus `originUs` is the instant of the picture shown, to
// the microsecond. Instants are UTC microseconds, as numbers.
"use strict";

const MS = window.ManagedMediaSource || window.MediaSource;
const LEAD_US = 16000; // the edit list of our files: see retention/mp4/boxes.py, VIDEO_LEAD
const AHEAD_US = 12e6; // fetched before it is shown, at normal speed
const BEHIND_US = 20e6; // kept behind, for steps back
const WINDOW_US = 120e6; // one playlist
const FETCHES_MAX = 4;
const EDGE_REST_MS = 2000; // footage that is not on the disk yet is asked for so often

/** Whether this browser can play `type`; asked, never assumed. */
export function canPlay(type) {
  return Boolean(MS) && MS.isTypeSupported(type);
}

export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence || String(status));
    this.status = status;
  }
}

async function get(url, kind) {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) {
    let sentence = "";
    try { sentence = (await answer.json()).error; } catch { /* no JSON: the status must do */ }
    throw new Refused(answer.status, sentence);
  }
  return kind === "json" ? answer.json() : answer.arrayBuffer();
}

/** What is known of a camera's range: pieces to fetch and gaps, loaded a window at a time. */
export class Playlist {
  constructor(base, fromUs, toUs) {
    this.base = base;
    this.fromUs = fromUs;
    this.toUs = toUs;
    this.chapters = new Map(); // by number
    this.pieces = []; // in order of time; each {key, number, place, startUs, endUs, isKey, chapter}
    this.keys = new Set();
    this.gaps = [];
    this.loaded = []; // [from, to) known for good, joined, in order
    this.knownUs = toUs; // footage behind this is not on the disk yet
    this.loading = null;
  }

  isLoaded(us) {
    return this.loaded.some(([from, to]) => from <= us && us < to);
  }

  /** Load what is missing of [fromUs, toUs). */
  async ensure(fromUs, toUs) {
    fromUs = Math.max(fromUs, this.fromUs);
    toUs = Math.min(toUs, this.toUs);
    for (let us = fromUs; us < toUs;) {
      const range = this.loaded.find(([from, to]) => from <= us && us < to);
      if (range) { us = range[1]; continue; }
      await this.load(us, Math.min(us + WINDOW_US, this.toUs));
      if (!this.isLoaded(us)) return; // not on the disk yet
    }
  }

  async load(fromUs, toUs) {
    while (this.loading) await this.loading;
    if (this.isLoaded(fromUs)) return;
    this.loading = this.take(fromUs, toUs);
    try { await this.loading; } finally { this.loading = null; }
  }

  async take(fromUs, toUs) {
    const told = await get(`${this.base}/playlist.json?from_us=${fromUs}&to_us=${toUs}`, "json");
    for (const chapter of told.chapters) {
      if (!this.chapters.has(chapter.number)) {
        this.chapters.set(chapter.number, { ...chapter, head: null, soundHead: null });
      }
      const own = this.chapters.get(chapter.number);
      for (const [place, startUs, endUs, bytes, isKey] of chapter.pieces) {
        const key = `${chapter.number}/${place}`;
        if (this.keys.has(key)) continue;
        this.keys.add(key);
        this.pieces.push({ key, number: chapter.number, place, startUs, endUs, bytes, isKey: Boolean(isKey), chapter: own });
      }
    }
    this.pieces.sort((a, b) => a.startUs - b.startUs || a.number - b.number || a.place - b.place);
    const knownUs = told.known_us;
    if (knownUs < toUs) this.knownUs = knownUs;
    else if (this.knownUs < toUs) this.knownUs = this.toUs;
    for (const gap of told.gaps) {
      const before = this.gaps.find((one) => one.cause === gap.cause && one.startUs <= gap.end_us && gap.start_us <= one.endUs);
      if (before) {
        before.startUs = Math.min(before.startUs, gap.start_us);
        before.endUs = Math.max(before.endUs, gap.end_us);
      } else {
        this.gaps.push({ startUs: gap.start_us, endUs: gap.end_us, cause: gap.cause });
      }
    }
    this.gaps.sort((a, b) => a.startUs - b.startUs);
    if (knownUs > fromUs) this.mark(fromUs, Math.min(toUs, knownUs));
  }

  mark(fromUs, toUs) {
    const joined = [];
    for (const [from, to] of [...this.loaded, [fromUs, toUs]].sort((a, b) => a[0] - b[0])) {
      const last = joined[joined.length - 1];
      if (last && from <= last[1]) last[1] = Math.max(last[1], to);
      else joined.push([from, to]);
    }
    this.loaded = joined;
  }

  /** Place in `pieces` of the one that holds the instant, else -1. */
  at(us) {
    let low = 0;
    let high = this.pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.pieces[middle].startUs <= us) low = middle + 1; else high = middle;
    }
    for (let place = low - 1; place >= Math.max(0, low - 3); place -= 1) {
      if (this.pieces[place].endUs > us) return place;
    }
    return -1;
  }

  /** The first piece that begins behind the instant. */
  after(us) {
    return this.pieces.find((piece) => piece.startUs > us) || null;
  }

  gapAt(us) {
    return this.gaps.find((gap) => gap.startUs <= us && us < gap.endUs) || null;
  }
}

/** Of the pictures in a fragment of ours, in order: when each is shown (UTC microseconds), and how
 *  long as the file has it. */
export function picturesOf(buffer, zeroUs) {
  const view = new DataView(buffer);
  const children = function* (start, end) {
    while (start + 8 <= end) {
      const size = view.getUint32(start);
      if (size < 8) return;
      yield [view.getUint32(start + 4), start + 8, start + size];
      start += size;
    }
  };
  const [MOOF, TRAF, TFHD, TFDT, TRUN] = ["moof", "traf", "tfhd", "tfdt", "trun"].map(
    (name) => [...name].reduce((value, letter) => value * 256 + letter.charCodeAt(0), 0));
  const times = [];
  for (const [kind, start, end] of children(0, buffer.byteLength)) {
    if (kind !== MOOF) continue;
    for (const [inner, innerStart, innerEnd] of children(start, end)) {
      if (inner !== TRAF) continue;
      let decode = 0;
      let track = 0;
      for (const [box, at] of children(innerStart, innerEnd)) {
        if (box === TFHD) track = view.getUint32(at + 4);
        if (box === TFDT) decode = Number(view.getBigUint64(at + 4));
        if (box !== TRUN || track !== 1) continue;
        const count = view.getUint32(at + 4);
        for (let n = 0; n < count; n += 1) {
          const sample = at + 12 + 16 * n;
          times.push([zeroUs + decode + view.getUint32(sample + 12) - LEAD_US, view.getUint32(sample)]);
          decode += view.getUint32(sample);
        }
      }
    }
  }
  return times.sort((a, b) => a[0] - b[0]);
}

/**
 * Plays a camera's range. Callbacks: `onpicture(us)` for each picture shown, `onstate()` when what
 * `state` says may have changed, `ontrouble(error)`.
 */
export class Player {
  constructor(video, base, fromUs, toUs, on) {
    this.video = video;
    this.base = base;
    this.playlist = new Playlist(base, fromUs, toUs);
    this.on = on;
    this.originUs = fromUs - 600e6; // decoders need what lies before; media times stay positive
    this.wantedUs = fromUs;
    this.shownUs = null;
    this.rate = 1;
    this.appended = new Map(); // key of a piece: its pictures
    this.fetches = new Map(); // key: promise of bytes
    this.generation = 0;
    this.unsupported = ""; // the type that this browser cannot play
    this.tries = new Map(); // key of a piece: how often it was appended
    this.buffer = null;
    this.askedAt = 0; // when the edge of what is on the disk was asked for
    this.lastHead = null;
    this.isClosed = false;
    this.wake = () => {};
    this.ready = this.open(toUs);
  }

  async open(toUs) {
    const video = this.video;
    video.muted = true;
    video.playsInline = true;
    video.disableRemotePlayback = true; // ManagedMediaSource asks for it
    if (!MS) return;
    this.source = new MS();
    video.src = URL.createObjectURL(this.source);
    await new Promise((resolve) => this.source.addEventListener("sourceopen", resolve, { once: true }));
    URL.revokeObjectURL(video.src);
    this.source.duration = (toUs - this.originUs) / 1e6 + 60;
    video.addEventListener("error", () => this.trouble(new Error(video.error ? video.error.message : "?")));
    if (video.requestVideoFrameCallback) {
      const shown = (_now, frame) => {
        // Chromium tells when the picture begins, Firefox after a seek where it was sought
        const us = this.originUs + Math.round(frame.mediaTime * 1e6);
        const beginsUs = this.pictureBefore(us + 500);
        this.shown(beginsUs === null ? us : beginsUs);
        if (!this.isClosed) video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    } else {
      for (const name of ["seeked", "timeupdate"]) {
        video.addEventListener(name, () => this.shown(this.pictureBefore(this.mediaUs())));
      }
    }
  }

  shown(us) {
    if (us === null || this.isClosed) return;
    this.shownUs = us;
    this.on.onpicture(us);
  }

  trouble(error) {
    if (!this.isClosed) this.on.ontrouble(error);
  }

  mediaUs() {
    return this.originUs + Math.round(this.video.currentTime * 1e6);
  }

  /** Begin, and fetch until closed. */
  async run() {
    await this.ready;
    while (!this.isClosed) {
      try {
        if (!(await this.feed())) await this.rest(150);
      } catch (error) {
        this.trouble(error);
        await this.rest(error instanceof Refused && error.status === 403 ? 60000 : 1500);
      }
    }
  }

  rest(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  close() {
    this.isClosed = true;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    this.wake();
  }

  /** Show the picture of an instant; `play` goes on from there. */
  seek(us) {
    this.generation += 1;
    this.wantedUs = Math.min(Math.max(us, this.playlist.fromUs), this.playlist.toUs - 1);
    this.place();
    this.wake();
  }

  /** Put the video where it is wanted: inside the time that the browser gives to the picture, and
   *  outside of what it gives to the one before. Files tell how long decoding takes, not how long a
   *  picture is shown, which differs for the first ones of a file. */
  place() {
    const us = this.wantedUs;
    const pictures = this.picturesAround(us);
    let n = pictures.length - 1;
    while (n >= 0 && pictures[n][0] > us) n -= 1;
    let target = us;
    if (n >= 0) {
      const [startUs, lastsUs] = pictures[n];
      const nextUs = n + 1 < pictures.length ? pictures[n + 1][0] : startUs + lastsUs;
      const endUs = Math.min(startUs + lastsUs, Math.max(nextUs, startUs + 1000));
      const beforeUs = n > 0 ? pictures[n - 1][0] + pictures[n - 1][1] : 0;
      target = (Math.max(startUs, beforeUs < endUs ? beforeUs : 0) + endUs) / 2;
    }
    this.video.currentTime = (target - this.originUs) / 1e6;
  }

  /** "footage", "gap", "loading", "end" (behind the range, or not on the disk yet) at an instant. */
  state(us) {
    const list = this.playlist;
    if (us >= list.toUs) return "end";
    if (list.at(us) >= 0) return "footage";
    if (list.isLoaded(us)) return "gap";
    return us >= list.knownUs ? "end" : "loading";
  }

  /** Whether the picture of the instant can be shown now. */
  isReady(us) {
    const at = (us - this.originUs) / 1e6;
    const ranges = this.video.buffered;
    for (let n = 0; n < ranges.length; n += 1) {
      if (ranges.start(n) <= at && at < ranges.end(n)) return !this.video.seeking;
    }
    return false;
  }

  // Steps -----------------------------------------------------------------------------------

  timesAround(us) {
    return this.picturesAround(us).map(([startUs]) => startUs);
  }

  picturesAround(us) {
    const list = this.playlist;
    const place = list.at(us);
    if (place < 0) return [];
    const found = [];
    for (let n = Math.max(0, place - 1); n <= Math.min(list.pieces.length - 1, place + 1); n += 1) {
      found.push(...(this.appended.get(list.pieces[n].key) || []));
    }
    return found.sort((a, b) => a[0] - b[0]);
  }

  pictureBefore(us) {
    const times = this.timesAround(us).filter((time) => time <= us);
    return times.length ? times[times.length - 1] : null;
  }

  /** The instant of the picture `count` (1 or -1) away from the one wanted, which may not be shown
   *  yet: steps come faster than pictures. Null at an edge. */
  neighbour(count) {
    const wantedUs = this.pictureBefore(this.wantedUs);
    const us = wantedUs !== null ? wantedUs : this.shownUs === null ? this.wantedUs : this.shownUs;
    const times = this.timesAround(us);
    const found = count > 0 ? times.find((time) => time > us + 500) : times.filter((time) => time < us - 500).pop();
    if (found !== undefined) return found;
    if (count > 0) {
      const next = this.playlist.after(us);
      return next ? next.startUs : null;
    }
    const before = this.playlist.pieces.filter((piece) => piece.startUs < us - 500).pop();
    return before ? Math.max(before.startUs, before.endUs - 20000) : null;
  }

  // Fetching --------------------------------------------------------------------------------

  /** One step of fetching; false where there is nothing to do. */
  async feed() {
    const generation = this.generation;
    const us = this.video.paused ? this.wantedUs : Math.max(this.wantedUs, this.mediaUs());
    const aheadUs = AHEAD_US * Math.max(1, this.rate);
    const list = this.playlist;
    if (!list.isLoaded(us)) {
      const isEdge = us >= list.knownUs;
      if (isEdge && performance.now() - this.askedAt < EDGE_REST_MS) return false;
      if (isEdge) this.askedAt = performance.now();
      await list.ensure(us, us + 1);
      this.on.onstate();
      if (generation !== this.generation) return true;
    }
    if (!MS) return false;
    const missing = this.missing(us, us + aheadUs);
    if (missing.length) {
      await this.add(missing, generation);
      this.on.onstate();
      return true;
    }
    const ahead = Math.min(us + aheadUs + 5e6, list.toUs);
    if (!list.isLoaded(ahead - 1) && us + aheadUs < list.knownUs) {
      await list.ensure(us, ahead);
      return this.missing(us, us + aheadUs).length > 0;
    }
    return false;
  }

  /** Pieces of the stretch that are to be appended, from the key frame before on, in order. */
  missing(fromUs, toUs) {
    const { pieces } = this.playlist;
    let first = this.playlist.at(fromUs);
    if (first < 0) {
      const next = this.playlist.after(fromUs);
      if (!next || next.startUs >= toUs) return [];
      first = pieces.indexOf(next);
    }
    while (first > 0 && !pieces[first].isKey && pieces[first - 1].chapter === pieces[first].chapter) first -= 1;
    const found = [];
    for (let n = first; n < pieces.length && pieces[n].startUs < toUs && found.length < FETCHES_MAX; n += 1) {
      const piece = pieces[n];
      if (!this.appended.has(piece.key) || !this.isHeld(piece)) found.push(piece);
      else if (found.length) break;
    }
    return found;
  }

  /** Whether the browser still has the piece: it may throw away what it likes. */
  isHeld(piece) {
    const at = ((piece.startUs + piece.endUs) / 2 - this.originUs) / 1e6;
    const buffered = this.buffer ? this.buffer.buffered : [];
    for (let n = 0; n < buffered.length; n += 1) {
      if (buffered.start(n) <= at && at < buffered.end(n)) return true;
    }
    // an empty fragment, or pictures that no decoder shows: not to be fetched for ever
    return (this.tries.get(piece.key) || 0) > 2;
  }

  bytes(piece) {
    if (!this.fetches.has(piece.key)) {
      const promise = get(`${this.base}/${piece.key}.m4s`, "bytes");
      promise.catch(() => this.fetches.delete(piece.key));
      this.fetches.set(piece.key, promise);
    }
    return this.fetches.get(piece.key);
  }

  async add(pieces, generation) {
    const { chapter } = pieces[0];
    if (!canPlay(chapter.type)) {
      this.unsupported = chapter.type;
      for (const piece of pieces.filter((one) => one.chapter.type === chapter.type)) {
        this.appended.set(piece.key, []);
        this.tries.set(piece.key, 3);
      }
      return;
    }
    this.unsupported = "";
    if (!chapter.head) chapter.head = get(`${this.base}/${chapter.number}/head.mp4`, "bytes").catch((error) => { chapter.head = null; throw error; });
    for (const piece of pieces) this.bytes(piece).catch(() => {});
    if (!this.buffer) {
      this.buffer = this.source.addSourceBuffer(chapter.type);
      this.type = chapter.type;
    }
    for (const piece of pieces) {
      if (piece.chapter !== chapter) return; // with the next step
      const [head, data] = await Promise.all([chapter.head, this.bytes(piece)]);
      this.fetches.delete(piece.key);
      if (this.isClosed) return;
      if (this.lastHead !== chapter.number) {
        if (this.type !== chapter.type) this.buffer.changeType(chapter.type);
        this.type = chapter.type;
        this.buffer.timestampOffset = (chapter.zero_us - this.originUs) / 1e6;
        await this.append(head);
        this.lastHead = chapter.number;
      }
      await this.append(data);
      this.tries.set(piece.key, (this.tries.get(piece.key) || 0) + 1);
      this.appended.set(piece.key, picturesOf(data, chapter.zero_us));
      const us = this.wantedUs;
      if (this.video.paused && piece.startUs <= us && us < piece.endUs) this.place();
      this.on.onstate();
      if (generation !== this.generation) return;
    }
    await this.shed();
  }

  async append(data) {
    for (let tries = 0; ; tries += 1) {
      try {
        await this.change(() => this.buffer.appendBuffer(data));
        return;
      } catch (error) {
        if (error.name !== "QuotaExceededError" || tries > 3) throw error;
        await this.shed(5e6 / (tries + 1));
      }
    }
  }

  /** Let go of what lies far behind, or far ahead after a seek. */
  async shed(behindUs = BEHIND_US) {
    const us = this.video.paused ? this.wantedUs : this.mediaUs();
    const low = (us - behindUs - this.originUs) / 1e6;
    const high = (us + 4 * AHEAD_US * Math.max(1, this.rate) - this.originUs) / 1e6;
    const { buffered } = this.buffer;
    const parts = [];
    for (let n = 0; n < buffered.length; n += 1) {
      if (buffered.start(n) < low - 10) parts.push([buffered.start(n), Math.min(low, buffered.end(n))]);
      if (buffered.end(n) > high + 10) parts.push([Math.max(high, buffered.start(n)), buffered.end(n)]);
    }
    for (const [from, to] of parts) {
      await this.change(() => this.buffer.remove(from, to));
    }
    if (this.appended.size > 2000) {
      for (const key of [...this.appended.keys()].slice(0, 1000)) this.appended.delete(key);
    }
  }

  change(doing) {
    return new Promise((resolve, reject) => {
      const { buffer } = this;
      const done = () => { clean(); resolve(); };
      const failed = () => { clean(); reject(new Error("append")); };
      const clean = () => {
        buffer.removeEventListener("updateend", done);
        buffer.removeEventListener("error", failed);
      };
      buffer.addEventListener("error", failed);
      buffer.addEventListener("updateend", done);
      try { doing(); } catch (error) { clean(); reject(error); }
    });
  }
}
