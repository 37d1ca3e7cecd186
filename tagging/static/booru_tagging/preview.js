// The dry run's slider: shows what the bar lets through and how many that are. The page works without it.
"use strict";

(() => {
  const slider = document.getElementById("threshold");
  const bar = document.getElementById("bar");
  const count = document.getElementById("count");
  const items = [...document.querySelectorAll("#named > li")];

  function show() {
    const least = slider.valueAsNumber / 100;
    let kept = 0;
    for (const item of items) {
      const passes = Number(item.dataset.probability) >= least - 1e-9;
      item.hidden = !passes;
      if (passes) kept += 1;
    }
    bar.textContent = `${slider.value} %`;
    count.textContent = `${kept} post${kept === 1 ? "" : "s"}`;
  }

  slider.addEventListener("input", show);
  show();

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { "+": 1, "=": 1, "-": -1 }[event.key];
    if (!step || event.target.closest("input:not([type=checkbox]):not([type=range]), textarea, select")) return;
    event.preventDefault();
    slider.valueAsNumber += step;
    show();
  });
})();
