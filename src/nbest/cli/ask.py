"""`nbest ask`: answer one question, and print the answer with its confidence and votes."""

import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nbest.cli.progress import show_progress
from nbest.cli.terminal import JsonOut, Screen, console, table, write_json
from nbest.errors import ConfigError, EngineError
from nbest.interruption import INTERRUPTION
from nbest.plurals import show_count

if TYPE_CHECKING:
    from nbest.answering import BestOfN
    from nbest.answering.events import Result
    from nbest.records import SamplingParams

POLICY, EXAMPLE = (
    "bundled:arithmetic",
    "A shop has 47 pens. It buys 86 more. It sells 35. It buys 12 more. How many pens?",
)
"""The default policy, and the question it answers if none is given: a problem of the kind it was trained on."""
BUNDLED_SELECTOR, SELECTOR = "vote:trajselector-fused", "majority"
"""The default selectors: of the default policy, whose hidden states the bundled scorer reads, and of any other."""


def ask(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="The question; - reads it from standard input.")
    ] = None,
    policy: Annotated[str, typer.Option(help="The model that answers: bundled:NAME, a folder or a hub id.")] = POLICY,
    n: Annotated[int, typer.Option("--n", help="Number of trajectories.")] = 16,
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
        str | None, typer.Option(help="The judge of a generative selector: bundled:NAME, a folder or a hub id.")
    ] = None,
    scorer_model: Annotated[
        str | None, typer.Option(help="The trained model of the selector's scorer: a folder or a hub id.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature; 0 is greedy.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Maximum number of tokens per trajectory.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the trajectories.")] = 0,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Store everything in this run folder, and draw only the trajectories that it lacks."
        ),
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
        screen.print(f"question    {text}")
    start = time.perf_counter()
    sampling = _change_sampling(policy, temperature, max_tokens)
    with (
        # What was drawn is written to the run when the object is closed.
        nullcontext() if run is None else INTERRUPTION.protect_results(),
        BestOfN(
            policy, name, n=n, sampling=sampling, seed=seed, judge=judge, scorer_model=scorer_model, run=run
        ) as bon,
    ):
        result = _answer(bon, text, policy)
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
    text = _read_input() if question == "-" else question
    if not text.strip():
        raise ConfigError("question: it is empty. Write: nbest ask QUESTION")
    return text


def _read_input() -> str:
    """Return the text on standard input. Raises ConfigError if it is not in the encoding of the locale."""
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        fault = f"not {error.encoding} ({error.reason} at byte {error.start})"
        raise ConfigError(f"question: standard input is {fault}; give text in this encoding") from error


def _change_sampling(policy: str, temperature: float | None, max_tokens: int | None) -> "SamplingParams":
    from nbest.answering.plan import default_sampling

    changes = {"temperature": temperature, "max_tokens": max_tokens}
    return replace(default_sampling(policy), **{key: value for key, value in changes.items() if value is not None})


def _answer(bon: "BestOfN", question: str, policy: str) -> "Result":
    """Ask the question, with progress on standard error."""
    from nbest.answering.events import Scored, Selected
    from nbest.progress import StageProgress, report_activity

    tokens = 0
    with show_progress() as on_progress:
        report_activity(f"load {policy}", on_progress)
        for event in bon.stream(question):
            if isinstance(event, Selected):
                return event.result
            if isinstance(event, Scored):
                on_progress(StageProgress(event.scorer, len(event.scores), len(event.scores)))
            else:
                tokens += event.trajectory.completion.count_usage().sampled_tokens
                on_progress(StageProgress("sample", event.finished, event.total, tokens))
    raise EngineError("the events ended without a selection")


def _show_candidates(result: "Result", screen: Screen) -> None:
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
        screen.print(result.text.strip())
    screen.print()


def _show_result(result: "Result", seconds: float, screen: Screen) -> None:
    total = len(result.pool.trajectories)
    rows = [("answer", result.answer or ("none" if result.index is not None else "none: the selector abstained"))]
    if result.confidence is not None:
        rows.append(("confidence", f"{result.confidence:.2f}"))
    rows.append(("votes", f"{result.votes} of {total}"))
    if result.selection.note:
        rows.append(("note", result.selection.note))
    notes = [trajectory.completion.note for trajectory in result.pool.trajectories if trajectory.has_failed]
    if notes:
        rows.append(("failed", f"{len(notes)} of {total}; the first: {notes[0]}"))
    rows.append(("cost", f"{show_count(result.usage.sampled_tokens, 'token')} sampled, {seconds:.1f} s"))
    for head, text in rows:
        screen.print(f"{head:<11} {text}")


def _to_json(result: "Result", seconds: float) -> dict[str, Any]:
    candidates = [
        {
            "answer": answer,
            "finish": trajectory.completion.finish,
            "sampled_tokens": trajectory.completion.count_usage().sampled_tokens,
            "scores": {name: _replace_nan(scores[index].value) for name, scores in result.scores.items()},
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


def _replace_nan(value: float) -> float | None:
    """Return a score, or None for NaN (a missing score), which JSON cannot express."""
    return value if value == value else None
