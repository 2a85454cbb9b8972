// Hides broken covers, keeps the focus when more rows are shown, searches when a suggested playlist is chosen.
"use strict";

(() => {
  const hide = (node) => {
    if (node instanceof HTMLImageElement && node.closest(".cover")) node.hidden = true;
  };
  document.addEventListener("error", (event) => hide(event.target), true);
  for (const node of document.querySelectorAll(".cover img")) {
    if (node.complete && !node.naturalWidth) hide(node);
  }

  // The link "Show more" is replaced by rows, the first of which gets the focus.
  let lastRow = null;
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    lastRow = detail.target.matches(".more") ? detail.target.previousElementSibling : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    lastRow?.nextElementSibling?.querySelector("a")?.focus({ preventScroll: true });
    lastRow = null;
  });

  document.addEventListener("input", ({ target }) => {
    const isSuggested = (value) => [...target.list.options].some((option) => option.value === value);
    if (target.id === "in" && isSuggested(target.value)) target.form.requestSubmit();
  });
})();
