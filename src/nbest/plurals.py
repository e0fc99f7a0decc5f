"""Counts with their noun in messages: `1 trajectory`, `1,024 trajectories`. The one place of this rule."""

_VERBS = {
    "has": "have",
    "is": "are",
    "was": "were",
    "does": "do",
    "answers": "answer",
    "differs": "differ",
    "passes": "pass",
    "remains": "remain",
}


def show_count(number: int, noun: str) -> str:
    """Return a count with its noun: `show_count(1, "trajectory")` is `1 trajectory`, with 2 it is `2 trajectories`.

    `noun` is the singular; its last word takes the plural, so that `show_count(2, "ungraded trajectory")` works.
    """
    return f"{number:,} {agree(number, noun)}"


def show_part(number: int, total: int, noun: str) -> str:
    """Return a part of a count: `show_part(1, 4, "trajectory")` is `1 of 4 trajectories`.

    The verb behind it goes with `number`.
    """
    return f"{number:,} of {show_count(total, noun)}"


def show_all(number: int, noun: str) -> str:
    """Return all of a count: `show_all(3, "answer")` is `all 3 answers`, and with 1 it is `the only answer`."""
    return f"the only {noun}" if number == 1 else f"all {show_count(number, noun)}"


def show_any(number: int, noun: str) -> str:
    """Return any of a count: `show_any(3, "answer")` is `any of the 3 answers`, and with 1 it is `the only answer`."""
    return f"the only {noun}" if number == 1 else f"any of the {show_count(number, noun)}"


def agree(number: int, word: str) -> str:
    """Return the singular noun or verb `word` in the form that goes with this number."""
    if number == 1:
        return word
    if word in _VERBS:
        return _VERBS[word]
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"
