"""The main job on the bundled model: sample, verify, score, train a scorer, judge, select, compare, report.

`demonstrate` is `nbest demo` without a terminal: it reports progress and messages to callbacks, and returns the
comparison with the paths of the files. If it is run again on the same folder, it draws no trajectory twice.
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbest.config import GenerativeConfig, SampleConfig, parse_config
from nbest.measuring.comparison import Comparison
from nbest.measuring.question import STORED_PREFIX, Question
from nbest.plurals import show_count
from nbest.run_settings import load_sample_config
from nbest.stages import OnProgress, SampleReport, StageProgress, VerifyReport, sample, score, select, verify
from nbest.stages.flow import ignore_progress, report_activity
from nbest.storage.run import Run
from nbest.verifying.equivalence import Equivalence

TITLE = "nbest: the bundled policy on its test problems"
SCORERS = ("mean-logprob", "trajselector", "trajselector-fused")
TRAINED = "trained-here"
"""The name of the scorer that the demonstration trains."""
JUDGE, JUDGED_SIZES = "genselect-vote", (8, 16)
"""The generative selector, and how many candidates it reads: the first 8 and the first 16 of every pool."""
SELECTORS = ("majority", "vote:trajselector-fused")
"""The selectors whose selections are stored, for `nbest show`."""


@dataclass(frozen=True, slots=True)
class DemonstrationConfig:
    """How large the demonstration is: `problems` with `n` trajectories each, `training_problems` for the scorer that is
    trained (0: none is), and whether the bundled model judges candidates."""

    problems: int = 200
    n: int = 32
    training_problems: int = 400
    has_judge: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The result of a demonstration: the comparison, and the files written.

    `page` is the report of the run, as `nbest report` writes it, and `chart` the picture of its accuracy curve.
    """

    run: Path
    comparison: Comparison
    page: Path
    chart: Path

    def to_json(self) -> dict[str, Any]:
        return self.comparison.to_json() | {"report": str(self.page), "run": str(self.run)}


Message = str | SampleReport | VerifyReport
"""A message of `demonstrate` while it works: a sentence, or the report of a stage."""


def demonstrate(
    out: str | Path,
    config: DemonstrationConfig | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
    on_message: Callable[[Message], object] = lambda _: None,
    set_threads: Callable[[int], object] = lambda _: None,
) -> Demonstration:
    """Run the whole flow in the folder `out` with the bundled models. Takes minutes on a CPU and downloads nothing.

    `set_threads` is called before the training with the number of threads that suits it, such as
    `torch.set_num_threads`: a library does not change the threads of its process by itself.
    """
    callbacks = _Callbacks(on_progress, on_message, set_threads)
    return _Demonstration(Path(out), config or DemonstrationConfig(), callbacks).finish()


@dataclass(frozen=True, slots=True)
class _Callbacks:
    on_progress: OnProgress
    on_message: Callable[[Message], object]
    set_threads: Callable[[int], object]


