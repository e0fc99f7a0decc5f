"""What a model was asked by a selector or scorer, and what became of its judgements, as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from nbest.cli.terminal import table


def show_judgements(accounts: Sequence[tuple[str, Mapping[str, Any] | None]], screen: Console) -> None:
    """Print the account of each method whose model was asked, and which positions were preferred."""
    asked = [(name, account) for name, account in accounts if account]
    if not asked:
        return
    cells = [
        [
            name,
            f"{account['calls']:,}",
            f"{account['prompt_tokens']:,}",
            f"{account['sampled_tokens']:,}",
            _list_faults(account["retried"]),
            _list_faults(account["failed"]),
            f"{account['agreed']:,}",
            f"{account['abstained']:,}",
            f"{account['fell_back']:,}",
        ]
        for name, account in asked
    ]
    heads = ["judgements", "calls", "prompt tokens", "sampled", "retried", "failed", "agreed", "abstained", "fell back"]
    screen.print(table("", heads, cells))
    for name, account in asked:
        for line in _describe_positions(account):
            screen.print(f"{name}: {line}", markup=False)


def _list_faults(faults: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {fault}" for fault, count in sorted(faults.items())) or "0"


def _describe_positions(account: Mapping[str, Any]) -> list[str]:
    """Return lines on what the table has no room for: the position bias per window size, and what was not shown."""
    sizes: dict[int, list[dict[str, float]]] = {}
    for row in account["position_bias"]:
        sizes.setdefault(int(row["window"]), []).append(row)
    lines: list[str] = []
    for size, rows in sizes.items():
        judged = sum(row["chosen"] for row in rows)
        shares = " ".join(f"{row['chosen'] / judged:.2f}" for row in rows)
        lines.append(f"position chosen in windows of {size} ({judged:,.0f} judged, expected {1 / size:.2f}): {shares}")
    if account["inconsistent"]:
        lines.append(f"{account['inconsistent']:,} pairs were judged differently in the other order")
    if account["unread"]:
        lines.append(f"{account['unread']:,} trajectories were not shown (empty, or longer than the token budget)")
    lines += [f"first {fault}: {text!r}" for fault, text in account["first_messages"].items()]
    return lines
