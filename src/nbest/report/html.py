"""One self-contained HTML page of sections of blocks: tables, charts as SVG, facts. No script, no network.

This module does not know runs or estimators; all text is plain and is escaped, and its hidden characters are shown. How
the page looks is in `page_style.py`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape as escape_markup
from typing import Any

from nbest.report.blocks import Block, Detail, Facts, Figure, Notes, PageSection, Table
from nbest.report.page_style import STYLE, color_variable
from nbest.report.rendering import render_page_svgs
from nbest.text.visible import show_text

_WIDE_CHARACTERS = 60
"""A cell with more may break its lines."""
_DIGIT, _LETTER, _DOT = 7.8, 6.3, 18
_PADDING, _NARROW_PADDING = 24, 18
_WIDEST_HEAD, _NARROW_LABEL, _WIDE_CELL = 100, 122, 260
"""Widths in pixels, as `page_style.py` sets them, from which the width of a table is estimated."""


def render_html(title: str, lead: str, sections: Sequence[PageSection], warnings: Sequence[str] = ()) -> str:
    """Return the markup of a whole page, with links to its sections. `warnings` come first."""
    links = "".join(f"<a href='#{_slug(section.title)}'>{escape(section.title)}</a>" for section in sections)
    body = [f"<p class='warning'>{escape(warning)}</p>" for warning in warnings]
    body += [f"<h1>{escape(title)}</h1>", f"<p class='lead'>{escape(lead)}</p>", f"<nav>{links}</nav>"]
    for section in sections:
        body.append(f"<section id='{_slug(section.title)}'>\n<h2>{escape(section.title)}</h2>")
        if section.lead:
            body.append(f"<p>{escape(section.lead)}</p>")
        body += [_WRITERS[type(block)](block) for block in section.blocks]
        body.append("</section>")
    return (
        f"<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n<title>{escape(title)}</title>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n<style>{STYLE}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Return text that means nothing in HTML, with its hidden characters as escapes."""
    return escape_markup(show_text(text))


def _figure(figure: Figure) -> str:
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
    wide, narrow = render_page_svgs(figure.chart)
    return f"<figure><div class='wide'>{wide}</div><div class='narrow'>{narrow}</div>{caption}</figure>"


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
        body.append(f"<tr{' class=rule' if number in table.rules else ''}>")
        for column, cell in enumerate(line):
            text = escape(cell.text)
            if cell.anchor:
                text = f"<a href='#{escape(cell.anchor)}'>{text}</a>"
            if cell.is_best:
                text = f"<span class='best'>{text}</span>"
            if cell.aside:
                text += f"<span class='aside'>{escape(cell.aside)}</span>"
            if has_dots and column == 0:
                dot = f"'dot' style='background:{color_variable(cell.colour)}'" if cell.colour else "'no-dot'"
                text = f"<span class={dot}></span>{text}"
            classes = _classes(column, table.words, is_wide=len(cell.text) > _WIDE_CHARACTERS)
            tint = f" style='--tint:{cell.tint:.2f}'" if cell.tint else ""
            body.append(f"<td{classes}{tint}>{text}</td>")
        body.append("</tr>\n")
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    foot = f"<p class='foot'>{escape(table.foot)}</p>" if table.foot else ""
    wide, narrow = _estimate_widths(table)
    return (
        f"<div class='table' style='--wide:{wide}px;--narrow:{narrow}px'>"
        "<p class='hint'>This table is wider than the screen: scroll it sideways &#8594;</p>"
        f"<div class='scroll'><table>{caption}\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{''.join(body)}</tbody>\n</table></div>{foot}</div>"
    )


def _estimate_widths(table: Table) -> tuple[int, int]:
    """Return about how many pixels wide a table is, on a wide and on a narrow screen.

    The page says with them where a table does not fit. A head is as wide as its longest part that is not broken.
    """
    total = label = 0.0
    for column, head in enumerate(table.heads):
        width = min(max(map(_measure, re.split(r"[\s:-]", head))), _WIDEST_HEAD)
        for line in table.lines:
            cell = line[column]
            text = _measure(cell.text) if len(cell.text) <= _WIDE_CHARACTERS else _WIDE_CELL
            width = max(width, text + (_DOT if cell.colour else 0), 0.8 * _measure(cell.aside))
        total += width
        label = label or width
    narrow = total - label + _NARROW_LABEL
    return round(total + _PADDING * len(table.heads)), round(narrow + _NARROW_PADDING * len(table.heads))


def _measure(text: str) -> float:
    """Return about how many pixels wide a text is."""
    digits = sum(letter.isdecimal() for letter in text)
    return _DIGIT * digits + _LETTER * (len(text) - digits)


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
