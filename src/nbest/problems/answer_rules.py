"""The field `answer_rule` of a row of problems. This module does not know which tables have it."""

from nbest.answers.rules import ALLOWED, parse_rule
from nbest.errors import ConfigError, UnavailableError
from nbest.text.json_lines import Fields, describe

FIELD = "answer_rule"


def take_answer_rule(fields: Fields) -> str | None:
    """Return the answer rule that a row names; None if it names none. A faulty rule is a fault of the row."""
    rule = fields.take_text(FIELD)
    if rule is None:
        return None
    try:
        return parse_rule(rule).text
    except (ConfigError, UnavailableError) as error:
        fields.add_fault(FIELD, f"{describe(rule)} ({error})", ALLOWED)
        return None
