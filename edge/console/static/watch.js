// The page on which footage is watched, under a grant.
import { Player, Refused } from "./player.js";
import { SoundTrack } from "./sound.js";
import { SiteTime, Timeline, lengthText } from "./timeline.js";
import { Wall } from "./wall.js";

const page = document.getElementById("watch");
const words = JSON.parse(page.dataset.words);
const cameras = JSON.parse(page.dataset.cameras);
const time = new SiteTime(page.dataset.zone);
const fromUs = Number(page.dataset.fromUs);
const toUs = Number(page.dataset.toUs);
const said = document.getElementById("said");
const playButton = document.getElementById("play");
const soundButton = document.getElementById("sound");

const screens = cameras.map((camera) => {
  const box = page.querySelector(`[data-camera="${CSS.escape(camera.id)}"]`);
  const screen = {
    camera,
    video: box.querySelector("video"),
    over: box.querySelector(".over"),
    clock: box.querySelector(".clock"),
    still: box.querySelector(".still"),
    stillAt: null,
    base: `/footage/${page.dataset.grant}/${encodeURIComponent(camera.id)}`,
  };
  screen.player = new Player(screen.video, screen.base, fromUs, toUs, {
    // the instant of the very picture that is shown, from the file's own times
    onpicture(us) {
      screen.clock.textContent = time.text(us, true);
      screen.clock.dataset.us = String(us);
    },
    onstate() { wall && wall.told(); },
    ontrouble(error) { trouble(screen, error); },
  });
  return screen;
});

let wall = null;
let saidTimer = 0;

function say(text, isBad = false) {
  said.textContent = text;
  said.hidden = !text;
  said.classList.toggle("bad", isBad);
  clearTimeout(saidTimer);
  if (text && !isBad) saidTimer = setTimeout(() => { said.hidden = true; }, 8000);
}

function trouble(screen, error) {
  if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
    if (wall) wall.pause();
    say(words.expired, true);
  } else {
    say(`${screen.camera.name}: ${words.trouble} ${error.message}`, true);
  }
}

const timeline = new Timeline(document.getElementById("lines"), cameras, { fromUs, toUs }, time, words, {
  pick(us) { wall.seek(us); },
  view(from, to) { document.getElementById("shown").textContent = `${time.text(from)} – ${time.text(to)}`; },
  told() {},
});

/** What lies over a picture: a gap with its cause, loading, the end, a codec that is not played. */
function cover(screen, us, state) {
  const { player, over } = screen;
  let text = "";
  let isLight = false;
  if (state === "gap") {
    const gap = player.playlist.gapAt(us);
    text = gap
      ? `${words.gap}: ${words.causes[gap.cause]}\n${time.text(gap.startUs)} – ${time.text(gap.endUs)}\n${lengthText(gap.endUs - gap.startUs, words.units)}`
      : words.not_due;
  } else if (state === "end") text = words.end;
  else if (player.unsupported && state === "footage") {
    text = words.unsupported;
    isLight = !screen.still.hidden;
    showStill(screen, us);
  } else if (!player.isReady(us) && player.shownUs === null) text = words.loading;
  if (state !== "footage" || !player.unsupported) screen.still.hidden = true;
  if (state !== "footage" && text) screen.clock.textContent = "–";
  over.textContent = text;
  over.hidden = !text;
  over.classList.toggle("light", isLight);
}

/** The key frame, decoded by the box for this look alone. */
async function showStill(screen, us) {
  if (screen.stillAt !== null && Math.abs(screen.stillAt - us) < 2e6) return;
  screen.stillAt = us;
  try {
    const answer = await fetch(`${screen.base}/still.jpg?at_us=${Math.round(us)}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const shownUs = Number(answer.headers.get("X-Instant-Us"));
    const address = URL.createObjectURL(await answer.blob());
    screen.still.src = address;
    await screen.still.decode();
    URL.revokeObjectURL(address);
    screen.still.hidden = false;
    screen.clock.textContent = `${time.text(shownUs, true)} (${words.still})`;
    screen.clock.dataset.us = String(shownUs);
    wall.told();
  } catch {
    screen.over.textContent = `${words.unsupported}\n${words.no_still}`;
  }
}

wall = new Wall(screens.map((screen) => screen.player), Number(page.dataset.atUs), {
  ontick(us, states) {
    screens.forEach((screen, n) => cover(screen, us, states[n]));
    const leader = wall ? wall.leader() : null;
    const exactUs = leader && leader.shownUs !== null && leader.state(leader.shownUs) === "footage" ? leader.shownUs : us;
    document.getElementById("now").textContent = time.text(exactUs, true);
    timeline.cursor(us);
    const isPlaying = Boolean(wall && wall.isPlaying);
    playButton.textContent = isPlaying ? words.pause : words.play;
    page.dataset.us = String(us);
    page.dataset.playing = String(isPlaying);
    if (soundTrack) soundTrack.follow(us, isPlaying, wall.rate);
    soundButton.hidden = !screens[0].player.playlist.pieces.some((piece) => piece.chapter.audio_type);
  },
  onjump(gap, jumpUs) {
    say(words.jumped.replace("{length}", lengthText(jumpUs - gap.startUs, words.units)).replace("{cause}", words.causes[gap.cause]));
  },
  onend() { say(words.end); },
});

let soundTrack = null;
soundButton.addEventListener("click", () => {
  if (soundTrack) {
    soundTrack.close();
    soundTrack = null;
  } else {
    soundTrack = new SoundTrack(screens[0].player, () => say(words.no_sound, true));
  }
  soundButton.setAttribute("aria-pressed", String(Boolean(soundTrack)));
});

playButton.addEventListener("click", () => { if (wall.isPlaying) wall.pause(); else wall.play(); });
document.getElementById("step").addEventListener("click", () => wall.step(1));
document.getElementById("stepback").addEventListener("click", () => wall.step(-1));
document.getElementById("back10").addEventListener("click", () => wall.seek(Math.max(fromUs, wall.us - 10e6)));
document.getElementById("on10").addEventListener("click", () => wall.seek(Math.min(toUs - 1, wall.us + 10e6)));
document.getElementById("rate").addEventListener("change", (event) => wall.setRate(Number(event.target.value)));

for (const button of page.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    const spanUs = Number(button.dataset.span) * 1e6 || toUs - fromUs;
    timeline.show(wall.us - spanUs / 2, wall.us + spanUs / 2);
  });
}
timeline.obey(page);
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, button, canvas, a") || event.ctrlKey || event.altKey || event.metaKey) return;
  const deeds = {
    " ": () => playButton.click(), ",": () => wall.step(-1), ".": () => wall.step(1),
    ArrowLeft: () => wall.seek(Math.max(fromUs, wall.us - 5e6)), ArrowRight: () => wall.seek(Math.min(toUs - 1, wall.us + 5e6)),
  };
  if (!deeds[event.key]) return;
  event.preventDefault();
  deeds[event.key]();
});

timeline.refresh();
for (const screen of screens) screen.player.run();
wall.seek(Number(page.dataset.atUs));
