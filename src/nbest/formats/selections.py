"""Write the selections of a problem below the reserved key of its line, and read them again.

    {"majority": {"index": 0, "answer": "4", "confidence": 0.5, "note": "...", "usage": {"sampled_tokens": 120, ...}}}

A field that has its default is left out; a selection without an `index` is an abstention. This module does not know
files or runs.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from nbest.records import Selection, Usage
from nbest.text.json_lines import Fields, describe

NAME = "selections"
_MOST_TOKENS = 2**63 - 1


def write_selection(selection: Selection) -> dict[str, Any]:
    """Return a selection as JSON values."""
    confidence = selection.confidence
    if confidence is not None and not math.isfinite(confidence):
        confidence = None
    fields = {"index": selection.index, "answer": selection.answer, "confidence": confidence}
    usage = {name: value for name, value in asdict(selection.usage).items() if value}
    extras = {"note": selection.note, "usage": usage}
    return {name: value for name, value in fields.items() if value is not None} | {
        name: value for name, value in extras.items() if value
    }


def take_selections(extras: Fields, problem_id: str, size: int) -> Mapping[str, Selection]:
    """Return the selections by selector from a pool of `size` trajectories; faults go to the list of the line."""
    selections: dict[str, Selection] = {}
    inner = extras.take_object(NAME)
    for name in inner.values if inner else ():
        fields = inner.take_object(name) if inner else None
        if fields is not None:
            selections[name] = _take_selection(fields, problem_id, size)
    return selections


def _take_selection(fields: Fields, problem_id: str, size: int) -> Selection:
    usage = fields.take_object("usage") or fields.inside({}, "usage.")
    selection = Selection(
        problem_id,
        fields.take_integer("index", 0, size - 1),
        fields.take_text("answer"),
        fields.take_number("confidence"),
        Usage(
            usage.take_integer("prompt_tokens", 0, _MOST_TOKENS) or 0,
            usage.take_integer("sampled_tokens", 0, _MOST_TOKENS) or 0,
            usage.take_number("flops") or 0.0,
            usage.take_number("seconds") or 0.0,
        ),
        fields.take_text("note") or "",
    )
    for part in (fields, usage):
        for name, value in part.rest().items():
            part.add_fault(name, describe(value), "a field of a selection: index, answer, confidence, note, usage")
    return selection
