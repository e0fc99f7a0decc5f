"""Published problem sets: the table `benchmarks.toml`, and loading one from a local copy or from the hub.

The prompt of a problem is the question put into a template (the placeholder `{question}` is replaced, nothing else is
interpreted, so `\\boxed{}` stands as it is); `meta["question"]` keeps the bare question. A user's own set is a TOML
file of a few lines, see `docs/formats.md`. This module does not sample and does not verify.
"""

import hashlib
import importlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from bestofn.errors import ConfigError, DataError, EngineError, MissingExtraError
from bestofn.problems.intake import KINDS
from bestofn.problems.lines import Fault, Fields, Line, LineOrFault, describe
from bestofn.problems.rows import read_rows
from bestofn.records import Kind, Problem

TABLE = Path(__file__).with_name("benchmarks.toml")
PLACEHOLDER = "{question}"
SHOWN_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One entry of the table. `question`, `answer` and `id` are column names in order of preference; `template` is the
    text itself. `hub` empty = no hub id is known; `problems` 0 = any number. `unconfirmed` names the fields that no
    source could confirm."""

    name: str
    title: str
    question: tuple[str, ...]
    answer: tuple[str, ...]
    id: tuple[str, ...] = ()
    answer_after: str = ""
    kind: Kind = "math"
    template: str = PLACEHOLDER
    hub: str = ""
    config: str = ""
    split: str = ""
    problems: int = 0
    licence: str = ""
    source: str = ""
    unconfirmed: tuple[str, ...] = ()
    file: Path | None = None


def list_benchmarks() -> list[Benchmark]:
    """The benchmarks of the table, in its order."""
    table = _read_toml(TABLE)
    entries = cast("dict[str, dict[str, Any]]", table["benchmark"])
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


def load_benchmark(
    name: str, file: Path | None = None, revision: str | None = None, template: str | None = None
) -> list[Problem]:
    """The problems of a benchmark, in the order of the source; ids are `<name>/<id>` (0-based position without one).

    `file` is a local copy in the upstream schema (JSONL, gzip too, CSV, Parquet); without one the hub is asked, at
    `revision` (None = its newest). `template` overrides the benchmark's: the name of a preset, or a text with
    `{question}`. Raises ConfigError (unknown name, faulty TOML), DataError (a faulty row, another number of problems
    than published), MissingExtraError (no `datasets`), EngineError (the hub cannot be reached).
    """
    benchmark = find_benchmark(name)
    text = benchmark.template if template is None else _find_template(template, "template")
    source = file or benchmark.file
    rows = _read_hub(benchmark, revision) if source is None else read_rows(source)
    problems = list(_read_problems(rows, benchmark, text))
    if benchmark.problems and len(problems) != benchmark.problems:
        raise DataError(
            f"{source or benchmark.hub}: {len(problems)} problems came; {benchmark.name} has {benchmark.problems}. "
            "Give a whole copy, or describe a part of it as a benchmark of your own in a .toml file."
        )
    return problems


def content_hash(problems: Iterable[Problem]) -> str:
    """32 hex digits over id, prompt and target of each problem, in order: the same list, the same hash."""
    digest = hashlib.blake2b(digest_size=16)
    for problem in problems:
        line = json.dumps([problem.id, problem.prompt, problem.target], ensure_ascii=True)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def apply_template(template: str, question: str) -> str:
    """The template with `{question}` replaced. Braces elsewhere, as in `\\boxed{}`, stay."""
    return template.replace(PLACEHOLDER, question)


@cache
def templates() -> Mapping[str, str]:
    """The preset templates by name."""
    return {name: str(text) for name, text in _read_toml(TABLE)["templates"].items()}


def _find_template(text: str, field: str) -> str:
    found = templates().get(text, text)
    if found.count(PLACEHOLDER) != 1:
        presets = ", ".join(templates())
        raise ConfigError(f"{field}: {text!r} came; allowed: {presets}, or a text with {PLACEHOLDER} once")
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error


def _read_own(path: Path) -> Benchmark:
    """A user's benchmark: file, question, answer, and optionally kind, template, id, answer_after, title, problems,
    licence. `file` is relative to the TOML file."""
    entry = _read_toml(path)
    if isinstance(entry.get("file"), str):
        entry["file"] = path.parent / str(entry["file"])
    else:
        raise ConfigError(f"{path}: file: {describe(entry.get('file'))} came; allowed: the path of a table of problems")
    return _read_entry(path.stem, entry, str(path))


_COLUMNS = ("question", "answer", "id")
_TEXTS = ("title", "hub", "config", "split", "licence", "source", "answer_after")


def _read_entry(name: str, entry: dict[str, Any], place: str) -> Benchmark:
    faults = _find_type_faults(entry, place)
    columns = {key: _read_names(entry.get(key)) for key in (*_COLUMNS, "unconfirmed")}
    faults += [
        f"{place}: {key}: {describe(entry.get(key))} came; allowed: a column name or a list of them"
        for key in ("question", "answer")
        if not columns[key]
    ]
    text = PLACEHOLDER
    try:
        text = _find_template(str(entry.get("template", "plain")), f"{place}: template")
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return Benchmark(
        name=name,
        title=entry.get("title", name),
        question=columns["question"],
        answer=columns["answer"],
        id=columns["id"],
        answer_after=entry.get("answer_after", ""),
        kind=entry.get("kind", "math"),
        template=text,
        hub=entry.get("hub", ""),
        config=entry.get("config", ""),
        split=entry.get("split", ""),
        problems=entry.get("problems", 0),
        licence=entry.get("licence", ""),
        source=entry.get("source", ""),
        unconfirmed=columns["unconfirmed"],
        file=entry.get("file"),
    )


def _find_type_faults(entry: dict[str, Any], place: str) -> list[str]:
    faults: list[str] = []
    allowed = {*_COLUMNS, *_TEXTS, "kind", "template", "problems", "unconfirmed", "file"}
    for key, value in entry.items():
        if key not in allowed:
            faults.append(f"{place}: {key}: unknown; allowed: {', '.join(sorted(allowed))}")
        elif key in _TEXTS and not isinstance(value, str):
            faults.append(f"{place}: {key}: {describe(value)} came; allowed: a string")
        elif key == "problems" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            faults.append(f"{place}: problems: {describe(value)} came; allowed: a whole number, 0 for any")
        elif key == "kind" and value not in KINDS:
            faults.append(f"{place}: kind: {describe(value)} came; allowed: {', '.join(KINDS)}")
    return faults


def _read_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(name) for name in cast("list[Any]", value)) if isinstance(value, list) else ()


def _read_hub(benchmark: Benchmark, revision: str | None) -> Iterator[LineOrFault]:
    if not benchmark.hub:
        raise ConfigError(f"{benchmark.name}: no hub id is known. Give a local copy with --file.")
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError as error:
        raise MissingExtraError("datasets", "train") from error
    try:
        rows = datasets.load_dataset(benchmark.hub, benchmark.config or None, split=benchmark.split, revision=revision)
    except Exception as error:
        # The hub client raises whatever its HTTP library does; the message names it.
        raise EngineError(
            f"{benchmark.hub}: cannot be loaded ({type(error).__name__}: {error}). Without a network give a local copy "
            "with --file."
        ) from error
    return (Line(benchmark.hub, number, dict(row)) for number, row in enumerate(rows, start=1))


def _read_problems(rows: Iterator[LineOrFault], benchmark: Benchmark, template: str) -> Iterator[Problem]:
    """Raises DataError with every fault (the first 20 in full) once all rows are read."""
    faults: list[Fault] = []
    seen: set[str] = set()
    position = 0
    for row in rows:
        if isinstance(row, Fault):
            faults.append(row)
            continue
        fields = Fields(row)
        problem = _read_problem(fields, benchmark, template, position)
        if problem.id in seen:
            fields.add_fault("id", f"{problem.id!r} a second time", "each id once")
        seen.add(problem.id)
        faults += fields.faults
        position += 1
        if not faults:
            yield problem
    if faults:
        shown = [str(fault) for fault in faults[:SHOWN_FAULTS]]
        more = len(faults) - len(shown)
        raise DataError("\n".join([*shown, f"... and {more} more"] if more else shown))


def _read_problem(fields: Fields, benchmark: Benchmark, template: str, position: int) -> Problem:
    question = _take_first(fields, benchmark.question, fields.take_text) or ""
    stated = _take_first(fields, benchmark.answer, fields.take_term)
    target = stated
    if stated is not None and benchmark.answer_after and benchmark.answer_after in stated:
        target = stated.rpartition(benchmark.answer_after)[2].strip()
    id = next((fields.take_term(name) for name in benchmark.id if fields.has(name)), None)
    meta = fields.rest() | {"benchmark": benchmark.name, "question": question}
    if target != stated:
        meta["stated_answer"] = stated
    id = f"{benchmark.name}/{position if id is None else id}"
    return Problem(id, apply_template(template, question), target, benchmark.kind, (), meta)


def _take_first(fields: Fields, names: Sequence[str], take: Callable[[str, bool], str | None]) -> str | None:
    """The first of these columns that the row has; none of them is a fault."""
    for name in names:
        if fields.has(name):
            return take(name, True)
    fields.add_fault(" or ".join(names), f"columns {', '.join(fields.values)}", "a column of this name")
    return None
