// The queue's page keeps itself fresh: every few seconds its parts are fetched anew and swapped where they differ.
"use strict";

(() => {
  const EVERY = 5000;
  const toggle = document.getElementById("refresh");
  const parts = () => document.querySelectorAll("[data-live]");
  const withKey = (key) => document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  let on = true;
  let timer = 0;

  function show(text) {
    toggle.textContent = text;
    toggle.setAttribute("aria-pressed", String(on));
  }

  function swap(fresh) {
    const focused = document.activeElement && document.activeElement.dataset.key;
    const open = [...document.querySelectorAll("details[open][data-key]")].map((item) => item.dataset.key);
    for (const part of parts()) {
      const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!other) continue;
      // The tokens in forms differ on every answer; they are no news, and the old ones stay good.
      const bare = (node) => node.innerHTML.replace(/<input[^>]*csrfmiddlewaretoken[^>]*>/g, "").replace(/ open=""/g, "");
      if (bare(part) !== bare(other)) part.replaceChildren(...other.childNodes);
    }
    for (const key of open) { const item = withKey(key); if (item) item.open = true; }
    const again = focused && withKey(focused);
    if (again && again !== document.activeElement) again.focus({ preventScroll: true });
  }

  async function refresh() {
    if (on && !document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
        swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
        if (on) show("Refreshes by itself");
      } catch {
        show("No answer; trying again");
      }
    }
    clearTimeout(timer);
    timer = setTimeout(refresh, EVERY);
  }

  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    on = !on;
    show(on ? "Refreshes by itself" : "Refresh is paused");
    if (on) refresh();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  timer = setTimeout(refresh, EVERY);
})();
