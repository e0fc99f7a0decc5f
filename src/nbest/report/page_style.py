"""How the page of a report looks: light and dark, on wide and narrow screens, and in print.

The page is dark where the reader's system prefers that. Colours are variables of CSS; those of charts are replaced by
rules on the attributes of the SVG, so each chart is drawn once. Where a table is wider than the screen, a line says
that it scrolls, and a shadow lies on the side that has more. The page of a single chart, which its own script draws,
has the same colours.
"""

from nbest.report.colours import DARK_COLOURS, INK


def color_variable(colour: str) -> str:
    """Return the colour of a chart as a value of CSS, which a dark page replaces."""
    return f"var(--{colour.removeprefix('#')},{colour})"


PAPER, DARK_PAPER = "#fff", "#16191f"
"""What is behind charts."""


def _darken_charts(selector: str) -> str:
    """Return the rules that give the SVG inside of `selector` the colours of a dark page."""
    return "\n".join(
        f"  {selector} [{attribute}='{light}'] {{ {attribute}: {dark}; }}"
        for light, dark in DARK_COLOURS.items()
        for attribute in ("fill", "stroke")
    )


_DARK_VARIABLES = " ".join(f"--{light.removeprefix('#')}: {dark};" for light, dark in DARK_COLOURS.items())


