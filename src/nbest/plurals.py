"""Counts with their noun in messages: `1 trajectory`, `1,024 trajectories`. The one place of this rule."""

_IRREGULAR = {"has": "have", "is": "are", "was": "were", "differs": "differ", "remains": "remain"}


def show_count(number: int, noun: str) -> str:
    """Return a count with its noun: `show_count(1, "trajectory")` is `1 trajectory`, with 2 it is `2 trajectories`.

    `noun` is the singular; its last word takes the plural, so that `show_count(2, "ungraded trajectory")` works.
    """
    return f"{number:,} {agree(number, noun)}"


def agree(number: int, word: str) -> str:
    """Return the singular noun or verb `word` in the form that goes with this number."""
    if number == 1:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"
