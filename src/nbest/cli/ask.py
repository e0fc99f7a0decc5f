"""`nbest ask`: one question to the front door, with the answer, its confidence and its votes on the screen."""

import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nbest.cli.terminal import JsonOut, console, show_progress, table, write_json
from nbest.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from nbest.answering import BestOfN
    from nbest.answering.events import Result
    from nbest.records import SamplingParams

POLICY, EXAMPLE = (
    "bundled:arithmetic",
    "A shop has 47 pens. It buys 86 more. It sells 35. It buys 12 more. How many pens?",
)
"""The policy without `--policy`, and what it is asked without a question: a problem of the kind it was trained on."""
BUNDLED_SELECTOR, SELECTOR = "vote:trajselector-fused", "majority"
"""The selector without `--selector`: of that policy, whose hidden states the bundled scorer reads, and of any other."""


def ask(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="The question; - reads standard input.")
    ] = None,
    policy: Annotated[str, typer.Option(help="The model that answers: bundled:NAME, a folder or a hub id.")] = POLICY,
    n: Annotated[int, typer.Option("--n", min=1, help="Number of trajectories.")] = 16,
    selector: Annotated[
        str | None,
        typer.Option(
            "--selector",
            "-s",
            help="The selector, such as majority or 'vote:deepconf-bottom(window=16)'; see `nbest methods`.",
            show_default=f"{BUNDLED_SELECTOR} for the bundled policy, else {SELECTOR}",
        ),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="The model that a generative selector asks: bundled:NAME, a folder or a hub id.")
    ] = None,
    scorer_model: Annotated[
        str | None, typer.Option(help="The trained model of the selector's scorer: a folder or a hub id.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The most tokens of a trajectory.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the trajectories.")] = 0,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Keep everything in this run folder, and draw what it lacks.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print every candidate with its answer and scores.")] = False,
    json_out: JsonOut = None,
) -> None:
    """Answer a question: sample N trajectories, score them and select the one to trust."""
    from nbest.answering import BestOfN

    text = _read_question(question, policy)
    name = selector or (BUNDLED_SELECTOR if policy == POLICY else SELECTOR)
    screen = console(json_out)
    if question is None:
        screen.print(f"question    {text}", markup=False, soft_wrap=True)
    start = time.perf_counter()
    sampling = _change_sampling(policy, temperature, max_tokens)
    with BestOfN(
        policy, name, n=n, sampling=sampling, seed=seed, judge=judge, scorer_model=scorer_model, run=run
    ) as bon:
        result = _answer(bon, text)
    seconds = time.perf_counter() - start
    if show:
        _show_candidates(result, screen)
    _show_result(result, seconds, screen)
    write_json({"question": text, "policy": policy, "selector": name} | _to_json(result, seconds), json_out)


def _read_question(question: str | None, policy: str) -> str:
    if question is None:
        if policy != POLICY:
            raise ConfigError(f"question: none was given; only {POLICY} has an example. Write: nbest ask QUESTION")
        return EXAMPLE
    text = sys.stdin.read().strip() if question == "-" else question
    if not text.strip():
        raise ConfigError("question: it is empty. Write: nbest ask QUESTION")
    return text


def _change_sampling(policy: str, temperature: float | None, max_tokens: int | None) -> "SamplingParams":
    from nbest.answering.plan import default_sampling

    changes = {"temperature": temperature, "max_tokens": max_tokens}
    return replace(default_sampling(policy), **{key: value for key, value in changes.items() if value is not None})


def _answer(bon: "BestOfN", question: str) -> "Result":
    """Ask with progress on standard error."""
    from nbest.answering.events import Scored, Selected
    from nbest.stages.flow import StageProgress

    tokens = 0
    with show_progress() as on_progress:
        for event in bon.stream(question):
            if isinstance(event, Selected):
                return event.result
            if isinstance(event, Scored):
                on_progress(StageProgress(event.scorer, len(event.scores), len(event.scores)))
            else:
                tokens += event.trajectory.completion.count_usage().sampled_tokens
                on_progress(StageProgress("sample", event.finished, event.total, tokens))
    raise EngineError("the events ended without a selection")


def _show_candidates(result: "Result", screen: Console) -> None:
    """Print a row per trajectory, the selected one marked, and the selected text."""
    heads = ["candidate", "answer", *result.scores, "tokens", "finish"]
    rows: list[list[str]] = []
    for index, (trajectory, answer) in enumerate(zip(result.pool.trajectories, result.answers, strict=True)):
        scores = [f"{scores[index].value:.4g}" for scores in result.scores.values()]
        counts = trajectory.completion.count_usage()
        label = f"{index}{' *' if index == result.index else ''}"
        rows.append([label, answer or "-", *scores, f"{counts.sampled_tokens:,}", trajectory.completion.finish])
    screen.print(table("", heads, rows))
    if result.text is not None:
        screen.print()
        screen.print(result.text.strip(), markup=False, soft_wrap=True)
    screen.print()


def _show_result(result: "Result", seconds: float, screen: Console) -> None:
    total = len(result.pool.trajectories)
    rows = [("answer", result.answer or ("none" if result.index is not None else "none: the selector abstained"))]
    if result.confidence is not None:
        rows.append(("confidence", f"{result.confidence:.2f}"))
    rows.append(("votes", f"{result.votes} of {total}"))
    if result.selection.note:
        rows.append(("note", result.selection.note))
    failures = [each.completion.note for each in result.pool.trajectories if each.has_failed]
    if failures:
        rows.append(("failed", f"{len(failures)} of {total}; the first: {failures[0]}"))
    rows.append(("cost", f"{result.usage.sampled_tokens:,} tokens sampled, {seconds:.1f} s"))
    for head, text in rows:
        screen.print(f"{head:<11} {text}", markup=False, soft_wrap=True)


def _to_json(result: "Result", seconds: float) -> dict[str, Any]:
    candidates = [
        {
            "answer": answer,
            "finish": trajectory.completion.finish,
            "sampled_tokens": trajectory.completion.count_usage().sampled_tokens,
            "scores": {name: _finite(scores[index].value) for name, scores in result.scores.items()},
            "text": trajectory.completion.text,
        }
        for index, (trajectory, answer) in enumerate(zip(result.pool.trajectories, result.answers, strict=True))
    ]
    return {
        "answer": result.answer,
        "confidence": result.confidence,
        "votes": result.votes,
        "index": result.index,
        "text": result.text,
        "note": result.selection.note,
        "seconds": seconds,
        "usage": asdict(result.usage),
        "candidates": candidates,
    }


def _finite(value: float) -> float | None:
    """A score that is missing is NaN, which JSON has no word for."""
    return value if value == value else None