STYLE = (
    """
:root { color-scheme: light dark; --ink: #1f2937; --muted: #5f6876; --rule: #e8eaee; --strong: #374151;
  --page: #f5f6f8; --paper: #fff; --edge: #e3e6ea; --link: #1d4ed8; --hover: #f8fafc; --line: #b6bcc6; --code: #f7f8fa;
  --warning: #9a3412; --warning-page: #fff4e5; --shade: 37,99,235; --shadow: rgba(31,41,55,.22); }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --muted: #9aa3af; --rule: #2c313a; --strong: #cbd2dc;
    --page: #0f1115; --paper: #16191f; --edge: #262b33; --link: #8ab4ff; --hover: #1c2129; --line: #4a515c;
    --code: #1d2128; --warning: #ffb072; --warning-page: #33210f; --shade: 110,160,255; --shadow: rgba(0,0,0,.75); }
"""
    + f"  :root {{ {_DARK_VARIABLES} }}\n{_darken_charts('figure')}"
    + """
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
       font: 15px/1.55 Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif; }
main { max-width: 1080px; margin: 36px auto; padding: 44px 56px 56px; background: var(--paper);
       border: 1px solid var(--edge); border-radius: 10px; }
h1 { margin: 0 0 4px; font-size: 27px; line-height: 1.25; letter-spacing: -0.012em; overflow-wrap: anywhere; }
h2 { margin: 48px 0 6px; font-size: 19px; letter-spacing: -0.005em; }
.lead { margin: 0 0 6px; color: var(--muted); overflow-wrap: anywhere; }
h2 + p { margin: 0 0 16px; color: var(--muted); max-width: 96ch; font-size: 14px; }
nav { margin: 20px 0 0; padding: 12px 0; border-top: 1px solid var(--rule); border-bottom: 1px solid var(--rule);
      display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
figure { margin: 18px 0 26px; }
figure svg { margin-left: -12px; max-width: 100%; height: auto; display: block; }
figure .narrow { display: none; }
figcaption, caption { color: var(--muted); font-size: 13px; text-align: left; }
caption { caption-side: top; padding: 0 0 8px; color: var(--strong); font-weight: 600; }
.warning { margin: 0 0 12px; padding: 8px 14px; background: var(--warning-page); color: var(--warning);
           border-left: 4px solid #ea580c; font-weight: 600; }
.foot { margin: 6px 0 0; color: var(--muted); font-size: 12.5px; }
.table { container-type: inline-size; margin: 14px 0 26px; }
.hint { margin: 0; overflow: hidden; white-space: nowrap; color: var(--link); font-size: 12.5px; line-height: 24px;
        height: clamp(0px, calc((var(--wide) - 100cqw) * 999), 24px); }
.scroll { overflow-x: auto;
  background: linear-gradient(to right, var(--paper) 30%, transparent) 0 0,
              linear-gradient(to left, var(--paper) 30%, transparent) 100% 0,
              linear-gradient(to right, var(--shadow), transparent) 0 0,
              linear-gradient(to left, var(--shadow), transparent) 100% 0;
  background-repeat: no-repeat; background-size: 44px 100%, 44px 100%, 14px 100%, 14px 100%;
  background-attachment: local, local, scroll, scroll; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border-top: 1.5px solid var(--strong);
        border-bottom: 1.5px solid var(--strong); min-width: 60%; font-size: 14px; }
th, td { padding: 4px 12px; text-align: right; white-space: nowrap; vertical-align: baseline; }
th { font-weight: 600; color: var(--strong); font-size: 13px; border-bottom: 1px solid var(--strong);
     padding: 8px 12px; vertical-align: bottom; white-space: normal; max-width: 124px; line-height: 1.3; }
th.word, td.word { text-align: left; }
th:first-child, td:first-child { padding-left: 4px; }
td.wide { white-space: normal; min-width: 260px; }
td[style] { background: rgba(var(--shade), var(--tint)); }
tr.rule td { border-top: 1px solid var(--line); }
tbody tr:hover td { background: var(--hover); }
.aside { display: block; color: var(--muted); font-size: 11px; line-height: 1.2; font-weight: 400; }
.dot ~ .aside, .no-dot ~ .aside { padding-left: 18px; }
.best { font-weight: 700; }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 9px; }
.no-dot { display: inline-block; width: 18px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 5px 24px; margin: 12px 0 24px; font-size: 14px; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
ul { margin: 8px 0 20px; padding-left: 20px; font-size: 14px; overflow-wrap: anywhere; }
details { border-top: 1px solid var(--rule); padding: 8px 0; font-size: 14px; }
details div { scroll-margin-top: 60px; }
details:last-of-type { border-bottom: 1px solid var(--rule); }
summary { cursor: pointer; color: var(--strong); overflow-wrap: anywhere; }
pre { margin: 10px 0; padding: 12px 14px; background: var(--code); border-radius: 6px;
      white-space: pre-wrap; overflow-wrap: anywhere;
      font: 12.5px/1.5 ui-monospace, 'SF Mono', Menlo, Consolas, 'Liberation Mono', monospace; }
@media screen and (max-width: 760px) {
  main { margin: 0; padding: 24px 18px; border: 0; border-radius: 0; }
  figure .wide { display: none; }
  figure .narrow { display: block; }
  figure svg { margin-left: -4px; }
  table { min-width: 100%; }
  .hint { height: clamp(0px, calc((var(--narrow) - 100cqw) * 999), 24px); }
  th, td { padding-left: 9px; padding-right: 9px; }
  th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); min-width: 138px;
    max-width: 160px; white-space: normal; overflow-wrap: anywhere; font-size: 13px; }
  td:first-child .dot, td:first-child .no-dot { width: 7px; height: 7px; margin-right: 6px; }
  td:first-child .no-dot { width: 13px; margin-right: 0; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin: 0 0 8px; }
}
@media print { body { background: #fff; } main { margin: 0; padding: 0; border: 0; max-width: none; }
  nav, .hint { display: none; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; } }
"""
)
"""The style sheet of the page."""

CHART_STYLE = f"""
:root {{ color-scheme: light dark; }}
body {{ margin: 12px; background: {PAPER}; color: {INK}; }}
.vega-embed svg {{ max-width: 100%; height: auto; }}
@media screen and (prefers-color-scheme: dark) {{
  body {{ background: {DARK_PAPER}; color: {DARK_COLOURS[INK]}; }}
  .vega-embed svg {{ background-color: transparent !important; }}
  .vega-embed svg [fill='white'] {{ fill: {DARK_PAPER}; }}
{_darken_charts(".vega-embed svg")}
  #vg-tooltip-element.vg-tooltip, .vega-embed .vega-actions, .vega-embed .vega-actions a, .vega-embed details summary {{
    background: {DARK_PAPER}; color: {DARK_COLOURS[INK]}; border-color: #4a515c; fill: {DARK_COLOURS[INK]}; }}
}}
"""
"""The style sheet of the page of a single chart, drawn by Vega as SVG. Pictures saved from it have light colours."""
