"""What a run's manifest says, in words. This module does not know how it is shown."""

from collections.abc import Mapping
from typing import Any, cast

from nbest.measuring.comparison import Comparison
from nbest.report.result import RunFindings


def describe_run(run: RunFindings) -> dict[str, str]:
    """What a manifest says, in words; what it does not say is left out."""
    identity, info = _part(run.manifest, "identity"), _part(run.manifest, "info")
    problems, policy, sampling = (_part(identity, name) for name in ("problems", "policy", "sampling"))
    about = _part(info, "policy")
    facts = {"run": run.path}
    if problems:
        facts["problems"] = f"{problems.get('count')} of {problems.get('source')} (hash {problems.get('hash')})"
    if policy:
        size = f", {about['parameters']:,} parameters" if isinstance(about.get("parameters"), int) else ""
        weights = f", weights {str(policy['content_hash'])[:16]}" if policy.get("content_hash") else ""
        facts["policy"] = f"{policy.get('model') or policy.get('type')}{size}{weights}"
    if sampling:
        shown = ("temperature", "top_p", "top_k", "min_p", "max_tokens")
        facts["sampling"] = ", ".join(f"{name} {sampling[name]}" for name in shown if name in sampling)
    if "seed" in identity:
        facts["seed"] = str(identity["seed"])
    versions = {
        "nbest": info.get("nbest") or info.get("bestofn"),
        "git": info.get("git_commit"),
        "python": info.get("python"),
    }
    versions |= {name: about.get(name) for name in ("torch", "transformers", "device", "dtype")}
    if said := ", ".join(f"{name} {value}" for name, value in versions.items() if value):
        facts["made by"] = said
    return facts | _describe_evaluation(run.comparison)


def _describe_evaluation(comparison: Comparison) -> dict[str, str]:
    words = f"seed {comparison.seed}, {comparison.resamples:,} resamples of problems, {comparison.level:.0%} intervals"
    return {"evaluation": words}


def _part(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = table.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
