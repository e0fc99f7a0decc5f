"""The signs of per-token numbers: a value of the wrong sign is a fault, because it would turn a ranking around.

    logprobs      log-probabilities: never above 0
    confidences   the mean log-probability of the top-k tokens: never above 0. DeepConf's own files (arXiv 2508.15260)
                  have minus this mean, which is never below 0; with the sign "deepconf" it is converted
    certainties   KL(uniform || policy): never below 0

A value beyond 0 by less than 1e-5 is a rounding error of its source, and stays. This module does not know files or
runs.
"""

from typing import Literal, TypeAlias, get_args

from nbest.errors import ConfigError
from nbest.specs import did_you_mean
from nbest.text.json_lines import Fields, describe

ConfidencesSign: TypeAlias = Literal["nbest", "deepconf"]
SIGNS: tuple[ConfidencesSign, ...] = get_args(ConfidencesSign)
SIGN_FIELD = "confidences_sign"
_ROUNDING_ERROR = 1e-5

_LOGPROBS = "log-probabilities, which are never above 0 (for probabilities, take their logarithm)"
_CONFIDENCES = (
    "mean log-probabilities of the top-k tokens, which are never above 0. Files of DeepConf have minus these: put "
    '{"confidences_sign": "deepconf"} into the first line of the file, or import with --confidences-sign deepconf'
)
_DEEPCONF = (
    'minus the mean log-probabilities of the top-k tokens, which are never below 0 (confidences_sign is "deepconf"; '
    'for log-probabilities themselves, leave it out or set "nbest")'
)
_CERTAINTIES = "the divergence of the policy from a uniform distribution, which is never below 0"


def check_sign(sign: str | None) -> ConfidencesSign | None:
    """Return `sign` if it is the name of a sign or None. Raises ConfigError otherwise."""
    if sign is None:
        return None
    for allowed in SIGNS:
        if sign == allowed:
            return allowed
    hint = did_you_mean(sign, SIGNS)
    raise ConfigError(f"{SIGN_FIELD}: got {describe(sign)}; allowed: {', '.join(SIGNS)}.{hint}")


def take_sign(fields: Fields) -> ConfidencesSign | None:
    """Return the sign that an object names; None where it names none. An unknown one is a fault."""
    text = fields.take_text(SIGN_FIELD)
    for allowed in SIGNS:
        if text == allowed:
            return allowed
    if text is not None:
        fields.add_fault(SIGN_FIELD, describe(text), ", ".join(SIGNS))
    return None


def take_logprobs(fields: Fields, name: str = "logprobs") -> list[float] | None:
    """Return log-probabilities; a positive one is a fault."""
    return _check(fields, name, fields.take_numbers(name), 1.0, _LOGPROBS)


def take_confidences(fields: Fields, sign: ConfidencesSign) -> list[float] | None:
    """Return confidences with the sign of `Completion.confidences`, converted where `sign` is that of DeepConf."""
    values = fields.take_numbers("confidences")
    if sign == "nbest":
        return _check(fields, "confidences", values, 1.0, _CONFIDENCES)
    values = _check(fields, "confidences", values, -1.0, _DEEPCONF)
    return None if values is None else [-value for value in values]


def take_certainties(fields: Fields) -> list[float] | None:
    """Return self-certainties; a negative one is a fault."""
    return _check(fields, "certainties", fields.take_numbers("certainties"), -1.0, _CERTAINTIES)


def _check(fields: Fields, name: str, values: list[float] | None, direction: float, allowed: str) -> list[float] | None:
    """Return `values`; the first one with `direction` times its value above 0 is a fault."""
    for position, value in enumerate(values or ()):
        if direction * value > _ROUNDING_ERROR:
            fields.add_fault(f"{name}[{position}]", describe(value), allowed)
            break
    return values
