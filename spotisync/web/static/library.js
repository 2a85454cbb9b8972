// Hides cover images that fail to load, so that the icon behind them is visible.
"use strict";

(() => {
  const hide = (node) => {
    if (node instanceof HTMLImageElement && node.closest(".cover")) node.hidden = true;
  };
  document.addEventListener("error", (event) => hide(event.target), true);
  for (const node of document.querySelectorAll(".cover img")) {
    if (node.complete && !node.naturalWidth) hide(node);
  }
})();
