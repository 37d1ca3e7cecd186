// One case: keyboard, the claim that says "I am looking at this", and suggestions decided without a jump of the page.
"use strict";

(() => {
  const page = document.querySelector("[data-case]");
  const press = (element) => { if (element && !element.disabled) element.click(); };
  const byKey = (key) => document.querySelector(`[data-key="${key}"]`);

  // --- Keyboard: presses the page's own links and buttons ---

  const keys = {
    f: () => press(document.getElementById("show-faces")),
    e: () => { const name = document.getElementById("example-name"); if (name) name.focus(); },
    m: () => { const note = document.getElementById("note"); if (note) note.focus(); },
    u: () => press(document.querySelector("[data-undo] button") || byKey("u")),
  };
  for (const key of ["a", "r", "n", "j", "k", "q"]) keys[key] = () => press(byKey(key));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "Escape" && event.target.matches("input, textarea")) event.target.blur();
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // --- A decision is sent once, and behind the claim: one that came later would take a decided case, or a skipped one ---

  let claiming = null; // the claim under way, as a promise

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) { event.preventDefault(); return; }
    if (claiming && !form.matches("[data-swap]")) {
      event.preventDefault();
      const { submitter } = event;
      claiming.then(() => form.requestSubmit(submitter));
      return;
    }
    form.dataset.sent = "yes";
    setTimeout(() => { delete form.dataset.sent; }, 5000);
  });

  // --- The claim: taken when the page opens, renewed while it is looked at, given back when it is left ---

  const token = () => document.querySelector("input[name=csrfmiddlewaretoken]").value;
  const lost = document.getElementById("claim-lost");
  let held = false;

  function claim() {
    if (document.hidden || claiming || document.querySelector("form[data-sent]:not([data-swap])")) return;
    claiming = ask().finally(() => { claiming = null; });
  }

  async function ask() {
    let answer, said;
    try {
      answer = await fetch(page.dataset.claim, {
        method: "POST",
        headers: { Accept: "application/json", "X-CSRFToken": token() },
        signal: AbortSignal.timeout(3000),
      });
      said = await answer.text(); // always: an answer that is not read to its end is cut off by the signal
    } catch {
      return; // the network is away or slow; the next beat tries again
    }
    held = answer.ok;
    const byHand = document.getElementById("claim-by-hand");
    if (byHand) byHand.hidden = held;
    lost.hidden = held || answer.status !== 409;
    if (answer.status === 409) lost.textContent = JSON.parse(said).message;
  }

  if (page && page.dataset.claim) {
    claim();
    setInterval(claim, 30000);
    document.addEventListener("visibilitychange", claim);
    window.addEventListener("pagehide", () => {
      if (!held && !claiming) return;
      const body = new FormData();
      body.append("csrfmiddlewaretoken", token());
      navigator.sendBeacon(page.dataset.release, body);
    });
  }

  // --- Suggestions: the same forms, with the answer's parts put in place of the old ones ---

  const PARTS = ["suggestions", "board", "timeline"];

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-swap]");
    if (!form || event.defaultPrevented) return;
    event.preventDefault();
    const action = (event.submitter && event.submitter.getAttribute("formaction")) || form.action;
    const chip = event.submitter && event.submitter.closest("li[id]");
    form.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(action, { method: "POST", body: new FormData(form) });
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!fresh.getElementById("suggestions")) throw new Error("another page came back");
      swap(fresh);
      const again = chip && document.getElementById(chip.id);
      if (again) (again.querySelector("button") || again.querySelector(".bm-why")).focus();
    } catch {
      window.location.reload();
    }
  });

  function swap(fresh) {
    PARTS.forEach((id) => document.getElementById(id).replaceWith(fresh.getElementById(id)));
    const messages = fresh.getElementById("messages");
    const shown = document.getElementById("messages");
    if (shown) shown.remove();
    if (messages) document.getElementById("content").before(messages);
    const overlay = document.querySelector(".bm-overlay");
    const marks = fresh.querySelector(".bm-overlay");
    if (overlay && marks) overlay.replaceWith(marks);
  }
})();
