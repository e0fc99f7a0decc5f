"""A report as Markdown, with its pictures in files beside it. The small print of cells is in brackets.

This module does not know runs or selectors.
"""

from collections.abc import Sequence

from nbest.report.blocks import Block, Cell, Detail, Facts, Figure, Notes, PageSection, Table
from nbest.text.visible import show_line, show_text


def render_markdown(title: str, lead: str, sections: Sequence[PageSection], warnings: Sequence[str] = ()) -> str:
    """Return the whole report as Markdown text. `warnings` come first, in bold: Markdown has no colours."""
    parts = [f"**{_plain(warning)}**" for warning in warnings]
    parts += [f"# {_plain(title)}", _plain(lead)]
    for section in sections:
        parts.append(f"## {_plain(section.title)}")
        if section.lead:
            parts.append(_plain(section.lead))
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        return f"![{_plain(block.caption or block.name)}]({block.name}.png)"
    if isinstance(block, Facts):
        return "\n".join(f"- {_plain(name)}: {_plain(value)}" for name, value in block.pairs.items())
    if isinstance(block, Detail):
        table = f"\n\n{_table(block.table)}" if block.table else ""
        return f"### {_plain(block.title)}{table}\n\n{_fenced(block.text)}"
    assert isinstance(block, Notes)
    return "\n".join(f"- {_plain(line)}" for line in block.lines)


def _table(table: Table) -> str:
    heads = "| " + " | ".join(_plain(head) or " " for head in table.heads) + " |"
    marks = [":--" if column < table.words else "--:" for column in range(len(table.heads))]
    lines = ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in table.lines]
    caption = f"**{_plain(table.caption)}**\n\n" if table.caption else ""
    foot = f"\n\n{_plain(table.foot)}" if table.foot else ""
    return caption + "\n".join([heads, f"| {' | '.join(marks)} |", *lines]) + foot


def _cell(cell: Cell) -> str:
    text = f"**{_plain(cell.text)}**" if cell.is_best else _plain(cell.text)
    return f"{text} ({_plain(cell.aside)})" if cell.aside else text


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{show_text(text)}\n{fence}"


def _plain(text: str) -> str:
    """Return text on one line, escaped so that it means nothing in Markdown or HTML."""
    escaped = "".join(f"\\{mark}" if mark in "\\`*|[]" else mark for mark in show_line(" ".join(text.split())))
    return escaped.replace("<", "&lt;").replace(" _", " \\_")
