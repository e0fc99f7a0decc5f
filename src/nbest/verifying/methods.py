"""The verifiers by the kind of problem they check. The class is imported when it is built."""

from typing import Any

from nbest.specs import Spec, load


def _answers(context: Any, *_: object) -> Any:
    return load("nbest.verifying.answers:AnswerVerifier")(context.equivalence)


_SUMMARIES = {
    "math": "Compares the final answer with the target as mathematics.",
    "choice": "Compares the letters of a multiple-choice answer.",
    "number": "Compares numbers, amounts and quantities.",
    "date": "Compares calendar dates.",
    "python": "Compares Python literals with their types.",
    "exact": "Compares the answer with the target as it is spelled.",
}

SPECS = tuple(
    Spec(kind, "verifier", _answers, summary, position=position)
    for position, (kind, summary) in enumerate(_SUMMARIES.items(), start=1)
)
