// Runs before anything is shown: a theme chosen earlier holds, and what needs no scripts knows that there are some.
document.documentElement.classList.add("scripted");
const THEME_KEY = "gan-search-theme";
try {
  const theme = localStorage.getItem(THEME_KEY);
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden to pages from a file; the theme is then chosen anew each time.
}
