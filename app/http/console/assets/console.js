// Pauses the updates, and says aloud what has changed. Everything else works without it.
(() => {
  "use strict";
  const KEY = "quartet-console-paused";
  const button = document.getElementById("pause");
  const announcer = document.getElementById("announcer");
  const said = new Map();
  let paused = sessionStorage.getItem(KEY) === "yes";

  const show = () => {
    button.setAttribute("aria-pressed", String(paused));
    document.documentElement.classList.toggle("paused", paused);
  };

  if (button) {
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      paused = !paused;
      sessionStorage.setItem(KEY, paused ? "yes" : "no");
      show();
      announcer.textContent = paused ? "Updates are paused" : "Updates go on";
    });
  }

  // A panel is read once also while updates are paused, and none while nobody sees the page.
  document.addEventListener("htmx:before:request", (event) => {
    const panel = event.target;
    if (!panel.matches("[data-panel]")) return;
    const again = panel.querySelector("[data-read]") !== null;
    if (again && (paused || document.hidden)) event.preventDefault();
  });

  // Screen readers hear of what has changed, and not of every update.
  document.addEventListener("htmx:after:swap", () => {
    for (const panel of document.querySelectorAll("[data-panel]")) {
      const part = panel.querySelector("[data-read]");
      if (!part) continue;
      const text = part.dataset.say ?? "";
      const before = said.get(panel.id);
      said.set(panel.id, text);
      if (before !== undefined && before !== text && text) announcer.textContent = text;
    }
  });

  // The server is away, or has more to do than it can: what is shown is old, and stays.
  const age = (event, why) => {
    if (!event.target.matches?.("[data-panel]")) return;
    event.target.dataset.old = "yes";
    announcer.textContent = why;
  };
  document.addEventListener("htmx:error", (event) => age(event, "The server does not answer"));
  document.addEventListener("htmx:after:request", (event) => {
    const type = event.detail.ctx.response.headers.get("Content-Type") ?? "";
    if (type.startsWith("text/html")) {
      delete event.target.dataset.old;
    } else {
      event.preventDefault();
      age(event, "The server is busy");
    }
  });
})();
