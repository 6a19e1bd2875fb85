// Several cameras on one clock: play, speed, steps, jumps over gaps. The first camera that has
// footage leads; the others are held to it.
"use strict";

export const RATES = [0.25, 0.5, 1, 2, 4, 8];
const TICK_MS = 100;
const STRAY_S = 0.08; // less is not worth a correction
const JUMP_S = 1.5; // more is mended by a jump, less by a little speed

export class Wall {
  /** `on.ontick(us, states)` after each step; `on.onjump(fromUs, toUs, cause)` over a gap. */
  constructor(players, fromUs, on) {
    this.players = players;
    this.on = on;
    this.us = fromUs;
    this.rate = 1;
    this.isPlaying = false;
    this.last = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  close() {
    clearInterval(this.timer);
    for (const player of this.players) player.close();
  }

  play() {
    this.isPlaying = true;
    this.last = performance.now();
    this.tick();
  }

  pause() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    for (const player of this.players) player.video.pause();
    const leader = this.leader();
    if (leader && leader.shownUs !== null) this.us = leader.shownUs;
    for (const player of this.players) player.wantedUs = this.us;
    this.told();
  }

  setRate(rate) {
    this.rate = rate;
    for (const player of this.players) {
      player.rate = rate;
      player.video.playbackRate = rate;
    }
    this.told();
  }

  seek(us) {
    this.us = us;
    for (const player of this.players) player.seek(us);
    this.told();
  }

  /** One picture of the leading camera on or back; the others follow. */
  step(count) {
    this.pause();
    const leader = this.leader() || this.players[0];
    const us = leader.neighbour(count);
    if (us !== null) this.seek(us);
  }

  leader() {
    return this.players.find((player) => player.state(this.us) === "footage" && !player.unsupported) || null;
  }

  tick() {
    const now = performance.now();
    const passedUs = Math.min(1000, now - this.last) * 1000 * this.rate;
    this.last = now;
    if (this.isPlaying) this.advance(passedUs);
    this.told();
  }

  advance(passedUs) {
    const states = this.players.map((player) => player.state(this.us));
    if (states.includes("loading")) { this.hold(); return; }
    const leader = this.leader();
    if (leader) {
      this.follow(leader);
      return;
    }
    if (states.includes("footage")) { // only pictures that this browser cannot play: time goes on
      this.us += passedUs;
      for (const player of this.players) player.wantedUs = this.us;
      return;
    }
    this.jump(states);
  }

  /** Everybody waits. */
  hold() {
    for (const player of this.players) if (!player.video.paused) player.video.pause();
    for (const player of this.players) player.wantedUs = this.us;
  }

  follow(leader) {
    const isReady = (player) => player.state(this.us) !== "footage" || player.unsupported || player.isReady(Math.max(this.us, player.mediaUs()));
    if (leader.video.paused && !this.players.every(isReady)) { // begin together
      for (const player of this.players) if (!isReady(player)) player.wake();
      return;
    }
    const mediaUs = leader.mediaUs();
    const strayUs = mediaUs - this.us;
    if (leader.video.paused) {
      if (Math.abs(strayUs) > JUMP_S * 1e6) { leader.seek(this.us); return; }
      this.start(leader);
    } else if (leader.state(mediaUs) === "footage") {
      this.us = Math.max(this.us, mediaUs);
    } else {
      this.us = mediaUs; // it ran to the edge of a gap
    }
    if (leader.video.readyState < 3) this.overHole(leader);
    leader.video.playbackRate = this.rate;
    leader.wantedUs = this.us;
    for (const player of this.players) if (player !== leader) this.hold_to(player);
  }

  start(player) {
    player.video.playbackRate = this.rate;
    const started = player.video.play();
    if (started) started.catch((error) => { if (error.name !== "AbortError") player.trouble(error); });
  }

  /** The leader has run dry: at the edge of a gap go on with the gap; over a hole of less than a
   *  second, which is no gap, go on behind it. */
  overHole(leader) {
    const us = leader.mediaUs();
    const { pieces } = leader.playlist;
    const place = leader.playlist.at(us);
    if (place < 0) return;
    const piece = pieces[place];
    const next = pieces[place + 1];
    if (piece.endUs - us > 400e3 || !leader.appended.has(piece.key)) return;
    if (!next || next.startUs - piece.endUs >= 1e6) {
      if (leader.playlist.isLoaded(piece.endUs)) this.us = piece.endUs;
    } else if (next.startUs > piece.endUs && leader.isReady(next.startUs + 1000)) {
      leader.seek(next.startUs);
      this.us = next.startUs;
    }
  }

  hold_to(player) {
    const { video } = player;
    if (player.state(this.us) !== "footage" || player.unsupported) {
      if (!video.paused) video.pause();
      player.wantedUs = this.us;
      return;
    }
    const strayS = (player.mediaUs() - this.us) / 1e6;
    if (Math.abs(strayS) > JUMP_S * Math.max(1, this.rate / 2) || !player.isReady(player.mediaUs())) {
      if (!video.seeking) player.seek(this.us + (video.paused ? 0 : 100000 * this.rate));
      if (video.paused && player.isReady(this.us)) this.start(player);
      return;
    }
    player.wantedUs = this.us;
    if (video.paused) this.start(player);
    const nudge = Math.abs(strayS) < STRAY_S ? 0 : Math.max(-0.15, Math.min(0.15, strayS / 2));
    video.playbackRate = this.rate * (1 - nudge);
  }

  /** Nobody has footage here: go to where the first one has, and say what was left out. */
  jump(states) {
    const starts = this.players.map((player) => {
      const next = player.playlist.after(this.us);
      const gap = player.playlist.gapAt(this.us);
      if (next) return next.startUs;
      return gap ? gap.endUs : null;
    }).filter((us) => us !== null && us > this.us);
    const gap = this.players.map((player) => player.playlist.gapAt(this.us)).find((one) => one);
    if (!starts.length || states.every((state) => state === "end")) {
      if (states.every((state) => state === "end")) { this.pause(); this.on.onend(); }
      return;
    }
    const toUs = Math.min(...starts);
    this.hold();
    if (gap) this.on.onjump(gap, toUs);
    this.seek(toUs);
  }

  told() {
    this.on.ontick(this.us, this.players.map((player) => player.state(this.us)));
  }
}
