import sys
from pathlib import Path

import pytest

from nbest.answers.extraction import extract, extract_answer
from nbest.answers.rules import parse_rule
from nbest.errors import ConfigError, DataError, UnavailableError

FUNCTIONS = """
def shout(text):
    return text.strip().upper() or None

def count(text):
    return len(text)

def fail(text):
    raise KeyError("x")

LIMIT = 3
"""


@pytest.fixture(autouse=True)
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_rules.py").write_text(FUNCTIONS)
    (tmp_path / "broken_rules.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("own_rules", "broken_rules"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    parse_rule.cache_clear()


@pytest.mark.parametrize(
    ("rule", "text", "answer"),
    [
        (r"regex:Result: (\d+)", "Result: 4\nResult: 5\nso", "5"),
        (r"regex:\d+", "4 and 5", "5"),
        (r"regex:(?:a|b)=(?P<answer>\d+)(x)?", "a=1, b=2x", "2"),
        (r"regex:^# (.*)$", "# 18\nmore", "18"),
        (r"regex:Result: (\d+)", "none", None),
        (r"regex:Result: (\d*)", "Result: 5, Result: ", "5"),
        (r"regex:R(\d)", "<think>R1</think>R2", "2"),
        ("json:answer", '{"answer": 18}', "18"),
        ("json:answer", 'Sure: {"answer": 1} and {"answer": "two"}.', "two"),
        ("json:answer", '```json\n{"answer": 1.50}\n```', "1.50"),
        ("json:answer", '{"answer": 1e-7}', "1e-7"),
        ("json:answer", '{"answer": [1, "a"]}', '[1, "a"]'),
        ("json:answer", '{"answer": true}', "true"),
        ("json:answer", '{"answer": null}', None),
        ("json:answer", '{"answer": "{"}', "{"),
        ("json:answer", r'{"why": "\(x\)", "answer": "\frac{1}{2}"}', r"\frac{1}{2}"),
        ("json:answer", r'{"answer": "\\frac{1}{2} \text{ m}"}', r"\frac{1}{2} \text{ m}"),
        ("json:answer", r'{"answer": "\sqrt{\theta}"}', r"\sqrt{\theta}"),
        ("json:answer", r'{"answer": "\u00bd"}', "\u00bd"),
        ("json:result.value", '{"result": {"value": "x"}}', "x"),
        ("json:items.1", '{"items": [3, 4]}', "4"),
        ("json:items.9", '{"items": [3, 4]}', None),
        ("json:answer", '{"answer": 3} {"other": 4}', "3"),
        ("json:answer", '{broken} {"answer": 3', None),
        ("last-number", "3 apples and 1,234.5 pears.", "1,234.5"),
        ("last-number", "it is -3/4.", "-3/4"),
        ("last-number", "x2 is 5% more", "5%"),
        ("last-number", "none", None),
        ("text", "  Paris\n", "Paris"),
        ("text", "<think>a</think> b ", "b"),
        ("text", " ", None),
        ("own_rules:shout", " yes ", "YES"),
        ("own_rules:shout", " ", None),
        ("default", "The answer is 42.", "42"),
    ],
)
def test_rules(rule: str, text: str, answer: str | None) -> None:
    extraction = extract(text, rule=rule)
    assert (extraction.answer if extraction else None) == answer
    if extraction is not None and rule != "default":
        assert extraction.rule == rule


@pytest.mark.parametrize(
    ("rule", "text", "answer"),
    [
        (r"regex:R(\d+)", "R1 R2", "1"),
        (r"regex:R(\d+)", "R1 R2 and", "2"),
        ("last-number", "3 and 4", None),
        ("text", "3", None),
        ("json:answer", '{"answer": 3} and', "3"),
        ("own_rules:shout", "a", "A"),
    ],
)
def test_rules_of_a_cut_text(rule: str, text: str, answer: str | None) -> None:
    assert extract_answer(text, is_cut=True, rule=rule) == answer


def test_letters_are_read_in_what_a_rule_found() -> None:
    assert extract_answer("Result: (c) 12", "choice", rule="regex:Result: (.*)") == "C"
    assert extract_answer("Result: Paris", "choice", rule="regex:Result: (.*)") == "Paris"
    assert extract_answer("Result: 1", "code", rule="regex:Result: (.*)") is None


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("regex:(", r"regex:\(.*no regular expression"),
        ("regex:", "pattern is empty"),
        ("regex:(a)(b)", r"2 groups; name the one"),
        ("json:", "empty part"),
        ("json:a..b", "empty part"),
        ("last_number", r"allowed: default, regex:PATTERN.*Did you mean 'last-number'"),
        ("", "allowed: default"),
        ("jsn:answer", "no module 'jsn'.*Did you mean 'json'"),
        ("own_rules:", "allowed: default"),
        ("own_rules:shot", "has no 'shot'.*Did you mean 'shout'"),
        ("own_rules:LIMIT", "is no function, it is int"),
        ("absent_rules:read", "no module 'absent_rules'"),
    ],
)
def test_faulty_rules(rule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_rule(rule)


def test_a_module_that_fails_is_named() -> None:
    with pytest.raises(UnavailableError, match=r"broken_rules.*nothing_of_this_name"):
        parse_rule("broken_rules:read")


def test_a_function_that_fails_is_named() -> None:
    with pytest.raises(DataError, match=r"own_rules:fail.*KeyError"):
        extract("a", rule="own_rules:fail")
    with pytest.raises(DataError, match="returned int"):
        extract("a", rule="own_rules:count")


def test_long_texts_are_read_quickly() -> None:
    for piece in ("{", "}", "{}", '{"a":', '{"a": 1}', "1,", "1", "-", "1.", '{"'):
        text = piece * (1_000_000 // len(piece))
        extract(text, rule="last-number")
        extract(text, rule="json:answer")