class _Demonstration:
    def __init__(self, out: Path, config: DemonstrationConfig, callbacks: _Callbacks):
        self.out = out
        self.config = config
        self.on_progress = callbacks.on_progress
        self.on_message = callbacks.on_message
        self.set_threads = callbacks.set_threads

    def finish(self) -> Demonstration:
        config = self.config
        settings = self._make_sample_config("test", config.problems, config.n)
        self.on_message(
            f"A frozen policy ({settings.policy.model}) answers {show_count(config.problems, 'problem')} "
            f"{show_count(config.n, 'time')}, states captured:"
        )
        self._sample(self.out, settings)
        models: dict[str, str | None] = dict.fromkeys(SCORERS)
        if config.training_problems:
            models[TRAINED] = self._train_scorer()
        self.on_message("Scorers rate every trajectory without seeing its verdict:")
        for name, model in models.items():
            score(self.out, [name], scorer_model=model, on_progress=self.on_progress)
        judged = self._judge() if config.has_judge else []
        select(self.out, SELECTORS, on_progress=self.on_progress)
        scored = [f"{rule}:{name}" for name in models for rule in _choose_rules(name)]
        return self._report(["random", "majority", *scored, *judged, "oracle"])

    def _make_sample_config(self, split: str, count: int, n: int) -> SampleConfig:
        preset = load_sample_config("arithmetic")
        problems = preset.problems.model_copy(update={"count": count, "split": split})
        return preset.model_copy(update={"n": n, "seed": self.config.seed, "problems": problems})

    def _sample(self, folder: Path, settings: SampleConfig) -> None:
        self.on_message(sample(folder, settings, on_progress=self.on_progress))
        self.on_message(verify(folder, on_progress=self.on_progress))

    def _train_scorer(self) -> str:
        """Sample problems of the training split, train a small scorer on them, and return the folder of the model."""
        from nbest.training.callbacks import Progress
        from nbest.training.scorer import train_scorer
        from nbest.training.settings import ScorerTrainingConfig

        count, training_run = self.config.training_problems, self.out / "training"
        self.on_message(
            f"\nA small scorer learns from {show_count(count, 'other problem')}, 8 trajectories each, "
            "by outcome labels alone:"
        )
        self._sample(training_run, self._make_sample_config("train", count, 8))
        values = {
            **TRAINING,
            "out": str(self.out / "scorer"),
            "seed": self.config.seed,
            "data": {"runs": [str(training_run)], "validation_share": 0.1},
        }
        progress = Progress(lambda updates, total: self.on_progress(StageProgress("train", updates, total)))
        settings = parse_config(ScorerTrainingConfig, values, "demo")
        self.set_threads(settings.threads)
        trained = train_scorer(settings, [progress])
        share = 100 * trained.metrics["eval_within_pool_auc"]
        self.on_message(f"it ranks right above wrong in {share:.0f} % of held-out pairs")
        return str(trained.folder)

    def _judge(self) -> list[str]:
        """Let the bundled generative selector read the first candidates of every pool that it has not read yet; return
        what a comparison calls its selections."""
        run, n = Run.open(self.out), self.config.n
        total = sum(1 for _ in run.problems())
        sizes = {f"{JUDGE}@{size}": size for size in JUDGED_SIZES if size <= n} or {f"{JUDGE}@{n}": n}
        if any(len(run.done_selections(name)) < total for name in sizes):
            self._ask_judge(run, sizes)
        return [STORED_PREFIX + name for name in sizes]

    def _ask_judge(self, run: Run, sizes: Mapping[str, int]) -> None:
        from nbest.stages.flow import run_to_end

        counts = run_to_end(self._select_by_judge(run, sizes))
        tokens = (counts["prompt_tokens"] + counts["sampled_tokens"]) / max(counts["selections"], 1)
        failed = sum(counts["failed"].values())
        self.on_message(
            f"{show_count(counts['calls'], 'call')}, {tokens:,.0f} tokens per selection; "
            f"{show_count(failed, 'judgement')} failed, {show_count(counts['abstained'], 'selection')} abstained"
        )

    async def _select_by_judge(self, run: Run, sizes: Mapping[str, int]) -> Mapping[str, Any]:
        """Select under every name of `sizes` with one judge; return its account of all of them."""
        from nbest.registry import load_selector
        from nbest.selecting.limited import LimitedSelector
        from nbest.stages.context import create_context
        from nbest.stages.judges import JudgeLoader
        from nbest.stages.origins import describe_selector
        from nbest.stages.selecting import select_under

        async with AsyncExitStack() as stack:
            load_judge = await stack.enter_async_context(JudgeLoader(GenerativeConfig(seed=self.config.seed)))
            settings = load_judge().config
            self.on_message(
                f"A model ({settings.policy.model}) reads the candidates in "
                f"{show_count(settings.repeats, 'shuffled order')}; the answer that it names most often wins:"
            )
            context = create_context(run, stack.enter_context(Equivalence()), judge=load_judge)
            selector = await stack.enter_async_context(load_selector(JUDGE, context))
            for name, size in sizes.items():
                origin = describe_selector(JUDGE, n=size, judge=load_judge())
                await select_under(run, LimitedSelector(selector, JUDGE, size), name, self.on_progress, origin=origin)
            return selector.report().judgements or {}

    def _report(self, selectors: list[str]) -> Demonstration:
        from nbest.report.building import build_report
        from nbest.report.writing import write_report

        question = Question(selectors, seed=self.config.seed)
        with Equivalence() as equivalence:
            report = build_report([Run.open(self.out)], question, equivalence, TITLE, on_progress=self.on_progress)
        report_activity("draw the charts", self.on_progress)
        paths = write_report(report, self.out / "report")
        return Demonstration(self.out, report.overall, paths["html"], paths["accuracy"])


TRAINING: Mapping[str, Any] = {
    "model": {
        "layers": [2, 3, 4, 5],
        "logprobs": True,
        "aggregation": "last",
        "body": "bundled:arithmetic",
        "body_layers": 2,
    },
    "loss": {"name": "guarded-half"},
    "epochs": 10,
    "batch_trajectories": 32,
    "accumulation": 1,
    "learning_rate": 1e-3,
    "evaluations": 5,
}
"""How the small scorer is trained."""


def _choose_rules(scorer: str) -> tuple[str, ...]:
    """Return the rules by which a scorer selects; a log-probability is negative and cannot weigh a vote."""
    return ("score",) if scorer == "mean-logprob" else ("score", "vote")
