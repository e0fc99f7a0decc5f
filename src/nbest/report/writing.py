"""The files of a report: `report.html`, `report.md`, `report.json` and one PNG per chart; the order of its sections.

The last two sections, on what was left out and on the manifests, are made here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from nbest.plurals import show_all, show_count
from nbest.report.accuracy import accuracy_section, differences_section, groups_section, rank_table
from nbest.report.blocks import Block, Detail, Facts, Figure, Notes, PageSection
from nbest.report.building import Report, RunFindings
from nbest.report.charts import Look, choose_look
from nbest.report.cost import cost_section, gap_section
from nbest.report.html import render_html
from nbest.report.markdown import render_markdown
from nbest.report.rendering import write_file, write_png
from nbest.report.whole_pools import calibration_section, disagreement_section, lengths_section, ties_section
from nbest.text.visible import write_json_text


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """Write all files into `folder`; return the path of each by its name: html, md, json, and one name per chart.

    Raises StorageError.
    """
    look = choose_look(report.chart_selectors, report.overall.roles)
    sections = [section for make in SECTIONS if (section := make(report, look)).blocks]
    paths = {kind: folder / f"report.{kind}" for kind in ("html", "md", "json")}
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Figure):
            paths[block.name] = folder / f"{block.name}.png"
            write_png(block.chart, paths[block.name])
    write_file(paths["html"], render_html(report.title, report.lead, sections, report.warnings).encode())
    write_file(paths["md"], render_markdown(report.title, report.lead, sections, report.warnings).encode())
    text = write_json_text(report.to_json(), allow_nan=False)
    write_file(paths["json"], (text + "\n").encode())
    return paths


def caveats_section(report: Report, look: Look) -> PageSection:
    """Return the warnings of each run, the selectors left out, and what the ungraded trajectories could change."""
    has_runs = len(report.runs) > 1
    lines: list[str] = []
    for run in report.runs:
        reasons = [f"left out: {reason}" for reason in run.comparison.skipped.values()]
        lines += [f"{run.name}: {line}" if has_runs else line for line in (*run.comparison.warnings, *reasons)]
    blocks: list[Block] = [Notes(lines)] if lines else []
    for run in report.runs:
        if run.comparison.ungraded:
            origin = f", {run.name}" if has_runs else ""
            trajectories = show_all(run.comparison.ungraded, "ungraded trajectory")
            caption = f"With {trajectories} wrong, to right{origin}"
            blocks.append(rank_table(run.comparison, run.comparison.bounds_table(), look.colours, caption))
    return PageSection("Left out or uncertain", "", blocks)


def manifests_section(report: Report, _: Look) -> PageSection:
    """Return what each run is and how it was evaluated, and its manifest."""
    blocks: list[Block] = []
    for number, run in enumerate(report.runs):
        blocks.append(Facts(_describe_run(run)))
        text = write_json_text(run.manifest)
        blocks.append(Detail(f"manifest-{number}", f"run.json of {run.name}", text))
    return PageSection("Manifest" if len(report.runs) == 1 else "Manifests", "", blocks)


def _describe_run(run: RunFindings) -> dict[str, str]:
    """Return what the manifest of a run says, in words, and how it was evaluated; what is not known is left out."""
    identity, info = _read_table(run.manifest, "identity"), _read_table(run.manifest, "info")
    problems, policy, sampling = (_read_table(identity, name) for name in ("problems", "policy", "sampling"))
    about = _read_table(info, "policy")
    facts = {"run": run.path}
    if problems:
        facts["problems"] = f"{problems.get('count')} of {problems.get('source')} (hash {problems.get('hash')})"
    if policy:
        size = f", {show_count(about['parameters'], 'parameter')}" if isinstance(about.get("parameters"), int) else ""
        weights = f", weights {str(policy['content_hash'])[:16]}" if policy.get("content_hash") else ""
        facts["policy"] = f"{policy.get('model') or policy.get('type')}{size}{weights}"
    if sampling:
        settings = ("temperature", "top_p", "top_k", "min_p", "max_tokens")
        facts["sampling"] = ", ".join(f"{name} {sampling[name]}" for name in settings if name in sampling)
    if "seed" in identity:
        facts["seed"] = str(identity["seed"])
    # A run written under the package's former name keeps its version there.
    versions = {"nbest": info.get("nbest") or info.get("bestofn"), "git": info.get("git_commit")}
    versions |= {"python": info.get("python")}
    versions |= {name: about.get(name) for name in ("torch", "transformers", "device", "dtype")}
    if parts := ", ".join(f"{name} {value}" for name, value in versions.items() if value):
        facts["made by"] = parts
    comparison = run.comparison
    facts["evaluation"] = (
        f"seed {comparison.seed}, {show_count(comparison.resamples, 'resample')} of problems, "
        f"{comparison.level:.0%} intervals"
    )
    return facts


def _read_table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = table.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


SECTIONS: tuple[Callable[[Report, Look], PageSection], ...] = (
    accuracy_section,
    differences_section,
    groups_section,
    cost_section,
    gap_section,
    disagreement_section,
    calibration_section,
    lengths_section,
    ties_section,
    caveats_section,
    manifests_section,
)
"""The sections of a report, in order; one with nothing to show has no blocks."""
