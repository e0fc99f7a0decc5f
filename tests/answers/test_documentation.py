"""The examples of docs/answers.md are true."""

import re
from pathlib import Path

import pytest

from nbest.answers.extraction import extract_answer
from nbest.records import Kind
from nbest.verifying.equivalence import Equivalence

_PAGE = Path(__file__).parents[2] / "docs" / "answers.md"
_ROW = re.compile(r"^\| `(?P<a>.+?)` \| `(?P<b>.+?)` \| (?P<same>yes|no) \| (?P<why>.+) \|$", re.MULTILINE)
_TEXT = re.compile(r"^\| `(?P<text>.+?)` \| (?:`(?P<answer>[^`]+)`|none) \|$", re.MULTILINE)


def read_texts() -> list[tuple[Kind, str, str | None]]:
    page = _PAGE.read_text(encoding="utf-8")
    mathematics, _, rest = page.partition("| text of a multiple-choice answer |")
    choice = rest.partition("Another rule is set")[0]
    sections: list[tuple[Kind, str]] = [("math", mathematics), ("choice", choice)]
    return [(kind, row["text"], row["answer"]) for kind, part in sections for row in _TEXT.finditer(part)]


def read_rows() -> list[tuple[str, str, bool]]:
    rows = _ROW.finditer(_PAGE.read_text(encoding="utf-8"))
    return [(row["a"].replace("\\|", "|"), row["b"].replace("\\|", "|"), row["same"] == "yes") for row in rows]


def test_the_page_has_its_tables() -> None:
    assert len(read_rows()) > 100
    assert len(read_texts()) == 14


@pytest.mark.parametrize(("kind", "text", "answer"), read_texts())
def test_every_answer_is_found(kind: Kind, text: str, answer: str | None) -> None:
    assert extract_answer(text, kind) == answer


@pytest.mark.parametrize(("a", "b", "is_same"), read_rows())
def test_every_example_is_true(equivalence: Equivalence, a: str, b: str, is_same: bool) -> None:
    assert equivalence.same(a, b) is is_same
    assert equivalence.same(b, a) is is_same
