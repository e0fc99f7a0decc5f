"""The table of published problem sets, `benchmarks.toml`, and benchmarks that users define in a TOML file.

This module knows which fields an entry has. It does not read problems, access the hub or know how a benchmark is used.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from nbest.answers.rules import ALLOWED, DEFAULT, parse_rule
from nbest.errors import ConfigError, UnavailableError
from nbest.records import KINDS, Kind
from nbest.specs import did_you_mean
from nbest.text.json_lines import describe

TABLE = Path(__file__).with_name("benchmarks.toml")
QUESTION, STARTER, TESTS = "{question}", "{starter}", "{tests}"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One entry of the table.

    Columns: `question`, `answer` and `id` are column names in order of preference; every column of `tests` is read.
    `columns` limits which columns are read at all (empty = all). `since` and `until` are the first and the last day
    allowed in the column `released` (None = no limit); `id_range` holds the first and the last number allowed in the
    id column.

    Code: `public_tests` are the columns of tests that the problem statement shows, `reference` that of the reference
    solution. Rows with a column `inputs` are graded by the results of the reference solution on it and on
    `plus_inputs`, the others by `tests`.

    Prompts: `template` is the text of the template, `template_starter` that for rows whose column `starter` is not
    empty, `template_tests` that for rows with public tests.

    Content: `hub` is the id of the dataset (empty = unknown), `problems` the number of problems (0 = any), `hash` the
    content hash that the problems must have (empty = any). With `distinct`, rows that repeat a question are skipped.
    With `untested`, the source has neither answers nor tests, so that verdicts can only be imported.

    Answers: `kind` and `answer_rule` say how they are read (see `nbest.answers.rules`); a column `answer_rule` of the
    rows goes before the latter.

    Documentation: `rule` says in one line how an answer is graded; `unconfirmed` names the fields that no source
    confirms.
    """

    name: str
    title: str
    question: tuple[str, ...]
    answer: tuple[str, ...]
    id: tuple[str, ...] = ()
    answer_after: str = ""
    kind: Kind = "math"
    answer_rule: str = DEFAULT
    template: str = QUESTION
    hub: str = ""
    config: str = ""
    split: str = ""
    files: tuple[str, ...] = ()
    problems: int = 0
    rule: str = ""
    tests: tuple[str, ...] = ()
    public_tests: tuple[str, ...] = ()
    reference: str = ""
    inputs: str = ""
    plus_inputs: str = ""
    starter: str = ""
    template_starter: str = ""
    template_tests: str = ""
    released: str = ""
    since: date | None = None
    until: date | None = None
    id_range: tuple[int, int] | None = None
    licence: str = ""
    source: str = ""
    hash: str = ""
    columns: tuple[str, ...] = ()
    distinct: bool = False
    untested: bool = False
    unconfirmed: tuple[str, ...] = ()
    file: Path | None = None
    is_own: bool = False


