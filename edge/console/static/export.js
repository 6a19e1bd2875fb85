// Follows an export until it is done; the page is loaded anew with each change of its state.
"use strict";

const order = document.getElementById("export");
const LOOK_MS = 2000;

async function look() {
  try {
    const answer = await fetch(`/exports/${order.dataset.id}/state.json`, { credentials: "same-origin" });
    if (answer.ok) {
      const told = await answer.json();
      if (told.state !== order.dataset.state) { window.location.reload(); return; }
      const bar = document.getElementById("progress");
      if (bar) {
        bar.value = told.share;
        document.getElementById("share").textContent = `${told.share} %`;
      }
    }
  } catch { /* the next look may be answered */ }
  setTimeout(look, LOOK_MS);
}

if (["asked", "approved", "running"].includes(order.dataset.state)) setTimeout(look, LOOK_MS);
