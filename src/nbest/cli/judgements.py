"""Tables of the calls that a selector or scorer made to a judge, and of their outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any

from nbest.cli.terminal import Screen, table
from nbest.plurals import agree, show_count


def show_judgements(counts_by_method: Sequence[tuple[str, Mapping[str, Any] | None]], screen: Screen) -> None:
    """Print the counts of every method that called a model, and which positions were preferred."""
    entries = [(name, counts) for name, counts in counts_by_method if counts]
    if not entries:
        return
    cells = [
        [
            name,
            f"{counts['calls']:,}",
            f"{counts['prompt_tokens']:,}",
            f"{counts['sampled_tokens']:,}",
            _list_faults(counts["retried"]),
            _list_faults(counts["failed"]),
            f"{counts['agreed']:,}",
            f"{counts['abstained']:,}",
            f"{counts['fell_back']:,}",
        ]
        for name, counts in entries
    ]
    heads = ["judgements", "calls", "prompt tokens", "sampled", "retried", "failed", "agreed", "abstained", "fell back"]
    screen.print(table("", heads, cells))
    for name, counts in entries:
        for line in _describe_positions(counts):
            screen.print(f"{name}: {line}")


def _list_faults(faults: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {fault}" for fault, count in sorted(faults.items())) or "0"


def _describe_positions(counts: Mapping[str, Any]) -> list[str]:
    """Return lines on what the table has no room for: the position bias per window size, and how many trajectories were
    not shown."""
    sizes: dict[int, list[dict[str, float]]] = {}
    for row in counts["position_bias"]:
        sizes.setdefault(int(row["window"]), []).append(row)
    lines: list[str] = []
    for size, rows in sizes.items():
        judged = sum(row["chosen"] for row in rows)
        shares = " ".join(f"{row['chosen'] / judged:.2f}" for row in rows)
        lines.append(f"position chosen in windows of {size} ({judged:,.0f} judged, expected {1 / size:.2f}): {shares}")
    if counts["inconsistent"]:
        pairs = f"{show_count(counts['inconsistent'], 'pair')} {agree(counts['inconsistent'], 'was')}"
        lines.append(f"{pairs} judged differently in the other order")
    if counts["unread"]:
        trajectories = f"{show_count(counts['unread'], 'trajectory')} {agree(counts['unread'], 'was')}"
        lines.append(f"{trajectories} not shown (empty, or longer than the token budget)")
    lines += [f"first {fault}: {text!r}" for fault, text in counts["first_messages"].items()]
    return lines