def list_benchmarks() -> list[Benchmark]:
    """Return the benchmarks of the table, in its order."""
    entries = cast("dict[str, dict[str, Any]]", _read_toml(TABLE)["benchmark"])
    return [_read_entry(name, entry, str(TABLE)) for name, entry in entries.items()]


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark of this name, or the one that a TOML file defines if `name` is the path of a .toml file.

    Raises ConfigError, with all faults of the file at once.
    """
    if name.endswith(".toml"):
        return _read_own(Path(name))
    benchmarks = {benchmark.name: benchmark for benchmark in list_benchmarks()}
    if name not in benchmarks:
        raise ConfigError(
            f"benchmark: got {name!r}; allowed: {', '.join(benchmarks)}, or the path of a .toml file."
            f"{did_you_mean(name, benchmarks)}"
        )
    return benchmarks[name]


@cache
def templates() -> Mapping[str, str]:
    """Return the preset templates by name."""
    return {name: str(text) for name, text in _read_toml(TABLE)["templates"].items()}


def find_template(text: str, field: str) -> str:
    """Return the preset of this name, or `text` itself.

    Raises ConfigError if it does not contain `{question}` exactly once.
    """
    template = templates().get(text, text)
    if template.count(QUESTION) != 1:
        presets = ", ".join(templates())
        raise ConfigError(f"{field}: got {text!r}; allowed: {presets}, or a text with {QUESTION} once")
    return template


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a TOML file ({error})") from error


def _read_own(path: Path) -> Benchmark:
    """Read a benchmark from a user's TOML file.

    It needs `question`, `answer`, and either `file` (relative to the TOML file) or `hub` and `split`; every other field
    of the table is allowed.
    """
    entry = _read_toml(path)
    if isinstance(entry.get("file"), str):
        entry["file"] = path.parent / str(entry["file"])
    elif "file" in entry or not (entry.get("hub") and entry.get("split")):
        actual = describe(entry.get("file"))
        raise ConfigError(f"{path}: file: got {actual}; allowed: the path of a table of problems, or hub and split")
    return _read_entry(path.stem, entry, str(path), is_own=True)


_COLUMNS = ("question", "answer", "id", "tests", "public_tests", "files", "columns", "unconfirmed")
_TEXTS = (
    *("title", "hub", "config", "split", "licence", "source", "answer_after", "rule"),
    *("starter", "released", "hash", "template", "template_starter", "template_tests"),
    *("reference", "inputs", "plus_inputs"),
)
_DAYS = ("since", "until")
_SWITCHES = ("distinct", "untested")
_ALLOWED = {*_COLUMNS, *_TEXTS, *_DAYS, *_SWITCHES, "kind", "answer_rule", "problems", "file", "id_range"}


def _read_entry(name: str, entry: dict[str, Any], source: str, is_own: bool = False) -> Benchmark:
    faults = _find_type_faults(entry, source)
    columns = {key: _read_names(entry.get(key)) for key in _COLUMNS}
    required = ("question",) if columns["tests"] or entry.get("untested") is True else ("question", "answer")
    faults += [
        f"{source}: {key}: got {describe(entry.get(key))}; allowed: a column name or a list of them"
        for key in required
        if not columns[key]
    ]
    texts: dict[str, str] = {}
    for key in ("template", "template_starter", "template_tests"):
        if key in entry and isinstance(entry[key], str):
            try:
                texts[key] = find_template(entry[key], f"{source}: {key}")
            except ConfigError as error:
                faults += error.faults
    faults += _find_rule_faults(entry, source)
    faults += _find_pairing_faults(entry, source)
    if faults:
        raise ConfigError(faults)
    ranges = {"id_range": tuple(entry["id_range"])} if "id_range" in entry else {}
    fields: dict[str, Any] = {"title": name} | entry | columns | texts | ranges
    return Benchmark(name=name, is_own=is_own, **fields)


def _find_type_faults(entry: dict[str, Any], source: str) -> list[str]:
    faults: list[str] = []
    for key, value in entry.items():
        if key not in _ALLOWED:
            faults.append(f"{source}: {key}: unknown field; allowed: {', '.join(sorted(_ALLOWED))}")
        elif key in _TEXTS and not isinstance(value, str):
            faults.append(f"{source}: {key}: got {describe(value)}; allowed: a string")
        elif key == "problems" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            faults.append(f"{source}: problems: got {describe(value)}; allowed: a whole number, 0 for any")
        elif key == "kind" and value not in KINDS:
            faults.append(f"{source}: kind: got {describe(value)}; allowed: {', '.join(KINDS)}")
        elif key == "id_range" and not _is_range(value):
            faults.append(f"{source}: id_range: got {describe(value)}; allowed: two whole numbers, such as [11, 510]")
        elif key in _SWITCHES and not isinstance(value, bool):
            faults.append(f"{source}: {key}: got {describe(value)}; allowed: true or false")
        elif key in _DAYS and (not isinstance(value, date) or isinstance(value, datetime)):
            faults.append(f"{source}: {key}: got {describe(value)}; allowed: a day such as 2024-08-01, without quotes")
    return faults


def _is_range(value: Any) -> bool:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return len(items) == 2 and all(isinstance(item, int) and not isinstance(item, bool) for item in items)


def _find_rule_faults(entry: dict[str, Any], source: str) -> list[str]:
    rule: Any = entry.get("answer_rule", DEFAULT)
    if not isinstance(rule, str):
        return [f"{source}: answer_rule: got {describe(rule)}; allowed: {ALLOWED}"]
    try:
        parse_rule(rule)
    except (ConfigError, UnavailableError) as error:
        return [f"{source}: answer_rule: {error}"]
    return []


def _find_pairing_faults(entry: dict[str, Any], source: str) -> list[str]:
    """Return the faults of fields that need another.

    `since` and `until` need `released`, `starter` its template, `id_range` an id, `inputs` a reference solution, and
    `template_tests` public tests.
    """
    faults: list[str] = []
    if any(day in entry for day in _DAYS) and not entry.get("released"):
        faults.append(f"{source}: released: got nothing; allowed: the column of dates that since and until limit")
    if bool(entry.get("starter")) != bool(entry.get("template_starter")):
        faults.append(f"{source}: starter, template_starter: got only one of them; allowed: both or neither")
    needed = {"id_range": "id", "inputs": "reference", "plus_inputs": "inputs", "template_tests": "public_tests"}
    faults += [
        f"{source}: {other}: got nothing; allowed: a column, which {field} needs"
        for field, other in needed.items()
        if field in entry and not entry.get(other)
    ]
    return faults


def _read_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(name) for name in cast("list[Any]", value)) if isinstance(value, list) else ()
