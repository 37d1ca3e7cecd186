// Runs before the page is painted, so that a chosen theme does not flash.
"use strict";
(() => {
  const saved = localStorage.getItem("theme");
  if (saved === "light" || saved === "dark") document.documentElement.dataset.theme = saved;
})();
