"""One self-contained HTML page of sections of blocks: tables, charts as SVG, facts. No script, no network.

This module does not know runs or estimators; all text is plain and is escaped.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from nbest.report.blocks import Block, Cell, Detail, Facts, Figure, Notes, PageSection, Table
from nbest.report.charts import chart_svg

_STYLE = """
:root { color-scheme: light; --ink: #1f2937; --muted: #6b7280; --rule: #e8eaee; --strong: #374151; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f6f8; color: var(--ink);
       font: 15px/1.55 Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif; }
main { max-width: 1080px; margin: 36px auto; padding: 44px 56px 56px; background: #fff; border: 1px solid #e3e6ea;
       border-radius: 10px; }
h1 { margin: 0 0 4px; font-size: 27px; line-height: 1.25; letter-spacing: -0.012em; }
h2 { margin: 48px 0 6px; font-size: 19px; letter-spacing: -0.005em; }
.lead { margin: 0 0 6px; color: var(--muted); }
h2 + p { margin: 0 0 16px; color: var(--muted); max-width: 96ch; font-size: 14px; }
nav { margin: 20px 0 0; padding: 12px 0; border-top: 1px solid var(--rule); border-bottom: 1px solid var(--rule);
      display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; }
a { color: #1d4ed8; text-decoration: none; }
a:hover { text-decoration: underline; }
figure { margin: 18px 0 26px; }
figure svg { margin-left: -12px; max-width: 100%; height: auto; display: block; }
figcaption, caption { color: var(--muted); font-size: 13px; text-align: left; }
caption { caption-side: top; padding: 0 0 8px; color: var(--strong); font-weight: 600; }
.scroll { overflow-x: auto; margin: 14px 0 26px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border-top: 1.5px solid var(--strong);
        border-bottom: 1.5px solid var(--strong); min-width: 60%; font-size: 14px; }
th, td { padding: 4px 12px; text-align: right; white-space: nowrap; vertical-align: baseline; }
th { font-weight: 600; color: var(--strong); font-size: 13px; border-bottom: 1px solid var(--strong);
     padding: 8px 12px; vertical-align: bottom; white-space: normal; max-width: 124px; line-height: 1.3; }
th.word, td.word { text-align: left; }
th:first-child, td:first-child { padding-left: 4px; }
td.wide { white-space: normal; min-width: 260px; }
tr.rule td { border-top: 1px solid #b6bcc6; }
tbody tr:hover td { background: #f8fafc; }
.aside { display: block; color: var(--muted); font-size: 11px; line-height: 1.2; font-weight: 400; }
.dot ~ .aside, .no-dot ~ .aside { padding-left: 18px; }
.best { font-weight: 700; }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 9px; }
.no-dot { display: inline-block; width: 18px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 5px 24px; margin: 12px 0 24px; font-size: 14px; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
ul { margin: 8px 0 20px; padding-left: 20px; font-size: 14px; }
details { border-top: 1px solid var(--rule); padding: 8px 0; font-size: 14px; }
details div { scroll-margin-top: 60px; }
details:last-of-type { border-bottom: 1px solid var(--rule); }
summary { cursor: pointer; color: var(--strong); }
pre { margin: 10px 0; padding: 12px 14px; background: #f7f8fa; border-radius: 6px;
      white-space: pre-wrap; overflow-wrap: anywhere;
      font: 12.5px/1.5 ui-monospace, 'SF Mono', Menlo, Consolas, 'Liberation Mono', monospace; }
@media (max-width: 760px) { main { margin: 0; padding: 24px 18px; border: 0; border-radius: 0; } }
@media print { body { background: #fff; } main { margin: 0; padding: 0; border: 0; max-width: none; }
  nav { display: none; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; } }
"""
_WIDE_CHARACTERS = 60
"""A cell with more may break its lines."""


def render_html(title: str, lead: str, sections: Sequence[PageSection]) -> str:
    """Return the markup of a whole page, with links to its sections."""
    links = "".join(f"<a href='#{_slug(section.title)}'>{escape(section.title)}</a>" for section in sections)
    body = [f"<h1>{escape(title)}</h1>", f"<p class='lead'>{escape(lead)}</p>", f"<nav>{links}</nav>"]
    for section in sections:
        body.append(f"<section id='{_slug(section.title)}'>\n<h2>{escape(section.title)}</h2>")
        if section.lead:
            body.append(f"<p>{escape(section.lead)}</p>")
        body += [_WRITERS[type(block)](block) for block in section.blocks]
        body.append("</section>")
    return (
        f"<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n<title>{escape(title)}</title>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n<style>{_STYLE}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _figure(figure: Figure) -> str:
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
    return f"<figure>{chart_svg(figure.chart)}{caption}</figure>"


def _facts(facts: Facts) -> str:
    pairs = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.pairs.items())
    return f"<dl>\n{pairs}\n</dl>"


def _detail(detail: Detail) -> str:
    # A link to what stands inside opens the fold in browsers; one to the fold itself would not.
    table = _table(detail.table) if detail.table else ""
    return (
        f"<details><summary>{escape(detail.title)}</summary>\n"
        f"<div id='{escape(detail.anchor)}'><pre>{escape(detail.text)}</pre>{table}</div></details>"
    )


def _notes(notes: Notes) -> str:
    items = "\n".join(f"<li>{escape(line)}</li>" for line in notes.lines)
    return f"<ul>\n{items}\n</ul>"


def _table(table: Table) -> str:
    heads = "".join(
        f"<th{_classes(column, table.words)}>{_break_name(head)}</th>" for column, head in enumerate(table.heads)
    )
    has_dots = any(line and line[0].colour for line in table.lines)
    body: list[str] = []
    for number, line in enumerate(table.lines):
        cells = (_cell(cell, column, table.words, has_dots and column == 0) for column, cell in enumerate(line))
        body.append(f"<tr{' class=rule' if number in table.rules else ''}>{''.join(cells)}</tr>")
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    lines = "\n".join(body)
    return (
        f"<div class='scroll'><table>{caption}\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{lines}\n</tbody>\n</table></div>"
    )


def _cell(cell: Cell, column: int, words: int, has_dot: bool) -> str:
    text = escape(cell.text)
    if cell.anchor:
        text = f"<a href='#{escape(cell.anchor)}'>{text}</a>"
    if cell.is_best:
        text = f"<span class='best'>{text}</span>"
    if cell.aside:
        text += f"<span class='aside'>{escape(cell.aside)}</span>"
    if has_dot and cell.colour:
        text = f"<span class='dot' style='background:{cell.colour}'></span>{text}"
    elif has_dot:
        text = f"<span class='no-dot'></span>{text}"
    tint = f" style='background:rgba(37,99,235,{cell.tint:.2f})'" if cell.tint else ""
    return f"<td{_classes(column, words, len(cell.text) > _WIDE_CHARACTERS)}{tint}>{text}</td>"


def _break_name(text: str) -> str:
    """Return a head that may break after the colon in the name of a selector."""
    return escape(text).replace(":", ":<wbr>")


def _classes(column: int, words: int, is_wide: bool = False) -> str:
    names = [name for name, applies in (("word", column < words), ("wide", is_wide)) if applies]
    return f" class='{' '.join(names)}'" if names else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


_WRITERS: Mapping[type[Block], Callable[[Any], str]] = {
    Table: _table,
    Figure: _figure,
    Facts: _facts,
    Detail: _detail,
    Notes: _notes,
}
