"""The look of the page: light and dark as the reader's system has it, from a phone to a wide screen."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f5f6f8; --card: #ffffff; --ink: #1f2430; --soft: #5a6472; --line: #e1e5ea;
  --accent: #2f5f98; --good: #1d7a3a; --bad: #c02f42; --wait: #5a6472; --stop: #8a5a00; --mark: #eef3fa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12151b; --card: #1a1e27; --ink: #e6e9ef; --soft: #9aa4b2; --line: #2f3542;
    --accent: #8db8ec; --good: #63c985; --bad: #ff8090; --wait: #9aa4b2; --stop: #e0b060; --mark: #222b3a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 2rem) 4rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.25rem 0.75rem; margin-bottom: 1rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 0.75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 0.5rem; }
p { margin: 0.5rem 0; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: clamp(0.9rem, 2.5vw, 1.5rem); margin-bottom: 1.25rem;
}
.soft { color: var(--soft); }
.hero { display: grid; gap: 1.5rem; grid-template-columns: minmax(0, 1.15fr) minmax(0, 1fr); }
.hero.plain { grid-template-columns: minmax(0, 1fr); }
@media (max-width: 46rem) { .hero { grid-template-columns: minmax(0, 1fr); } }
.big { font-size: 3rem; font-weight: 700; line-height: 1.1; font-variant-numeric: tabular-nums; }
img { display: block; max-width: 100%; height: auto; border-radius: 8px; }
.faces { width: 100%; background: #fff; }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: 0.9rem; margin-top: 0.35rem; }
.plot + .plot { margin-top: 1.5rem; }
.plot img { min-width: 40rem; }
.grids { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 45%), 1fr)); }
.grids img { width: 100%; background: #fff; }
.scroll { overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: 0.5rem; }
th, td {
  text-align: left; vertical-align: top; padding: 0.4rem 0.6rem; border-bottom: 1px solid var(--line);
}
th { font-weight: 600; color: var(--soft); }
th, td { white-space: nowrap; } td.w, .facts td { white-space: normal; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.w { min-width: 12rem; overflow-wrap: anywhere; color: var(--soft); }
tbody tr:last-child > * { border-bottom: 0; }
tr.winner { background: var(--mark); }
.facts th { width: 1%; }
.facts td { overflow-wrap: anywhere; }
.state { font-weight: 600; white-space: nowrap; color: var(--wait); }
.finished, .running { color: var(--good); } .stopped, .interrupted { color: var(--stop); }
.diverged, .failed { color: var(--bad); }
.gain { color: var(--good); font-weight: 600; } .loss { color: var(--bad); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.88em; }
pre {
  background: var(--ground); border: 1px solid var(--line); border-radius: 8px; margin: 0.5rem 0;
  padding: 0.6rem 0.8rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere;
}
details { margin-top: 0.75rem; } summary { cursor: pointer; color: var(--accent); }
abbr { text-decoration-style: dotted; cursor: help; }
ul { margin: 0.5rem 0; padding-left: 1.25rem; }
@media print { section { break-inside: avoid; border: 0; } }
"""
