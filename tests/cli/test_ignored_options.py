"""An option that would do nothing is an error: parametrised over the commands that have such options."""

from collections.abc import Callable
from pathlib import Path

import pytest

TOML = '[problems]\nsource = "aime_2024"\nsteps = [3, 6]\n'


@pytest.fixture
def run(nbest: Callable, script: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    assert nbest("sample", path, "-c", script).code == 0
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sample NEW --count 3 --file /no/such.jsonl", "file = '/no/such.jsonl' belongs to a benchmark"),
        ("sample NEW --problems aime_2024 --split train", "split = 'train' belongs to the source 'arithmetic'"),
        ("sample NEW --problems aime_2024 --file /no/such.jsonl", "/no/such.jsonl"),
        ("sample NEW -c TOML", "steps = '(3, 6)' belongs to the source 'arithmetic'"),
        ("sample NEW -c SCRIPT --policy bundled:arithmetic", "type 'scripted', which has no model to replace"),
        ("score RUN -s mean-logprob --scorer-model no/such", "--scorer-model is not used by mean-logprob"),
        ("score RUN -s mean-logprob --family nonsense", "--family is not used by mean-logprob"),
        ("score RUN -s trajselector --family nonsense", "--family is not used by trajselector"),
        ("score RUN -s mine --scorer-model no/such --family x", "--family is not used by mine"),
        ("score RUN -s mean-logprob --judge bundled:genselect", "--judge is not used by mean-logprob"),
        ("score RUN -s genselect --scorer-model no/such", "--scorer-model is not used by genselect"),
        ("score RUN -s mean-logprob -s min-logprob --as x", "--as belong to one scorer; 2 were named"),
        ("score RUN -s deepconf-bottom(wide=3)", "unknown option 'wide'; it takes"),
        ("score RUN -s mean-logprob(window=3)", "it takes no options"),
        ("select RUN -s majority --combined /no/such.json", "no selector named uses it"),
        ("select RUN -s majority --judge bundled:genselect", "--judge is not used by majority"),
        ("select RUN -s majority --seed 3", "--seed is not used by majority"),
        ("select RUN -s majority -s first --as x", "--as belongs to one selector; 2 were named"),
        ("select RUN -s majority(depth=2)", "it takes no options"),
        ("export RUN --out x.csv --format csv --tokens", "--tokens does nothing for the format 'csv'"),
    ],
)
def test_an_option_that_does_nothing_is_refused(
    nbest: Callable, run: Path, script: Path, tmp_path: Path, words: str, message: str
) -> None:
    toml = tmp_path / "aime.toml"
    toml.write_text(TOML)
    paths = {"RUN": run, "NEW": tmp_path / "new", "SCRIPT": script, "TOML": toml}
    result = nbest(*(paths.get(word, word) for word in words.split(" ")))
    assert result.code in (2, 3), result.out
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "words",
    [
        "select RUN -s random --seed 3",
        "select RUN -s majority --n 2",
        "score RUN -s reply-length --as other",
    ],
)
def test_an_option_that_is_used_is_taken(nbest: Callable, run: Path, words: str) -> None:
    result = nbest(*(run if word == "RUN" else word for word in words.split(" ")))
    assert result.code in (0, 2, 5)
    assert "is not used by" not in result.err
