"""Generative selectors on the command line: which model judges, and what became of its judgements."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nbest.cli.terminal import table
from nbest.config import GenerativeConfig, load_config
from nbest.errors import ConfigError

if TYPE_CHECKING:
    from nbest.registry import JudgeModel


def load_judge_for(
    selectors: Sequence[str], model: str | None, config: Path | None, seed: int | None
) -> "JudgeModel | None":
    """The model that the generative ones among `selectors` ask; None where there are none, or none is named (then
    `registry.require_judge` says so). Raises ConfigError where a model is named for nobody."""
    from nbest.registry import GENERATIVE

    if not GENERATIVE.keys() & set(selectors):
        if model or config:
            raise ConfigError(f"--model and --config belong to selectors that ask a model: {', '.join(GENERATIVE)}")
        return None
    return load_named_judge(model, config, seed)


def load_named_judge(model: str | None, config: Path | None, seed: int | None = None) -> "JudgeModel | None":
    """The model of the file `config`, or `model`, which counts over it; None where neither is named."""
    from nbest.registry import load_judge

    if model is None and config is None:
        return None
    settings = load_config(GenerativeConfig, config) if config is not None else GenerativeConfig()
    changed: dict[str, Any] = {} if seed is None else {"seed": seed}
    if model is not None:
        changed["policy"] = settings.policy.model_copy(update={"model": model})
    return load_judge(settings.model_copy(update=changed))


def show_judgements(rows: Sequence[dict[str, Any]], screen: Console) -> None:
    """What was asked, of each row of `select` or `score` that has `judgements`, and which positions were preferred."""
    asked = [(row.get("selector") or row.get("scorer"), row["judgements"]) for row in rows if row.get("judgements")]
    if not asked:
        return
    cells = [
        [
            str(name),
            f"{found['calls']:,}",
            f"{found['prompt_tokens']:,}",
            f"{found['sampled_tokens']:,}",
            _tell(found["retried"]),
            _tell(found["failed"]),
            f"{found['agreed']:,}",
            f"{found['abstained']:,}",
            f"{found['fell_back']:,}",
        ]
        for name, found in asked
    ]
    heads = ["judgements", "calls", "prompt tokens", "sampled", "retried", "failed", "agreed", "abstained", "fell back"]
    screen.print(table("", heads, cells))
    for name, found in asked:
        for text in _tell_rest(found):
            screen.print(f"{name}: {text}", markup=False)


def _tell(faults: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {fault}" for fault, count in sorted(faults.items())) or "0"


def _tell_rest(found: dict[str, Any]) -> list[str]:
    """Lines on what a table has no room for: the position bias of each window size, and what was left out."""
    sizes: dict[int, list[dict[str, float]]] = {}
    for row in found["position_bias"]:
        sizes.setdefault(int(row["window"]), []).append(row)
    lines: list[str] = []
    for size, rows in sizes.items():
        judged = sum(row["chosen"] for row in rows)
        shares = " ".join(f"{row['chosen'] / judged:.2f}" for row in rows)
        lines.append(f"position chosen in windows of {size} ({judged:,.0f} judged, expected {1 / size:.2f}): {shares}")
    if found["inconsistent"]:
        lines.append(f"{found['inconsistent']:,} pairs were judged differently in the other order")
    if found["unread"]:
        lines.append(f"{found['unread']:,} attempts were not shown (empty, or beyond the token budget alone)")
    lines += [f"first {fault}: {text!r}" for fault, text in found["first_messages"].items()]
    return lines
