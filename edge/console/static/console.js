// What every page has: the menu that folds on a phone, and questions before what cannot be undone.
"use strict";

const menu = document.querySelector("[data-menu]");
if (menu) {
  const list = document.getElementById(menu.getAttribute("aria-controls"));
  const fold = (isOpen) => {
    menu.setAttribute("aria-expanded", String(isOpen));
    list.classList.toggle("folded", !isOpen);
  };
  fold(false);
  menu.addEventListener("click", () => fold(menu.getAttribute("aria-expanded") !== "true"));
}

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.ask)) event.preventDefault();
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => window.print());
}

// Parts of a page that look again by themselves; they keep no session alive.
for (const place of document.querySelectorAll("[data-refresh]")) {
  const again = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(place.dataset.refresh, { redirect: "manual" });
      if (answer.ok) place.innerHTML = await answer.text();
      else if (answer.type === "opaqueredirect" || answer.status === 401) window.location.reload();
      place.classList.remove("stale");
    } catch {
      place.classList.add("stale"); // the box does not answer: what stands there is old
    }
  };
  window.setInterval(again, 1000 * Number(place.dataset.every));
}
