// What a page does by itself: spans that tick, news when no events come, a copy. Everything reads right without it.
"use strict";

(() => {
  const SOON = 600;
  const QUIET = 45000; // milliseconds without a word after which the page asks, though it seems to be listening
  let ahead = 0; // of the server's clock, this one is, in milliseconds
  let heard = 0;

  // As the server says them: `25 s`, `3 min 20 s`, `12 min`, `3 h 12 min`, `2 d 3 h`.
  const both = (large, unit, small, smaller) => (small ? `${large} ${unit} ${small} ${smaller}` : `${large} ${unit}`);
  function span(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < SOON) return both(Math.floor(whole / 60), "min", whole % 60, "s");
    const minutes = Math.round(whole / 60);
    if (minutes < 60) return `${minutes} min`;
    if (minutes < 24 * 60) return both(Math.floor(minutes / 60), "h", minutes % 60, "min");
    const hours = Math.round(minutes / 60);
    return both(Math.floor(hours / 24), "d", hours % 24, "h");
  }
  // A countdown that is the point of the page shows its seconds.
  function exact(seconds) {
    const whole = Math.max(0, Math.ceil(seconds));
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    const shown = [[hours, "h"], [minutes, "min"], [whole % 60, "s"]].slice(hours ? 0 : minutes ? 1 : 2);
    return shown.map(([number, unit]) => `${number} ${unit}`).join(" ");
  }

  const set = (node, words) => {
    if (node.textContent !== words) node.textContent = words;
  };
  function tick() {
    const now = Date.now() - ahead;
    for (const node of document.querySelectorAll("[data-until]")) {
      const left = (Date.parse(node.dataset.until) - now) / 1000;
      const words = left <= 0 ? "now" : node.classList.contains("figure") ? exact(left) : span(left);
      set(node, (left > 0 && node.dataset.before ? node.dataset.before : "") + words);
    }
    for (const node of document.querySelectorAll("[data-since]")) {
      set(node, span((now - Date.parse(node.dataset.since)) / 1000));
    }
  }

  const status = () => document.getElementById("status");
  function fresh() {
    const shown = status();
    if (!shown) return;
    ahead = Date.now() - Date.parse(shown.dataset.asOf);
    if (shown.dataset.title) document.title = shown.dataset.title;
    tick();
  }

  // The history is read again when a run has begun or ended.
  let runs = null;
  function news() {
    const shown = status();
    if (!shown) return;
    if (runs !== null && runs !== shown.dataset.runs) window.htmx.trigger("#history", "news");
    runs = shown.dataset.runs;
  }

  const away = (is) => {
    const sign = document.getElementById("away");
    if (sign) sign.hidden = !is;
  };
  function ask() {
    const live = document.querySelector("[data-live]");
    if (live && !document.hidden && Date.now() - heard > QUIET) window.htmx.trigger(live, "poll");
  }

  document.addEventListener("DOMContentLoaded", () => {
    fresh();
    news();
    setInterval(tick, 1000);
    setInterval(ask, 2000);
  });
  document.addEventListener("htmx:sseOpen", () => {
    heard = Date.now();
    away(false);
  });
  document.addEventListener("htmx:sseError", () => {
    heard = 0;
  });
  document.addEventListener("htmx:afterSettle", () => {
    fresh();
    news();
  });
  document.addEventListener("htmx:sseMessage", () => {
    heard = Date.now();
    fresh();
    news();
  });
  // What a press could not do is said; that nobody answers is said once, not with every try.
  const asks = (event) => event.detail.elt.matches("[data-live], #history");
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.isError && asks(event)) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (asks(event)) away(!event.detail.successful);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    const source = button && document.getElementById(button.dataset.copy);
    if (!source) return;
    navigator.clipboard.writeText(source.textContent.trim()).then(() => {
      set(button.querySelector("span"), "Copied");
      setTimeout(() => set(button.querySelector("span"), "Copy"), 2000);
    });
  });
})();
