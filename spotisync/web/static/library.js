// A picture that can't be had leaves the sign that stands behind it.
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
