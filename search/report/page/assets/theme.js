// Runs before anything is shown: sets the theme chosen earlier, and marks the page as one with scripts.
document.documentElement.classList.add("scripted");
const THEME_KEY = "gan-search-theme";
try {
  const theme = localStorage.getItem(THEME_KEY);
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden to pages from a file; the theme is then not remembered.
}
