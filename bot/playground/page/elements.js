// Small helpers for the page's elements. Texts only ever become text nodes.

export const COLOURS = 8;

export function find(id) {
  return document.getElementById(id);
}

// Make an element. Attributes with a false or missing value are left out; `on…` are listeners.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined && value !== null)
      element.setAttribute(name, value === true ? "" : value);
  }
  appendTo(element, ...children);
  return element;
}

// Append elements and texts. A picture stands for 🎭, which not every system has a font for.
export function appendTo(element, ...children) {
  for (const child of children) {
    if (typeof child !== "string") {
      if (child !== null && child !== undefined) element.append(child);
      continue;
    }
    const [first, ...rest] = child.split("🎭");
    element.append(first);
    for (const text of rest) element.append(make("img", { class: "mask", src: "mask.svg", alt: "🎭" }), text);
  }
}

export function colourOf(place) {
  return `colour-${place % COLOURS}`;
}

export function initial(name) {
  return [...name.trim()][0]?.toUpperCase() ?? "?";
}

export function toast(text) {
  const shown = find("toast");
  shown.textContent = text;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (shown.textContent = ""), 5000);
}

// Close a dialog by a click beside it.
export function closeOnBackdrop(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
