"""Options as they were spelled before: rewritten with a note, never in the help."""

import pytest

from nbest.cli.former_options import FORMER_OPTIONS, renew_options, split_list
from nbest.errors import ConfigError


@pytest.mark.parametrize(
    ("former", "today"),
    [
        ("sample R --model m --n 4", "sample R --policy m --n 4"),
        ("encode R --model=m", "encode R --policy m"),
        ("select R -s genselect --model m", "select R -s genselect --judge m"),
        ("select R -s genselect --config j.toml", "select R -s genselect --judge-config j.toml"),
        ("score R -s mine --model m", "score R -s mine --scorer-model m"),
        ("score R -s genselect --model m -c j.toml", "score R -s genselect --judge m --judge-config j.toml"),
        ("score R --scorer=genselect --model m", "score R --scorer=genselect --judge m"),
        ("compare R --selectors a,b --n 1,4", "compare R -s a -s b --n 1,4"),
        ("report R --selectors=a", "report R -s a"),
        ("compare R --combined c.json", "compare R -s default -s combined(file=c.json)"),
        ("compare R --selectors a --combined c.json", "compare R -s a -s combined(file=c.json)"),
        ("compare R --combined c.json --selectors a", "compare R -s combined(file=c.json) -s a"),
        ("select R -s combined --combined c.json", "select R -s combined(file=c.json)"),
        ("select R --combined c.json -s a --selector combined", "select R -s a --selector combined(file=c.json)"),
        ("select R --combined=c.json --selector=combined", "select R --selector=combined(file=c.json)"),
        ("import pools a b --run R", "import pools R a b"),
        ("import lm-eval --run=R a --kind math", "import lm-eval R a --kind math"),
        ("demo --judge --n 4", "demo --n 4"),
    ],
)
def test_a_former_spelling_is_rewritten_with_a_note(former: str, today: str) -> None:
    words, notes = renew_options(former.split())
    assert words == today.split()
    assert notes


@pytest.mark.parametrize(
    "today",
    [
        "sample R --policy m -c arithmetic",
        "sample R --config x.toml",
        "score R -s a --scorer-model m",
        "compare R -s a -- --model",
        "export R --out x",
        "--version",
        "",
        "select R --model",  # its value is missing: the parser says so
    ],
)
def test_todays_spelling_stays(today: str) -> None:
    assert renew_options(today.split()) == (today.split(), [])


def test_a_note_names_both_spellings() -> None:
    assert renew_options(["select", "R", "--model", "m"])[1] == ["--model is now --judge"]


def test_the_file_of_a_combined_selector_that_is_not_named_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--combined /no/such\.json: no selector named uses it"):
        renew_options(["select", "R", "-s", "majority", "--combined", "/no/such.json"])


def test_a_list_is_split_outside_parentheses() -> None:
    assert split_list("a, vote:b(x=1, y=2),,c") == ["a", "vote:b(x=1, y=2)", "c"]


def test_former_options_are_not_options() -> None:
    from typer.main import get_command

    from nbest.cli.app import app

    for former in FORMER_OPTIONS:
        for name in former.commands:
            command = get_command(app)
            for word in name.split():
                command = command.commands[word]  # pyright: ignore[reportAttributeAccessIssue]
            assert former.spelling not in {spelling for parameter in command.params for spelling in parameter.opts}
