// One request per file, with progress; without this script the form sends all files at once.
"use strict";

(() => {
  const form = document.querySelector("[data-upload]");
  if (!form) return;
  const drop = form.querySelector("[data-drop]");
  const input = drop.querySelector("input[type=file]");
  const list = form.querySelector("[data-files]");
  const button = form.querySelector("button.primary");
  const waiting = new Map();
  drop.classList.add("enhanced");

  const size = (bytes) => bytes < 1048576 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;

  function add(file) {
    const row = document.createElement("li");
    let preview;
    if (/^image\/(jpeg|png|gif|webp|avif)$/.test(file.type)) {
      preview = document.createElement("img");
      preview.alt = "";
      preview.src = URL.createObjectURL(file);
    } else {
      preview = document.createElement("span");
      preview.className = "noimage";
      preview.textContent = "no preview";
    }
    const info = document.createElement("div");
    info.className = "info";
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = name.title = file.name;
    const state = document.createElement("span");
    state.className = "state";
    state.textContent = size(file.size);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "remove";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => { waiting.delete(row); row.remove(); refresh(); });
    info.append(name, state);
    row.append(preview, info, remove);
    list.append(row);
    waiting.set(row, file);
    refresh();
  }

  function refresh() {
    input.required = waiting.size === 0;
    button.textContent = waiting.size > 1 ? `Upload ${waiting.size} pictures` : "Upload";
  }

  function tell(row, kind, text, link) {
    row.className = kind;
    const state = row.querySelector(".state");
    state.textContent = text;
    if (link) {
      const anchor = document.createElement("a");
      anchor.href = link;
      anchor.textContent = " Show it";
      state.append(anchor);
    }
  }

  function send(row, file) {
    return new Promise((done) => {
      const body = new FormData(form);
      body.delete("file");
      body.append("file", file, file.name);
      const bar = document.createElement("progress");
      bar.max = 1;
      row.querySelector(".info").append(bar);
      row.querySelector(".remove")?.remove();
      const request = new XMLHttpRequest();
      request.open("POST", form.action || location.href);
      request.setRequestHeader("Accept", "application/json");
      request.responseType = "json";
      request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; });
      request.addEventListener("loadend", () => {
        bar.remove();
        const answer = request.response;
        if (request.status === 201 && answer) { tell(row, "good", `Post #${answer.id}`, answer.url); done(answer.url); return; }
        const url = answer?.extra?.url;
        tell(row, "bad", answer?.message ?? "The board did not answer. Try again.", url);
        done(null);
      });
      request.send(body);
    });
  }

  input.addEventListener("change", () => { [...input.files].forEach(add); input.value = ""; });
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); [...event.dataTransfer.files].forEach(add); });
  document.addEventListener("paste", (event) => { if (event.clipboardData?.files.length) [...event.clipboardData.files].forEach(add); });

  form.addEventListener("submit", async (event) => {
    if (!waiting.size) return;
    event.preventDefault();
    button.disabled = true;
    const urls = [];
    const rows = [...waiting];
    waiting.clear();
    for (const [row, file] of rows) urls.push(await send(row, file));
    button.disabled = false;
    refresh();
    if (urls.length === 1 && urls[0]) location.assign(urls[0]);
  });
})();
