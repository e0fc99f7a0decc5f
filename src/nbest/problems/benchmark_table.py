"""The table of published problem sets, `benchmarks.toml`, and a user's own entry in a TOML file.

This module knows which fields an entry has. It reads no problems, asks no hub, and does not know what is done with a
benchmark.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from nbest.errors import ConfigError
from nbest.records import KINDS, Kind
from nbest.text.json_lines import describe

TABLE = Path(__file__).with_name("benchmarks.toml")
QUESTION, STARTER, TESTS = "{question}", "{starter}", "{tests}"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One entry of the table. `question`, `answer` and `id` are column names in order of preference, `tests` columns
    that are all kept; `template` (and `template_starter`, where the column `starter` is not empty) is the text itself.
    `hub` empty = no hub id is known; `problems` 0 = any number. `since` and `until` are the first and last day of the
    column `released` (None = open). `hash` is the content hash that a set must have (empty = any), `rule` how an answer
    is judged, in a line. `columns` are the only ones read (empty = all); `distinct`: a question that comes again is the
    same problem, its first row counts; `untested`: the source has neither answers nor tests, verdicts can only be
    imported. `unconfirmed` names the fields that no source could confirm."""

    name: str
    title: str
    question: tuple[str, ...]
    answer: tuple[str, ...]
    id: tuple[str, ...] = ()
    answer_after: str = ""
    kind: Kind = "math"
    template: str = QUESTION
    hub: str = ""
    config: str = ""
    split: str = ""
    files: tuple[str, ...] = ()
    problems: int = 0
    rule: str = ""
    tests: tuple[str, ...] = ()
    starter: str = ""
    template_starter: str = ""
    released: str = ""
    since: date | None = None
    until: date | None = None
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
    """The benchmarks of the table, in its order."""
    entries = cast("dict[str, dict[str, Any]]", _read_toml(TABLE)["benchmark"])
    return [_read_entry(name, entry, str(TABLE)) for name, entry in entries.items()]


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of this name, or the user's own where `name` is the path of a TOML file.

    Raises ConfigError, with all faults of a user's file at once.
    """
    if name.endswith(".toml"):
        return _read_own(Path(name))
    known = {benchmark.name: benchmark for benchmark in list_benchmarks()}
    if name not in known:
        raise ConfigError(f"benchmark: {name!r} came; allowed: {', '.join(known)}, or the path of a .toml file")
    return known[name]


@cache
def templates() -> Mapping[str, str]:
    """The preset templates by name."""
    return {name: str(text) for name, text in _read_toml(TABLE)["templates"].items()}


def find_template(text: str, field: str) -> str:
    """The preset of this name, or `text` itself. Raises ConfigError where it does not hold `{question}` once."""
    found = templates().get(text, text)
    if found.count(QUESTION) != 1:
        presets = ", ".join(templates())
        raise ConfigError(f"{field}: {text!r} came; allowed: {presets}, or a text with {QUESTION} once")
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error


def _read_own(path: Path) -> Benchmark:
    """A user's benchmark: `file` (relative to the TOML file) or `hub` and `split`, `question`, `answer`, and any other
    field of the table."""
    entry = _read_toml(path)
    if isinstance(entry.get("file"), str):
        entry["file"] = path.parent / str(entry["file"])
    elif "file" in entry or not (entry.get("hub") and entry.get("split")):
        came = describe(entry.get("file"))
        raise ConfigError(f"{path}: file: {came} came; allowed: the path of a table of problems, or hub and split")
    return _read_entry(path.stem, entry, str(path), is_own=True)


_COLUMNS = ("question", "answer", "id", "tests", "files", "columns", "unconfirmed")
_TEXTS = (
    *("title", "hub", "config", "split", "licence", "source", "answer_after", "rule"),
    *("starter", "released", "hash", "template", "template_starter"),
)
_DAYS = ("since", "until")
_SWITCHES = ("distinct", "untested")
_ALLOWED = {*_COLUMNS, *_TEXTS, *_DAYS, *_SWITCHES, "kind", "problems", "file"}


def _read_entry(name: str, entry: dict[str, Any], place: str, is_own: bool = False) -> Benchmark:
    faults = _find_type_faults(entry, place)
    columns = {key: _read_names(entry.get(key)) for key in _COLUMNS}
    needed = ("question",) if columns["tests"] or entry.get("untested") is True else ("question", "answer")
    faults += [
        f"{place}: {key}: {describe(entry.get(key))} came; allowed: a column name or a list of them"
        for key in needed
        if not columns[key]
    ]
    texts: dict[str, str] = {}
    for key in ("template", "template_starter"):
        if key in entry and isinstance(entry[key], str):
            try:
                texts[key] = find_template(entry[key], f"{place}: {key}")
            except ConfigError as error:
                faults += error.faults
    faults += _find_window_faults(entry, place)
    if faults:
        raise ConfigError(faults)
    fields: dict[str, Any] = {"title": name} | entry | columns | texts
    return Benchmark(name=name, is_own=is_own, **fields)


def _find_type_faults(entry: dict[str, Any], place: str) -> list[str]:
    faults: list[str] = []
    for key, value in entry.items():
        if key not in _ALLOWED:
            faults.append(f"{place}: {key}: unknown; allowed: {', '.join(sorted(_ALLOWED))}")
        elif key in _TEXTS and not isinstance(value, str):
            faults.append(f"{place}: {key}: {describe(value)} came; allowed: a string")
        elif key == "problems" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            faults.append(f"{place}: problems: {describe(value)} came; allowed: a whole number, 0 for any")
        elif key == "kind" and value not in KINDS:
            faults.append(f"{place}: kind: {describe(value)} came; allowed: {', '.join(KINDS)}")
        elif key in _SWITCHES and not isinstance(value, bool):
            faults.append(f"{place}: {key}: {describe(value)} came; allowed: true or false")
        elif key in _DAYS and (not isinstance(value, date) or isinstance(value, datetime)):
            faults.append(f"{place}: {key}: {describe(value)} came; allowed: a day such as 2024-08-01, without quotes")
    return faults


def _find_window_faults(entry: dict[str, Any], place: str) -> list[str]:
    """What is missing beside a window or beside starter code."""
    faults: list[str] = []
    if any(day in entry for day in _DAYS) and not entry.get("released"):
        faults.append(f"{place}: released: nothing came beside since or until; allowed: the column they are about")
    if bool(entry.get("starter")) != bool(entry.get("template_starter")):
        faults.append(f"{place}: starter and template_starter belong together; one of them came")
    return faults


def _read_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(name) for name in cast("list[Any]", value)) if isinstance(value, list) else ()
