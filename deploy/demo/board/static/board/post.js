// Suggestions appear while the analysis runs and decisions happen without a reload; all of it works without this script.
"use strict";

(() => {
  const parse = (html) => new DOMParser().parseFromString(html, "text/html");

  function swap(fresh) {
    for (const part of document.querySelectorAll("[data-live][id]")) {
      const next = fresh.getElementById(part.id);
      if (next) part.replaceWith(document.adoptNode(next));
    }
    nameFaces();
    poll();
  }

  async function refresh() {
    const response = await fetch(location.pathname, { headers: { Accept: "text/html" } });
    if (response.ok) swap(parse(await response.text()));
  }

  let timer = 0;
  let pause = 700;
  function poll() {
    clearTimeout(timer);
    const address = document.querySelector("#insight")?.dataset.poll;
    if (!address) return;
    timer = setTimeout(async () => {
      if (document.hidden) return poll();
      pause = Math.min(pause * 1.15, 5000);
      try {
        const response = await fetch(address, { headers: { Accept: "text/html" } });
        if (!response.ok) return poll();
        const next = parse(await response.text()).querySelector("#insight");
        if (!next) return poll();
        if (next.dataset.poll) {
          document.querySelector("#insight").replaceWith(document.adoptNode(next));
          poll();
        } else {
          pause = 700;
          await refresh();
          similar();
        }
      } catch { poll(); }
    }, pause);
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-swap]");
    if (!form) return;
    event.preventDefault();
    const body = new FormData(form, event.submitter);
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    try {
      const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" } });
      const page = parse(await response.text());
      if (!response.ok || !page.querySelector("#insight")) location.reload();
      else swap(page);
    } catch { location.reload(); }
  });

  // Names over the boxes: text inside the stretched drawing would be stretched with it.
  function nameFaces() {
    const holder = document.querySelector("#post-faces");
    if (!holder) return;
    for (const box of holder.querySelectorAll("rect[data-name]")) {
      if (!box.dataset.name) continue;
      const label = document.createElement("span");
      label.className = "facename";
      label.textContent = box.dataset.name;
      label.style.left = `${box.getAttribute("x") * 100}%`;
      label.style.top = `${box.getAttribute("y") * 100}%`;
      holder.append(label);
    }
  }

  async function similar() {
    const holder = document.querySelector("#similar");
    if (!holder?.dataset.load) return;
    const response = await fetch(holder.dataset.load, { headers: { Accept: "text/html" } });
    if (response.ok) holder.innerHTML = await response.text();
  }

  nameFaces();
  poll();
  similar();
})();
