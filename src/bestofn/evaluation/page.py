"""One self-contained HTML page of a comparison: the table, the curve, and the facts of the run. No script, no network.

This module does not know runs or estimators; facts and notes come as plain text and are escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from bestofn.evaluation.charts import accuracy_chart, chart_svg, write_file
from bestofn.evaluation.comparison import Comparison

_STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f6f7f9; color: #1f2937; font: 15px/1.55 Inter, 'Helvetica Neue', Arial, sans-serif; }
main { max-width: 960px; margin: 40px auto; padding: 36px 44px; background: #fff; border: 1px solid #e5e7eb;
       border-radius: 12px; }
h1 { margin: 0 0 4px; font-size: 26px; letter-spacing: -0.01em; }
h2 { margin: 36px 0 12px; font-size: 17px; }
.lead { margin: 0 0 8px; color: #6b7280; }
figure { margin: 20px 0 0; }
svg { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; border-bottom: 1px solid #eceef1; white-space: nowrap; }
th { font-weight: 600; color: #4b5563; font-size: 13px; border-bottom-color: #c3c8cf; }
th:first-child, td:first-child { text-align: left; }
td:first-child { font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 24px; margin: 0; }
dt { color: #6b7280; }
dd { margin: 0; overflow-wrap: anywhere; }
ul { margin: 0; padding-left: 20px; }
.note { color: #6b7280; font-size: 13px; }
"""

_READING = (
    "Accuracy in percent: the exact expectation over all subsets of N candidates, averaged over problems. "
    "oracle is the bound of every selector (it sees the verdicts); random is a pick by chance."
)


def write_page(path: Path, title: str, comparison: Comparison, facts: Mapping[str, str]) -> None:
    """Writes the page. `facts` are shown in order, as a name and what it says. Raises StorageError."""
    write_file(path, page(title, comparison, facts).encode())


def page(title: str, comparison: Comparison, facts: Mapping[str, str]) -> str:
    """The markup of the whole page."""
    skipped = [f"left out: {reason}" for reason in comparison.skipped.values()]
    lead = f"{comparison.problems} problems, up to {comparison.n_max} candidates each"
    sections = [
        f"<h1>{escape(title)}</h1>\n<p class='lead'>{escape(lead)}</p>",
        f"<figure>{chart_svg(accuracy_chart(comparison))}</figure>",
        f"<h2>Accuracy</h2>\n{_table(comparison)}\n<p class='note'>{escape(_READING)}</p>",
        _listing("Left out or uncertain", [*comparison.warnings, *skipped]),
        _facts(facts),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        f"<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n<title>{escape(title)}</title>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _table(comparison: Comparison) -> str:
    heads = "".join(f"<th>{escape(head)}</th>" for head in comparison.table_columns())
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in cells) for cells in comparison.table_rows())
    body = "\n".join(f"<tr>{cells}</tr>" for cells in rows)
    return f"<div class='scroll'><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"


def _listing(head: str, entries: Sequence[str]) -> str:
    items = "\n".join(f"<li>{escape(entry)}</li>" for entry in entries)
    return f"<h2>{escape(head)}</h2>\n<ul>\n{items}\n</ul>" if entries else ""


def _facts(facts: Mapping[str, str]) -> str:
    pairs = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"<h2>The run</h2>\n<dl>\n{pairs}\n</dl>" if facts else ""
