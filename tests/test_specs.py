"""How methods are written, and what a Spec refuses."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbest.config import Count, Section
from nbest.errors import ConfigError
from nbest.specs import MethodName, Spec, did_you_mean, parse_method


class Options(Section):
    size: Count = 3
    share: float | None = 0.5
    is_on: bool = False
    names: tuple[str, ...] = ()
    file: Path | None = None


def build(context: object, options: Options, scorer: str) -> tuple[object, Options, str]:
    return context, options, scorer


PLAIN = Spec("plain", "selector", build, "A method.", options=Options)
RULE = Spec("rule", "selector", build, "A rule.", options=Options, reads_scores=True)
MIXED = Spec("mixed", "selector", build, "Two.", options=Options, scorers=lambda options: list(options.names))


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("majority", MethodName("majority")),
        (" majority ", MethodName("majority")),
        ("first()", MethodName("first")),
        ("bottom(window=16)", MethodName("bottom", {"window": "16"})),
        ("bottom( window = 16 , share=.2 )", MethodName("bottom", {"window": "16", "share": ".2"})),
        ("vote:bottom(window=16)", MethodName("vote", {}, MethodName("bottom", {"window": "16"}))),
        (
            "borda(power=2):my.module:Scorer(x=1)",
            MethodName("borda", {"power": "2"}, MethodName("my.module", {}, MethodName("Scorer", {"x": "1"}))),
        ),
        ("combined(file=my run/a:b.json)", MethodName("combined", {"file": "my run/a:b.json"})),
        ("combined(file='a, b (1).json')", MethodName("combined", {"file": "a, b (1).json"})),
        ("""combined(file="it's.json")""", MethodName("combined", {"file": "it's.json"})),
        ("a(b=None, c=[1, 'x, y'], d='None')", MethodName("a", {"b": None, "c": ["1", "x, y"], "d": "None"})),
    ],
)
def test_a_method_is_read(text: str, method: MethodName) -> None:
    assert parse_method(text) == method


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not name a method"),
        ("vote:", "does not name a method"),
        (":a", "does not name a method"),
        ("a(", "does not name a method"),
        ("a)", "does not name a method"),
        ("a b", "does not name a method"),
        ("a(1)", "'1' is not OPTION=VALUE"),
        ("a(x=1, x=2)", "option 'x' is given twice"),
        ("vote:a(x)", "'x' is not OPTION=VALUE"),
    ],
)
def test_what_is_no_method_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_method(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("b(y=2,x=1)", "b(x=1, y=2)"),
        ("vote:b( y=2, x='a b' )", "vote:b(x='a b', y=2)"),
        ("b(x='plain')", "b(x=plain)"),
        ("b()", "b"),
    ],
)
def test_a_name_has_one_spelling(text: str, canonical: str) -> None:
    assert str(parse_method(text)) == canonical
    assert str(parse_method(canonical)) == canonical


VALUES = st.one_of(st.none(), st.text(st.characters(codec="ascii", exclude_characters="'"), max_size=8).map(str.strip))


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,4}", fullmatch=True), VALUES | st.lists(VALUES, max_size=3)))
def test_every_value_that_is_written_is_read_back(options: dict[str, Any]) -> None:
    method = MethodName("vote", options, MethodName("scorer", options))
    assert parse_method(str(method)) == method


def test_a_value_with_both_quotes_is_refused() -> None:
    with pytest.raises(ConfigError, match="both kinds of quotes"):
        str(MethodName("a", {"x": "'\""}))


def test_options_are_typed() -> None:
    name = parse_method("plain(size=4, share=None, is_on=yes, names=[a, b], file=x/y.json)")
    context, options, scorer = PLAIN.make("context", name)
    assert (context, scorer) == ("context", "")
    assert options == Options(size=4, share=None, is_on=True, names=("a", "b"), file=Path("x/y.json"))
    assert PLAIN.make(None, parse_method("plain"))[1] == Options()


def test_options_may_be_values_of_python() -> None:
    method = MethodName("plain", {"size": 4, "names": ["a"], "share": 0.25})
    assert PLAIN.parse_options(method) == PLAIN.parse_options(parse_method(str(method)))


def test_all_faulty_options_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        PLAIN.make(None, parse_method("plain(sise=4, colour=red)"))
    assert caught.value.faults == [
        "selector 'plain': unknown option 'sise'; it takes file, is_on, names, share, size. Did you mean 'size'?",
        "selector 'plain': unknown option 'colour'; it takes file, is_on, names, share, size.",
    ]
    with pytest.raises(ConfigError) as caught:
        PLAIN.make(None, parse_method("plain(size=0, share=much)"))
    assert [fault.split(": ")[1] for fault in caught.value.faults] == ["size", "share"]


def test_a_rule_names_its_scorer() -> None:
    assert RULE.make(None, parse_method("rule(size=1):s(y=2,x=1)"))[2] == "s(x=1, y=2)"
    assert RULE.list_scorers(parse_method("rule:s(y=2,x=1)")) == ["s(x=1, y=2)"]
    for ask in (RULE.list_scorers, lambda name: RULE.make(None, name)):
        with pytest.raises(ConfigError, match="reads scores: write rule:SCORER"):
            ask(parse_method("rule"))
    for ask in (PLAIN.list_scorers, lambda name: PLAIN.make(None, name)):
        with pytest.raises(ConfigError, match="reads no scores; leave out 's'"):
            ask(parse_method("plain:s"))


def test_scorers_may_follow_from_the_options() -> None:
    assert MIXED.list_scorers(parse_method("mixed(names=[a, b])")) == ["a", "b"]


def test_the_closest_name_is_suggested() -> None:
    assert did_you_mean("majorty", ["first", "majority"]) == " Did you mean 'majority'?"
    assert did_you_mean("xyz", ["first", "majority"]) == ""
