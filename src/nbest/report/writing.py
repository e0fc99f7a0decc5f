"""The files of a report: `report.html`, `report.md`, `report.json` and one PNG per chart."""

import json
from pathlib import Path

from nbest.report.blocks import Figure
from nbest.report.building import Report
from nbest.report.charts import write_file, write_png
from nbest.report.html import render_html
from nbest.report.markdown import render_markdown
from nbest.report.sections import SECTIONS, choose_look


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """Write all files into `folder`; return the path of each by its name: html, md, json, and one name per chart.

    Raises StorageError.
    """
    look = choose_look(report)
    sections = [section for make in SECTIONS if (section := make(report, look)).blocks]
    paths = {kind: folder / f"report.{kind}" for kind in ("html", "md", "json")}
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Figure):
            paths[block.name] = folder / f"{block.name}.png"
            write_png(block.chart, paths[block.name])
    write_file(paths["html"], render_html(report.title, report.lead, sections).encode())
    write_file(paths["md"], render_markdown(report.title, report.lead, sections).encode())
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_file(paths["json"], (text + "\n").encode())
    return paths
