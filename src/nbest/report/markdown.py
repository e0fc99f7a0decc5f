"""A report as Markdown: tables, pictures beside it, notes. Asides of cells stand in brackets.

This module does not know runs or selectors; it draws blocks.
"""

from collections.abc import Sequence

from nbest.report.blocks import Block, Cell, Detail, Facts, Figure, Notes, Section, Sheet


def render_markdown(title: str, lead: str, sections: Sequence[Section]) -> str:
    parts = [f"# {_plain(title)}", _plain(lead)]
    for section in sections:
        parts.append(f"## {_plain(section.title)}")
        if section.lead:
            parts.append(_plain(section.lead))
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Sheet):
        return _sheet(block)
    if isinstance(block, Figure):
        return f"![{_plain(block.caption or block.name)}]({block.name}.png)"
    if isinstance(block, Facts):
        return "\n".join(f"- {_plain(name)}: {_plain(value)}" for name, value in block.pairs.items())
    if isinstance(block, Detail):
        table = f"\n\n{_sheet(block.sheet)}" if block.sheet else ""
        return f"### {_plain(block.title)}{table}\n\n{_fenced(block.text)}"
    assert isinstance(block, Notes)
    return "\n".join(f"- {_plain(line)}" for line in block.lines)


def _sheet(sheet: Sheet) -> str:
    heads = "| " + " | ".join(_plain(head) or " " for head in sheet.heads) + " |"
    marks = [":--" if place < sheet.left else "--:" for place in range(len(sheet.heads))]
    rows = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in sheet.rows]
    caption = f"**{_plain(sheet.caption)}**\n\n" if sheet.caption else ""
    return caption + "\n".join([heads, f"| {' | '.join(marks)} |", *rows])


def _cell(cell: Cell) -> str:
    text = f"**{_plain(cell.text)}**" if cell.is_best else _plain(cell.text)
    return f"{text} ({_plain(cell.aside)})" if cell.aside else text


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def _plain(text: str) -> str:
    """Text that means nothing in Markdown or HTML, on one line."""
    escaped = "".join(f"\\{mark}" if mark in "\\`*|[]" else mark for mark in " ".join(text.split()))
    return escaped.replace("<", "&lt;").replace(" _", " \\_")
