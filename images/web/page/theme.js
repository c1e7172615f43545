// Loaded before anything is drawn, so that the page does not flash in the other theme.
"use strict";
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that remembers nothing shows what the system asks for.
}
