// The queue by keyboard. Everything here only presses the page's own links and buttons.
"use strict";

(() => {
  const cards = [...document.querySelectorAll("[data-card]")];
  const boxes = [...document.querySelectorAll('input[name="case"]')];
  const all = document.getElementById("tick-all");
  const ticked = document.getElementById("ticked");
  let current = -1;

  function select(index) {
    if (!cards.length) return;
    current = Math.max(0, Math.min(index, cards.length - 1));
    cards.forEach((card, place) => card.classList.toggle("bm-current", place === current));
    cards[current].focus({ preventScroll: true });
    cards[current].scrollIntoView({ block: "nearest" });
  }

  function count() {
    const chosen = boxes.filter((box) => box.checked).length;
    if (ticked) ticked.textContent = chosen ? `${chosen} ticked` : "";
    document.querySelectorAll("[data-bulk]").forEach((button) => { button.disabled = !chosen; });
    if (all) {
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    }
  }

  const inCurrent = (selector) => cards[current] && cards[current].querySelector(selector);
  const press = (element) => element && element.click();

  const keys = {
    j: () => select(current + 1),
    k: () => select(current - 1),
    o: () => press(inCurrent("[data-open]")),
    x: () => press(inCurrent('input[name="case"]')),
    a: () => press(inCurrent('[data-verb="approve"]')),
    r: () => press(inCurrent('[data-verb="reject"]')),
    n: () => press(document.getElementById("review")),
    u: () => press(document.querySelector("[data-undo] button") || inCurrent('[data-verb="undo"]')),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && "arnu".includes(event.key)) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  if (all) {
    all.closest("label").hidden = !boxes.length;
    all.addEventListener("change", () => {
      boxes.forEach((box) => { box.checked = all.checked; });
      count();
    });
  }
  boxes.forEach((box) => box.addEventListener("change", count));
  cards.forEach((card, place) => card.addEventListener("focusin", () => {
    current = place;
    cards.forEach((other) => other.classList.toggle("bm-current", other === card));
  }));
  window.addEventListener("pageshow", count);
  count();
})();
