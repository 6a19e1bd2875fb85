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
