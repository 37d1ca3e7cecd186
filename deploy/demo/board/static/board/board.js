// Theme switch and completion of tags; every page works without them.
"use strict";

(() => {
  const toggle = document.querySelector("[data-theme-toggle]");
  if (toggle) {
    toggle.hidden = false;
    toggle.addEventListener("click", () => {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
    });
  }

  const categories = { 0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta" };

  function complete(field) {
    const list = document.createElement("ul");
    list.className = "complete";
    list.role = "listbox";
    list.id = `complete-${Math.random().toString(36).slice(2)}`;
    list.hidden = true;
    const holder = field.parentElement;
    if (getComputedStyle(holder).position === "static") holder.style.position = "relative";
    holder.append(list);
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", list.id);
    let chosen = -1, asked = 0, timer = 0;

    const word = () => {
      const before = field.value.slice(0, field.selectionStart);
      const match = /(\S*)$/.exec(before);
      const bare = match[1].replace(/^[-~]/, "");
      return { bare, start: before.length - bare.length, end: field.selectionStart };
    };
    const close = () => { list.hidden = true; chosen = -1; field.setAttribute("aria-expanded", "false"); };
    const mark = (index) => {
      chosen = index;
      [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
      list.children[index]?.scrollIntoView({ block: "nearest" });
    };
    const take = (value) => {
      const { start, end } = word();
      const tail = value.endsWith(":") ? "" : " ";
      field.setRangeText(value + tail, start, end, "end");
      field.focus();
      close();
    };
    const show = (items) => {
      list.replaceChildren(...items.map((item) => {
        const row = document.createElement("li");
        row.role = "option";
        const name = document.createElement("span");
        name.textContent = item.label;
        if (item.category !== null) name.className = `tag-${categories[item.category] ?? "general"}`;
        row.append(name);
        if (item.post_count !== null) {
          const count = document.createElement("span");
          count.className = "count";
          count.textContent = item.post_count;
          row.append(count);
        }
        row.addEventListener("mousedown", (event) => { event.preventDefault(); take(item.value); });
        row.dataset.value = item.value;
        return row;
      }));
      if (!items.length) return close();
      list.style.top = `${field.offsetTop + field.offsetHeight}px`;
      list.style.left = `${field.offsetLeft}px`;
      list.hidden = false;
      field.setAttribute("aria-expanded", "true");
      mark(-1);
    };
    const ask = async () => {
      const { bare } = word();
      if (!bare) return close();
      const mine = ++asked;
      const query = new URLSearchParams({ "search[query]": bare, "search[type]": "tag_query", limit: "10" });
      try {
        const response = await fetch(`${field.dataset.complete}?${query}`, { headers: { Accept: "application/json" } });
        if (mine === asked && response.ok && document.activeElement === field) show(await response.json());
      } catch { close(); }
    };
    field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 120); });
    field.addEventListener("blur", () => setTimeout(close, 120));
    field.addEventListener("keydown", (event) => {
      if (list.hidden) return;
      const rows = list.children.length;
      if (event.key === "ArrowDown") { event.preventDefault(); mark((chosen + 1) % rows); }
      else if (event.key === "ArrowUp") { event.preventDefault(); mark((chosen - 1 + rows) % rows); }
      else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) { event.preventDefault(); take(list.children[chosen].dataset.value); }
      else if (event.key === "Escape") close();
    });
  }
  document.querySelectorAll("[data-complete]").forEach(complete);
})();
