// The report's style sheet: light and dark, narrow and wide, printed.

export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --paper: #ffffff; --raised: #f5f6f8; --ink: #1b1f24; --soft: #59636e; --line: #d5d9de;
  --good: #00734f; --bad: #b23a00; --open: #6a5a00; --warning: #fff1e0;
  --arm-plain: #8a6d3b; --arm-fixed: #7b8794;
  --arm-1: #0072b2; --arm-2: #d55e00; --arm-3: #009e73; --arm-4: #b9588f; --arm-5: #2f9bd6;
  --kind-1: #0072b2; --kind-2: #e69f00; --kind-3: #009e73; --kind-4: #cc79a7; --kind-5: #56b4e9;
  --kind-6: #d55e00; --kind-other: #8b949e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --raised: #1e2329; --ink: #e4e7eb; --soft: #a3adb8; --line: #363d46;
    --good: #4fd0a5; --bad: #ff9a66; --open: #e6cf5c; --warning: #3a2a17;
    --arm-plain: #c9ad76; --arm-fixed: #8f9aa6;
    --arm-1: #4db1ee; --arm-2: #f08a3c; --arm-3: #2fc79a; --arm-4: #e29cc4; --arm-5: #9ad4f7;
    --kind-1: #3f9fdc; --kind-2: #f0b43c; --kind-3: #26b98d; --kind-4: #dd92bb; --kind-5: #8dcef2;
    --kind-6: #f0803a; --kind-other: #8f98a3;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem; max-width: 1200px;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif;
}
h1, h2, h3 { line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); margin: 0.2rem 0 0.8rem; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 0.3rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
.chapter { font-size: 1.7rem; border-top-width: 4px; margin-top: 4rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.3rem; }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
.over { color: var(--soft); margin: 0; }
.explanation { color: var(--soft); margin: 0.2rem 0 1rem; }
.warning {
  background: var(--warning); border: 2px solid var(--bad); border-radius: 6px; padding: 0.7rem 1rem; margin: 1rem 0;
}
.warning strong { color: var(--bad); font-size: 1.1rem; }
.warning ul { margin: 0.3rem 0 0; padding-left: 1.2rem; }
.verdicts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 1rem; margin: 1rem 0; }
.verdict { background: var(--raised); border-radius: 8px; padding: 0.9rem 1.1rem; }
.verdict h3 { margin: 0 0 0.5rem; }
.verdict dl { margin: 0; display: grid; gap: 0.5rem; }
.verdict dt { font-weight: 600; }
.verdict dd { margin: 0; color: var(--soft); }
.answer { font-weight: 700; }
.answer.met { color: var(--good); } .answer.not-met { color: var(--bad); } .answer.inconclusive { color: var(--open); }
.verdict p { margin: 0.6rem 0 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 1.2rem 1.4rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
.wide { grid-column: 1 / -1; }
.wide .drawing { overflow-x: auto; }
.wide svg { min-width: 900px; }
svg.plot { display: block; width: 100%; height: auto; --plot-background: var(--paper); }
svg.plot text, svg.plot tspan { white-space: pre; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; margin: 0 0 0.8rem; padding: 0; list-style: none; }
.legend i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.4em; }
.scroll { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
.word { text-align: left; }
.origin td { white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
.origin td:first-child { color: var(--soft); white-space: nowrap; }
.origin { width: 100%; }
details { margin: 0.6rem 0; }
summary { cursor: pointer; color: var(--soft); }
.steps { font: 0.85rem/1.9 ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.steps span { border-bottom: 3px solid; padding: 0 1px; border-right: 1px solid var(--line); unicode-bidi: isolate; }
:focus-visible { outline: 2px solid var(--arm-1); outline-offset: 2px; }
@media print { .wide svg { min-width: 0; } figure { break-inside: avoid; } }
`;
