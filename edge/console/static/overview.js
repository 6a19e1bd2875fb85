// The page of time lines: 90 days at a glance, down to seconds, and the form that asks for footage.
import { Days, SiteTime, Timeline, lengthText } from "./timeline.js";

const page = document.getElementById("overview");
const words = JSON.parse(page.dataset.words);
const time = new SiteTime(page.dataset.zone);
const nowUs = Number(page.dataset.nowUs);
const limits = { fromUs: nowUs - Number(page.dataset.days) * 86400e6, toUs: nowUs };
const select = document.getElementById("camera");
const cameras = [...select.options].map((option) => ({ id: option.value, name: option.textContent }));
const said = document.getElementById("days-said");
const RANGE_US = 600e6;
const DAY_US = 86400e6;

const timeline = new Timeline(document.getElementById("lines"), cameras, limits, time, words, {
  pick(us, camera) { choose(us, camera); },
  view(fromUs, toUs) {
    document.getElementById("shown").textContent = `${time.text(fromUs)} – ${time.text(toUs)}`;
  },
  told(documents) { list(documents); },
});

const days = new Days(document.getElementById("days"), time, words, {
  pick(us, day) {
    said.textContent = `${day.date}`;
    timeline.show(day.from_us, day.to_us);
    timeline.cursor(us);
  },
});

async function showDays() {
  const told = await days.load(select.value).catch(() => null);
  if (!told) { said.textContent = words.unavailable; return; }
  const last = told.days[told.days.length - 1];
  document.getElementById("days-from").textContent = told.days[0].date;
  document.getElementById("days-to").textContent = last.date;
  const cells = told.days.flatMap((day) => day.hours);
  const recorded = cells.reduce((sum, one) => sum + one[0], 0);
  const missing = cells.reduce((sum, one) => sum + one[1], 0);
  const share = recorded + missing ? (Math.floor(recorded / (recorded + missing) * 1e5) / 1e3).toFixed(3) : "–";
  said.textContent = `${words.recorded} ${share} %`;
}

/** An instant was chosen: mark it, and put a range from it into the form. */
function choose(us, camera) {
  timeline.cursor(us);
  const from = document.getElementById("from");
  if (!from) return;
  from.value = time.field(us);
  document.getElementById("to").value = time.field(Math.min(us + RANGE_US, nowUs));
  for (const box of document.querySelectorAll("input[name=camera]")) {
    if (box.value === camera) box.checked = true;
  }
}

function list(documents) {
  const rows = [];
  let all = 0;
  for (const camera of cameras) {
    const told = documents.get(camera.id);
    if (!told) continue;
    all += told.gap_count;
    for (const gap of told.gaps) rows.push({ camera, gap });
  }
  rows.sort((one, other) => other.gap.start_us - one.gap.start_us);
  const shown = rows.slice(0, 100);
  const body = document.getElementById("gaps");
  body.replaceChildren(...shown.map(({ camera, gap }) => row(camera, gap)));
  const more = document.getElementById("more");
  more.textContent = all ? (all > shown.length ? words.more.replace("{count}", all).replace("{shown}", shown.length) : "") : words.none;
}

function row(camera, gap) {
  const made = document.createElement("tr");
  made.className = "jump";
  const cell = (text, kind = "") => {
    const found = document.createElement("td");
    found.textContent = text;
    found.className = kind;
    made.append(found);
    return found;
  };
  cell(camera.name);
  const start = cell("");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet number";
  button.textContent = time.text(gap.start_us);
  button.title = words.go;
  button.addEventListener("click", () => {
    const spanUs = Math.max(60e6, 4 * (gap.end_us - gap.start_us));
    const centreUs = (gap.start_us + gap.end_us) / 2;
    timeline.show(centreUs - spanUs / 2, centreUs + spanUs / 2);
    choose(gap.start_us - 30e6, camera.id);
    document.getElementById("lines").scrollIntoView({ block: "center" });
  });
  start.append(button);
  cell(lengthText(gap.end_us - gap.start_us, words.units));
  cell(words.causes[gap.cause]);
  return made;
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    const spanUs = Number(button.dataset.span) * 1e6;
    const endUs = timeline.cursorIsSeen() ? timeline.cursorUs + spanUs / 2 : limits.toUs;
    timeline.show(endUs - spanUs, endUs);
  });
}
timeline.obey(document);
select.addEventListener("change", showDays);

if (document.getElementById("from") && !document.getElementById("from").value) choose(nowUs - RANGE_US, null);
timeline.show(nowUs - DAY_US, nowUs); // 90 days of every camera are asked for when they are wanted
showDays();
