// Updates durations every second, polls if no events arrive, copies error texts. The pages work without it.
"use strict";

(() => {
  const SHOW_SECONDS_BELOW = 600; // seconds
  const POLL_AFTER = 45000; // milliseconds without an event
  let clockOffset = 0; // milliseconds that this clock is ahead of the server's
  let lastEventAt = 0;

  // The server's format: `25 s`, `3 min 20 s`, `12 min`, `3 h 12 min`, `2 d 3 h`.
  const joinUnits = (large, unit, small, smaller) => (small ? `${large} ${unit} ${small} ${smaller}` : `${large} ${unit}`);
  function formatDuration(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < SHOW_SECONDS_BELOW) return joinUnits(Math.floor(whole / 60), "min", whole % 60, "s");
    const minutes = Math.round(whole / 60);
    if (minutes < 60) return `${minutes} min`;
    if (minutes < 24 * 60) return joinUnits(Math.floor(minutes / 60), "h", minutes % 60, "min");
    const hours = Math.round(minutes / 60);
    return joinUnits(Math.floor(hours / 24), "d", hours % 24, "h");
  }
  // The large countdown always shows seconds.
  function formatCountdown(seconds) {
    const whole = Math.max(0, Math.ceil(seconds));
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    const shown = [[hours, "h"], [minutes, "min"], [whole % 60, "s"]].slice(hours ? 0 : minutes ? 1 : 2);
    return shown.map(([number, unit]) => `${number} ${unit}`).join(" ");
  }

  const setText = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };
  function updateDurations() {
    const now = Date.now() - clockOffset;
    for (const node of document.querySelectorAll("[data-until]")) {
      const left = (Date.parse(node.dataset.until) - now) / 1000;
      const format = node.classList.contains("figure") ? formatCountdown : formatDuration;
      setText(node, left <= 0 ? "now" : format(left));
    }
    for (const node of document.querySelectorAll("[data-since]")) {
      setText(node, formatDuration((now - Date.parse(node.dataset.since)) / 1000));
    }
  }

  // Called after each new status. The history is reloaded when a run has started or ended.
  let runs = null;
  function updatePage() {
    const status = document.getElementById("status");
    if (!status) return;
    clockOffset = Date.now() - Date.parse(status.dataset.asOf);
    if (status.dataset.title) document.title = status.dataset.title;
    updateDurations();
    if (runs !== null && runs !== status.dataset.runs) window.htmx.trigger("#history", "refresh");
    runs = status.dataset.runs;
  }

  const showDisconnected = (isDisconnected) => {
    const notice = document.getElementById("disconnected");
    if (notice) notice.hidden = !isDisconnected;
  };
  function poll() {
    const live = document.querySelector("[data-live]");
    if (live && !document.hidden && Date.now() - lastEventAt > POLL_AFTER) window.htmx.trigger(live, "poll");
  }

  document.addEventListener("DOMContentLoaded", () => {
    updatePage();
    setInterval(updateDurations, 1000);
    setInterval(poll, 2000);
  });
  document.addEventListener("htmx:sseOpen", () => {
    lastEventAt = Date.now();
    showDisconnected(false);
  });
  document.addEventListener("htmx:sseError", () => {
    lastEventAt = 0;
  });
  document.addEventListener("htmx:afterSettle", updatePage);
  document.addEventListener("htmx:sseMessage", () => {
    lastEventAt = Date.now();
    updatePage();
  });
  // The error of a button is shown in the page; a failed poll only shows the notice that the page is disconnected.
  const isPoll = (event) => event.detail.elt.matches("[data-live], #history");
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.isError && isPoll(event)) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (isPoll(event)) showDisconnected(!event.detail.successful);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    const source = button && document.getElementById(button.dataset.copy);
    if (!source) return;
    navigator.clipboard.writeText(source.textContent.trim()).then(() => {
      setText(button.querySelector("span"), "Copied");
      setTimeout(() => setText(button.querySelector("span"), "Copy"), 2000);
    });
  });
})();
