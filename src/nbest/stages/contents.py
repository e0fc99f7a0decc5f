"""Describe what a run holds, where it comes from, and which commands can follow."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from nbest.plurals import show_count
from nbest.stages.flow import open_run, path_of
from nbest.storage.origins import read_origin
from nbest.storage.run import Run

ARRAYS = ("logprobs", "confidences", "certainties")
SUGGESTED_SCORERS = 3


@dataclass(frozen=True, slots=True)
class RunContents:
    """Counts of what a run holds.

    `right`, `wrong` and `ungraded` count verdicts, `smallest_pool` and `largest_pool` trajectories per problem.
    `scorers` counts trajectories per scorer, `selectors` pools per selector. `origin` says where the run comes from, as
    its manifest says it; what the manifest does not say is absent. `holds` names the inputs of scorers that the run
    has: states, logprobs, confidences, certainties. `methods` says which method and model made what is stored as
    `scores/NAME` or `selections/NAME`; it has no entry where that was not recorded. `skipped` counts the
    trajectories that `encode` could not encode, by reason.
    """

    run: Path
    origin: Mapping[str, str]
    problems: int
    trajectories: int
    failed: int
    smallest_pool: int
    largest_pool: int
    with_states: int
    with_logprobs: int
    holds: frozenset[str]
    right: int
    wrong: int
    ungraded: int
    scorers: Mapping[str, int]
    selectors: Mapping[str, int]
    methods: Mapping[str, str] = field(default_factory=dict[str, str])
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def verdicts(self) -> int:
        return self.right + self.wrong + self.ungraded

    def list_facts(self) -> dict[str, str]:
        """Return the main facts as text, by name."""
        pools = f"{self.smallest_pool:,}"
        if self.largest_pool != self.smallest_pool:
            pools += f" to {self.largest_pool:,}"
        failed = f", {self.failed:,} failed" if self.failed else ""
        skipped = [f"{count:,} skipped ({reason})" for reason, count in self.skipped.items()]
        return {
            **self.origin,
            "problems": f"{self.problems:,}",
            "trajectories": f"{self.trajectories:,} ({pools} per problem{failed})",
            "hidden states": ", ".join([show_count(self.with_states, "trajectory"), *skipped]),
            "log-probabilities": show_count(self.with_logprobs, "trajectory"),
            "verdicts": f"{self.right:,} right, {self.wrong:,} wrong, {self.ungraded:,} ungraded",
        }

    def list_next_commands(self) -> list[str]:
        """Return the commands that can follow, the most obvious one first."""
        run = quote(str(self.run))
        if not self.trajectories:
            return [f"nbest sample {run}", f"nbest import pools {run} FILE..."]
        commands: list[str] = []
        if self.verdicts < self.trajectories:
            commands.append(f"nbest verify {run}")
        if self.with_states + sum(self.skipped.values()) < self.trajectories - self.failed:
            policy = "" if "policy" in self.origin else " --policy MODEL"
            commands.append(f"nbest encode {run}{policy}")
        scorers = self._list_missing_scorers()
        if scorers:
            commands.append(f"nbest score {run} " + " ".join(f"-s {quote(name)}" for name in scorers))
        if not self.selectors:
            scored = [f"-s {quote(f'score:{name}')}" for name in self.scorers][:1]
            commands.append(" ".join([f"nbest select {run} -s majority", *scored]))
        if self.right or self.wrong:
            commands += [f"nbest compare {run}", f"nbest report {run}"]
        return [*commands, f"nbest show {run} 0"]

    def _list_missing_scorers(self) -> list[str]:
        """Return a few scorers that need no model, can work on this run, and have not scored it."""
        from nbest.registry import specs

        needs = self.holds - {"states"}
        names = [spec.name for spec in specs("scorer") if spec.needs and spec.needs <= needs]
        return [name for name in names if self.scorers.get(name, 0) < self.trajectories][:SUGGESTED_SCORERS]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"run": str(self.run), "holds": sorted(self.holds), "next": self.list_next_commands()}


def describe_run(run: Run | str | Path) -> RunContents:
    """Count what a run holds. Raises ConfigError if there is none, DamagedRunError."""
    path, run = path_of(run), open_run(run)
    counts = ", ".join(f"count({name})" for name in ARRAYS)
    with run.connect(large=ARRAYS) as database:
        rows = database.execute(
            "SELECT count(t.id), count(*) FILTER (t.finish = 'error') FROM problems p "
            "LEFT JOIN trajectories t ON t.problem_id = p.id GROUP BY p.id"
        ).fetchall()
        arrays = dict(zip(ARRAYS, database.execute(f"SELECT {counts} FROM trajectories").fetchall()[0], strict=True))
        verdicts = dict(database.execute("SELECT correct, count(*) FROM verdicts GROUP BY correct").fetchall())
    sizes, states_ids = [int(row[0]) for row in rows], run.done_states()
    with_states = len(states_ids)
    holds = {name for name, count in (arrays | {"states": with_states}).items() if count}
    return RunContents(
        run=path,
        origin=_read_origin(run.manifest),
        problems=len(sizes),
        trajectories=sum(sizes),
        failed=sum(int(row[1]) for row in rows),
        smallest_pool=min(sizes, default=0),
        largest_pool=max(sizes, default=0),
        with_states=with_states,
        with_logprobs=int(arrays["logprobs"]),
        holds=frozenset(holds),
        right=int(verdicts.get(True, 0)),
        wrong=int(verdicts.get(False, 0)),
        ungraded=int(verdicts.get(None, 0)),
        scorers={name: len(run.done_scores(name)) for name in run.scorers()},
        selectors={name: len(run.done_selections(name)) for name in run.selectors()},
        methods=_read_methods(run),
        skipped=dict(Counter(skip.reason for skip in run.skips() if skip.trajectory_id not in states_ids)),
    )


def _read_methods(run: Run) -> dict[str, str]:
    keys = ["verdicts", *(f"scores/{name}" for name in run.scorers())]
    keys += [f"selections/{name}" for name in run.selectors()]
    origins = {key: read_origin(run.path / key) for key in keys}
    return {key: origin.summary for key, origin in origins.items() if origin is not None}


def _read_origin(manifest: Mapping[str, Any]) -> dict[str, str]:
    identity, info = manifest["identity"], manifest["info"]
    origin: dict[str, str] = {}
    if "imported" in identity:
        origin["imported from"] = ", ".join(info.get("files", [])) or str(identity["imported"])
    if policy := identity.get("policy"):
        origin["policy"] = str(policy.get("model", policy.get("type", "unknown")))
    if problems := identity.get("problems"):
        origin["source of problems"] = str(problems.get("source", "unknown"))
    if sampling := identity.get("sampling"):
        settings = {name: sampling.get(name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        origin["sampling"] = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    if "seed" in identity:
        origin["seed"] = str(identity["seed"])
    if version := info.get("nbest", info.get("bestofn")):
        origin["written by"] = f"nbest {version}"
    return origin
