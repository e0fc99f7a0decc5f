"""Singular and plural agree: the words of `nbest.plurals`, and a scan of the source for plurals that are fixed."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from nbest.plurals import agree, show_all, show_any, show_count, show_part

SOURCE = Path(__file__).parents[1] / "src" / "nbest"

NOT_NOUNS = frozenset(
    "and are as asks at belongs by defines does for from has have holds in is its lacks leaves needs no not of on or "
    "picks punishes reads refuses requires sees stands takes that the this to twice us was were which with".split()
)
"""Words that may follow a value and end in s, or that end the phrase in which a noun would belong to the value."""

TEXTS = frozenset({"method", "question", "url", "verdict"})
"""Variables that hold a text everywhere, not a number."""

ALLOWED = {
    "{config.count} problems": "more than the most problems that are generated",
    "{trajectories} other numbers": "a count with its verb",
    "{problems} fewer graded trajectories": "a count with its verb",
    "{quote(str(run.path))} verdicts": "a path and an argument of a command",
    "{len(candidates)} candidates": "a round has two or more: with one the tournament has ended",
    "{room} tokens": "a budget into which two candidates do not fit, None without a budget",
    "{_format_free_bytes(path)} bytes": "a text, which may say that the number is unknown",
    "{optimiser.updates} must be multiples": "two numbers, of which this is the second",
    "{' and '.join(names)} count tokens": "a list of names, not a number",
}
"""Plurals behind a value that are right, with the reason."""


def find_fixed_plurals(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of every plural behind a value in an f-string, of `noun(s)`, and of a plural by hand.

    Numbers with a fraction or a percent sign take the plural always, values that are shown with `!r` are names, and the
    constants of this package are above 1.
    """
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for value, text in pairwise(node.values):
                if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                    phrase = read_plural(value, str(text.value))
                    if phrase:
                        yield value.lineno, f"{{{ast.unparse(value.value)}}} {phrase}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            if match := re.search(r"\w+\((?:s|es|ies)\)", node.value):
                yield node.lineno, match[0]
        elif isinstance(node, ast.IfExp):
            ends = {branch.value for branch in (node.body, node.orelse) if isinstance(branch, ast.Constant)}
            if ends in ({"", "s"}, {"", "es"}, {"y", "ies"}):
                yield node.lineno, ast.unparse(node)


def read_plural(value: ast.FormattedValue, text: str) -> str:
    """Return the plural that belongs to a value at the beginning of the text behind it; "" if there is none.

    That is a noun with up to two words before it or, behind a count that has its noun already, a verb.
    """
    if match := re.match(r"(show_count|show_part|agree)\(", ast.unparse(value.value)):
        verb = re.match(r" (have|are|were|do|differ|remain)\b", text)
        return verb[1] if verb and match[1] != "agree" else ""
    spec = "" if value.format_spec is None else ast.unparse(value.format_spec).removeprefix("f")
    is_known = isinstance(value.value, ast.Name) and (value.value.id.isupper() or value.value.id in TEXTS)
    if value.conversion != -1 or is_known or re.search(r"[fgeE%]", spec):
        return ""
    words: list[str] = []
    phrase = re.match(r"(?: [a-z][a-z-]+){0,4}", text)
    for word in phrase[0].split() if phrase else ():
        if word in NOT_NOUNS or len(words) == 3:
            return ""
        words.append(word)
        if word.endswith("s") and not word.endswith(("ss", "us", "is")):
            return " ".join(words)
    return ""


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_count_agrees_with_its_noun(path: Path):
    faults = [
        f"{path}:{line}: {text!r}: write show_count(number, noun), or agree(number, verb)"
        for line, text in find_fixed_plurals(path.read_text(encoding="utf-8"))
        if text not in ALLOWED
    ]
    assert not faults, "\n".join(faults)


def test_every_exception_is_still_used():
    texts = {text for path in SOURCE.rglob("*.py") for _, text in find_fixed_plurals(path.read_text(encoding="utf-8"))}
    assert ALLOWED.keys() <= texts


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ('f"{n} problems"', "{n} problems"),
        ('f"got {len(rows):,} new rows, 3 columns"', "{len(rows)} new rows"),
        ('f"{a} of {b} trajectories failed"', "{b} trajectories"),
        ("""f"{show_part(a, b, 'trajectory')} were lost\"""", "{show_part(a, b, 'trajectory')} were"),
        ('"linear layer(s)"', "layer(s)"),
        ("""f"{n} fault{'s' if n > 1 else ''}\"""", "'s' if n > 1 else ''"),
    ],
)
def test_the_scan_finds_a_fixed_plural(code: str, text: str):
    assert [found for _, found in find_fixed_plurals(f"message = {code}")] == [text]


@pytest.mark.parametrize(
    "code",
    ['f"{name!r} sees"', 'f"{MOST} rows"', 'f"{x:.1f} points"', 'f"{x:.0%} intervals"', 'f"{run} holds no scores"'],
)
def test_the_scan_passes_names_and_fractions(code: str):
    assert not list(find_fixed_plurals(f"message = {code}"))


def test_counts():
    assert [show_count(number, "ungraded trajectory") for number in (0, 1, 1024)] == [
        "0 ungraded trajectories",
        "1 ungraded trajectory",
        "1,024 ungraded trajectories",
    ]
    assert [show_part(1, total, "match") for total in (1, 3)] == ["1 of 1 match", "1 of 3 matches"]
    assert [show_all(number, "answer") for number in (1, 3)] == ["the only answer", "all 3 answers"]
    assert [show_any(number, "answer") for number in (1, 3)] == ["the only answer", "any of the 3 answers"]
    assert [agree(number, "has") for number in (0, 1, 2)] == ["have", "has", "have"]
