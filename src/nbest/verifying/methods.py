"""The verifiers by the kind of problem they check. Each class is imported when it is built."""

from typing import Any

from nbest.specs import Spec, load


def _math(context: Any, *_: object) -> Any:
    return load("nbest.verifying.math:MathVerifier")(context.equivalence)


def _choice(*_: object) -> Any:
    return load("nbest.verifying.choice:ChoiceVerifier")()


SPECS = (
    Spec("math", "verifier", _math, "Compares the final answer with the target as mathematics.", position=1),
    Spec("choice", "verifier", _choice, "Compares the letter of a multiple-choice answer.", position=2),
)
