"""DAPO against numbers worked by hand and an implementation of a few lines; dynamic sampling by scripted rollouts."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TrainerCallback

from nbest.errors import EngineError
from nbest.training.dapo import STREAM_FILE, DapoTrainer, make_rows, measure_logprobs
from nbest.training.genselect import build_trainer
from nbest.training.selection_rewards import JudgementText, measure_accuracy
from nbest.training.settings import DapoConfig
from nbest.training.task_files import SelectionTask
from nbest.training.task_stream import TaskStream
from tests.training.selector_runs import (
    Row,
    ScriptedRollouts,
    build_model,
    load_tokenizer,
    make_config,
    make_tasks,
    name_candidate,
    read_prompt,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

TASKS = make_tasks(20)
TOKENIZER = load_tokenizer()
END = TOKENIZER.eos_token_id
Write = Callable[[Row], tuple[str, bool]]


def half_right(row: Row) -> tuple[str, bool]:
    return name_candidate(row, row["rollout_index"] % 2 == 0), True


def make_trainer(
    tmp_path: Path, write: Write = half_right, tasks: Sequence[SelectionTask] = TASKS, **sections: Any
) -> DapoTrainer:
    trainer = build_trainer(make_config(tmp_path, **sections), build_model(), TOKENIZER, tasks)
    trainer.rollout_func.close()
    trainer.rollout_func = ScriptedRollouts(write, TOKENIZER)
    trainer.model.train()
    return trainer


def draw_batch(trainer: DapoTrainer, groups: int = 4) -> dict[str, Tensor]:
    return trainer._generate_and_score_completions([{}] * (groups * trainer.num_generations))


def read_metrics(trainer: DapoTrainer) -> dict[str, float]:
    """The metrics of the one batch drawn."""
    return {name: values[-1] for name, values in trainer._metrics["train"].items()}


def places_of(batch: dict[str, Tensor], tasks: Sequence[SelectionTask]) -> list[int]:
    """Which task each row of a batch asks for."""
    index_by_prompt = {
        tuple(read_prompt(TOKENIZER, make_rows(0, task, 1)[0]["prompt"])): index for index, task in enumerate(tasks)
    }
    rows = zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)
    return [index_by_prompt[tuple(ids[mask.bool()].tolist())] for ids, mask in rows]


# The objective, by hand

# Two rollouts, the first of three tokens with advantage 1, the second of two with advantage -2; ratios of new and old
# probabilities below, old log-probabilities 0. The batch has 4 rows and 10 tokens in 2 micro-batches of an update.
#   A =  1: min(1.5, 1.28) + min(1.25, 1.25) + min(0.5, 0.8)  = 1.28 + 1.25 + 0.5 =  3.03
#   A = -2: min(0.7 x -2, 0.8 x -2) + min(1.5 x -2, 1.28 x -2) = -1.6 - 3.0       = -4.6
RATIOS = [[1.5, 1.25, 0.5], [0.7, 1.5, 9.0]]
MASK = [[1, 1, 1], [1, 1, 0]]
ADVANTAGES = [1.0, -2.0]


def hand_loss(trainer: DapoTrainer, monkeypatch: pytest.MonkeyPatch, mask: list[list[int]] = MASK) -> float:
    new = torch.tensor(RATIOS).log()
    monkeypatch.setattr(
        trainer, "_get_per_token_logps_and_entropies", lambda *_, **__: (new, torch.full_like(new, 0.5), None)
    )
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    inputs = {
        "prompt_ids": torch.ones(2, 1, dtype=torch.long),
        "prompt_mask": torch.ones(2, 1, dtype=torch.long),
        "completion_ids": torch.ones(2, 3, dtype=torch.long),
        "completion_mask": torch.tensor(mask),
        "advantages": torch.tensor(ADVANTAGES),
        "old_per_token_logps": torch.zeros(2, 3),
        "num_items_in_batch": torch.tensor(10),
    }
    return float(trainer._compute_loss(trainer.model, inputs))


ONE_UPDATE = {"rollouts": {"prompts": 2, "group": 2}, "optimiser": {"micro_rows": 2, "updates_per_batch": 1}}


def with_dapo(**dapo: Any) -> dict[str, Any]:
    return {**ONE_UPDATE, "dapo": dapo}


def test_the_loss_is_a_mean_over_the_tokens_of_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # -(3.03 - 4.6) / 10 tokens of the whole batch = 0.157
    trainer = make_trainer(tmp_path, **with_dapo())
    assert hand_loss(trainer, monkeypatch) == pytest.approx(0.157, abs=1e-6)
    # Of the 5 tokens one is above 1.28 with A > 0 and one below 0.8 with A < 0; their entropies are 0.5.
    metrics = read_metrics(trainer)
    assert metrics["clip_ratio/high_mean"] == pytest.approx(0.2)
    assert metrics["clip_ratio/low_mean"] == pytest.approx(0.2)
    assert metrics["clip_ratio/region_mean"] == pytest.approx(0.4)
    assert metrics["entropy"] == pytest.approx(0.5)


def test_an_update_of_half_a_batch_has_half_its_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two updates from one batch of 10 tokens: each is divided by 5.
    sections = {"rollouts": ONE_UPDATE["rollouts"], "optimiser": {"micro_rows": 2, "updates_per_batch": 2}}
    trainer = make_trainer(tmp_path, **sections)
    assert hand_loss(trainer, monkeypatch) == pytest.approx(0.314, abs=1e-6)


def test_without_token_loss_each_rollout_weighs_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # (-3.03 / 3 + 4.6 / 2) / 2 rows = (-1.01 + 2.3) / 2 = 0.645, in one of 2 micro-batches: 0.3225
    trainer = make_trainer(tmp_path, **with_dapo(token_loss=False))
    assert hand_loss(trainer, monkeypatch) == pytest.approx(0.3225, abs=1e-6)


def test_without_clip_higher_both_sides_are_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The ratios 1.5 and 1.25 with A = 1 are both cut at 1.2: 1.2 + 1.2 + 0.5 = 2.9; -(2.9 - 4.6) / 10 = 0.17
    trainer = make_trainer(tmp_path, **with_dapo(clip_high=0.2))
    assert hand_loss(trainer, monkeypatch) == pytest.approx(0.17, abs=1e-6)
    assert read_metrics(trainer)["clip_ratio/high_mean"] == pytest.approx(0.4)


def test_the_lower_side_can_be_opened_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # clip_low = 0.25: the ratio 0.7 with A = -2 is cut at 0.75, not at 0.8: -1.5; -(3.03 - 4.5) / 10 = 0.147
    trainer = make_trainer(tmp_path, **with_dapo(clip_low=0.25))
    assert hand_loss(trainer, monkeypatch) == pytest.approx(0.147, abs=1e-6)


def test_a_masked_rollout_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The second row masked: -3.03 / 10 = -0.303
    trainer = make_trainer(tmp_path, **with_dapo())
    assert hand_loss(trainer, monkeypatch, [[1, 1, 1], [0, 0, 0]]) == pytest.approx(-0.303, abs=1e-6)


# Rewards, advantages and masks, from rollouts


def cut_last(row: Row) -> tuple[str, bool]:
    """Rollouts 0 and 3 right, 1 and 2 wrong; rollout 3 did not end."""
    return name_candidate(row, row["rollout_index"] in (0, 3)), row["rollout_index"] != 3


@pytest.mark.parametrize("is_filtered", [True, False])
def test_a_truncated_rollout_is_worth_nothing_and_is_left_out(tmp_path: Path, is_filtered: bool) -> None:
    trainer = make_trainer(tmp_path, cut_last, dapo={"filter_overlong": is_filtered})
    batch = draw_batch(trainer)
    # Rewards 1 0 0 0: mean 0.25, sd sqrt((0.75^2 + 3 x 0.25^2) / 3) = 0.5; 0.75 / 0.5001 = 1.4997, -0.25 / 0.5001.
    group = [1.49970, -0.49990, -0.49990, -0.49990]
    assert batch["advantages"].tolist() == pytest.approx(group * 4, abs=1e-5)
    lengths = [len(trainer.rollout_func.encode(row)) for row in make_rows(0, TASKS[0], 4)]
    counts = [*lengths[:3], 0 if is_filtered else lengths[3]]
    assert batch["completion_mask"].sum(1).tolist() == counts * 4
    assert int(batch["num_items_in_batch"]) == 4 * sum(counts)
    assert read_metrics(trainer)["judgements/truncated"] == 4


def test_advantages_of_kept_groups(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    # Rewards 1 0 1 0: mean 0.5, sd sqrt(4 x 0.25 / 3) = 0.5773503; 0.5 / 0.5774503 = 0.8658755
    expected = [0.8658755, -0.8658755, 0.8658755, -0.8658755]
    assert draw_batch(trainer)["advantages"].tolist() == pytest.approx(expected * 4, abs=1e-6)


def test_soft_punishment_of_long_judgements(tmp_path: Path) -> None:
    # DAPO, equation 13, with a limit of 24 tokens and 8 tokens before it: |y| <= 16 costs nothing, 20 costs
    # (16 - 20) / 8 = -0.5, 24 costs -1. Rollout 0 is right; rollouts 1 to 3 are wrong and 16, 20, 24 tokens long.
    lengths = {1: 16, 2: 20, 3: 24}
    probe = ScriptedRollouts(half_right, TOKENIZER)

    def write(row: Row) -> tuple[str, bool]:
        if row["rollout_index"] == 0:
            return name_candidate(row, True), True
        text = name_candidate(row, False)
        filled = lengths[row["rollout_index"]] - len(probe.encode({**row, "rollout_index": 1}))
        return "1" * filled + text, True

    trainer = make_trainer(tmp_path, write, dapo={"overlong_tokens": 8, "filter_overlong": False})
    batch = draw_batch(trainer)
    assert batch["completion_mask"].sum(1).tolist()[1:4] == [16, 20, 24]
    rewards = [sum(pair) for pair in zip(*trainer._logs["rewards"].values(), strict=True)]
    assert rewards[:4] == [1.0, 0.0, -0.5, -1.0]
    # mean -0.125; deviations 1.125 0.125 -0.375 -0.875; squares sum to 2.1875; sd sqrt(2.1875 / 3) = 0.8539126
    expected = [value / (0.8539126 + 1e-4) for value in (1.125, 0.125, -0.375, -0.875)]
    assert batch["advantages"].tolist()[:4] == pytest.approx(expected, abs=1e-6)


def test_without_punishment_length_costs_nothing(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, lambda row: ("1" * 9 * row["rollout_index"] + half_right(row)[0], True))
    draw_batch(trainer)
    assert trainer.reward_func_names == ["reward"]


# Gradients, end to end


def mixed_lengths(row: Row) -> tuple[str, bool]:
    """Groups with one to three right ones, of different lengths; the last of every second group was cut."""
    text = "7" * ((row["task_index"] + 2 * row["rollout_index"]) % 5) + name_candidate(
        row, row["rollout_index"] <= row["task_index"] % 3
    )
    return text, row["rollout_index"] < 3 or row["task_index"] % 2 == 0


@dataclass
class KeptSteps(TrainerCallback):
    """What the optimiser was about to apply, and the weights before it."""

    weights: list[dict[str, Tensor]] = field(default_factory=list)
    gradients: list[dict[str, Tensor]] = field(default_factory=list)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        self.weights.append({name: value.detach().clone() for name, value in model.state_dict().items()})
        self.gradients.append({name: value.grad.clone() for name, value in model.named_parameters()})


@dataclass
class Rollout:
    prompt: list[int]
    completion: list[int]
    advantage: float
    is_counted: bool


def list_rollouts(groups: int, is_filtered: bool) -> list[list[Rollout]]:
    """The groups that the script writes for the first tasks of the stream."""
    script, listed = ScriptedRollouts(mixed_lengths, TOKENIZER), []
    for index, task in TaskStream(TASKS, seed=1).take(groups):
        rows = make_rows(index, task, 4)
        whole = [mixed_lengths(row)[1] for row in rows]
        rewards = [
            float(row["rollout_index"] <= index % 3 and is_whole) for row, is_whole in zip(rows, whole, strict=True)
        ]
        prompt = read_prompt(TOKENIZER, rows[0]["prompt"])
        scaled = [(reward - mean(rewards)) / (stdev(rewards) + 1e-4) for reward in rewards]
        listed.append(
            [Rollout(prompt, script.encode(row), scaled[i], whole[i] or not is_filtered) for i, row in enumerate(rows)]
        )
    return listed


def independent_loss(model: Any, first: Any, rows: Sequence[Rollout], tokens: float, config: DapoConfig) -> Tensor:
    """DAPO, equation 8, on the rollouts of one update, a row at a time, nothing padded; or GRPO's mean of means."""

    def logprobs(reader: Any, row: Rollout) -> Tensor:
        logits = reader(torch.tensor([row.prompt + row.completion])).logits[0, len(row.prompt) - 1 : -1]
        return (logits / TEMPERATURE).log_softmax(-1)[range(len(row.completion)), row.completion]

    gained = torch.zeros(())
    for row in rows:
        if row.is_counted:
            ratio = (logprobs(model, row) - logprobs(first, row).detach()).exp()
            cut = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
            terms = torch.minimum(ratio * row.advantage, cut * row.advantage)
            gained = gained + (terms.sum() / tokens if config.token_loss else terms.mean() / len(rows))
    return -gained


TEMPERATURE = 1.5
DAPO_CASES = {
    "dapo": {},
    "without clip-higher": {"clip_high": 0.2},
    "without token loss": {"token_loss": False},
    "without filtering": {"filter_overlong": False},
}


@pytest.mark.parametrize("is_shared", [False, True], ids=["rows", "shared-prompts"])
@pytest.mark.parametrize("case", DAPO_CASES)
def test_the_optimiser_gets_the_gradients_of_a_few_lines(tmp_path: Path, case: str, is_shared: bool) -> None:
    steps = KeptSteps()
    trainer = make_trainer(
        tmp_path,
        mixed_lengths,
        rollouts={"temperature": TEMPERATURE},
        dapo=DAPO_CASES[case],
        optimiser={"share_prompts": is_shared, "learning_rate": 1e-2},
    )
    trainer.add_callback(steps)
    trainer.args.max_grad_norm = 0.0  # gradients as they are
    losses: list[float] = []
    compute = trainer.compute_loss

    def keep_loss(*args: Any, **kwargs: Any) -> Any:
        loss = compute(*args, **kwargs)
        losses.append(float(loss.detach()))
        return loss

    trainer.compute_loss = keep_loss
    trainer.train()

    config = make_config(tmp_path, dapo=DAPO_CASES[case]).dapo
    groups = list_rollouts(4, config.filter_overlong)
    tokens = sum(len(row.completion) for group in groups for row in group if row.is_counted) / 2
    first, model = build_model(), build_model()
    for update in range(2):  # of two groups, in two micro-batches
        model.load_state_dict(steps.weights[update])
        model.zero_grad()
        rows = [row for group in groups[2 * update : 2 * update + 2] for row in group]
        loss = independent_loss(model, first, rows, tokens, config)
        loss.backward()
        assert sum(losses[2 * update : 2 * update + 2]) == pytest.approx(float(loss.detach()), abs=2e-6)
        for name, value in model.named_parameters():
            torch.testing.assert_close(steps.gradients[update][name], value.grad, rtol=1e-3, atol=2e-6)
    # The second update is off its policy, so that clipping had something to do.
    clipped = [line["clip_ratio/region_mean"] for line in trainer.state.log_history if "clip_ratio/region_mean" in line]
    assert clipped[0] == 0
    assert clipped[1] > 0.1


# Shared prompts


def padded_batch(blank: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(ids, attention mask, whether a column is a token of a completion): 5 rows, prompts of 4, 7 and 7 tokens padded
    on the left, the first and the second twice, completions of 1 to 6 tokens padded on the right, one row masked."""
    draw = torch.Generator().manual_seed(3)
    prompts = [torch.randint(5, 640, (length,), generator=draw).tolist() for length in (4, 7, 7)]
    rows = [(0, 6), (0, 3), (1, 1), (2, 5), (1, 0)]
    ids, mask = torch.zeros(5, blank + 13, dtype=torch.long), torch.zeros(5, blank + 13, dtype=torch.long)
    for row, (prompt, tokens) in enumerate(rows):
        start = blank + 7 - len(prompts[prompt])
        completion_ids = torch.randint(5, 640, (max(tokens, 4),), generator=draw)[: tokens or 4]
        ids[row, start : blank + 7] = torch.tensor(prompts[prompt])
        ids[row, blank + 7 : blank + 7 + len(completion_ids)] = completion_ids
        mask[row, start : blank + 7 + tokens] = 1
    return ids, mask, mask[:, -6:].bool()


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [0, 1], [1, 2, 3], [2], [0]], ids=str)
@pytest.mark.parametrize("blank", [0, 3])
@pytest.mark.parametrize("size", [None, 2])
def test_shared_prompts_give_the_numbers_of_whole_rows(
    tmp_path: Path, rows: list[int], blank: int, size: int | None
) -> None:
    trainer = make_trainer(tmp_path, rollouts={"temperature": 1.5}, optimiser={"share_prompts": True})
    ids, mask, counts = (terms[rows] for terms in padded_batch(blank))
    weights = torch.randn(counts.shape, generator=torch.Generator().manual_seed(1)) * counts
    results = []
    for measure in (
        trainer._get_per_token_logps_and_entropies,
        super(DapoTrainer, trainer)._get_per_token_logps_and_entropies,
    ):
        trainer.model.zero_grad()
        logprobs, entropies, _ = measure(trainer.model, ids, mask, 6, batch_size=size, compute_entropy=True)
        (logprobs * weights).sum().backward()
        gradients = [value.grad.clone() for value in trainer.model.parameters()]
        results.append((logprobs[counts], entropies[counts].detach(), gradients))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results[0][2], results[1][2], rtol=1e-3, atol=2e-5)


def test_a_prompt_is_read_once_whatever_its_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = build_model(), list[tuple[int, ...]]()
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda **arguments: read.append(tuple(arguments["input_ids"].shape)) or forward(**arguments)
    )
    ids, mask, _ = padded_batch(blank=3)
    measure_logprobs(model, ids, mask, 6, 1.0)
    # Three distinct prompts of at most 7 tokens, then 5 rows of 6 tokens, the last of which predicts nothing.
    assert read == [(3, 7), (5, 5)]


# Dynamic sampling


def scripted_places(useful: set[int], others: Callable[[int], str]) -> Write:
    """Groups at `useful` places have two right ones, all rollouts of another place say the same."""

    def write(row: Row) -> tuple[str, bool]:
        if row["task_index"] in useful:
            return name_candidate(row, row["rollout_index"] < 2), True
        text = others(row["task_index"])
        return {"right": name_candidate(row, True), "wrong": name_candidate(row, False)}.get(text, text), text != "cut"

    return write


def test_groups_of_equal_rewards_are_drawn_again_until_the_batch_is_full(tmp_path: Path) -> None:
    # Four groups wanted. Round 1 draws places 0-3, of which 0 and 2 are useful; round 2 draws the two that lack, 4 and
    # 5, of which 5 is; round 3 draws 6, which is. 7 groups of 4 rollouts for 4 useful ones: 28 / 4 = 7 rollouts each.
    trainer = make_trainer(tmp_path, scripted_places({0, 2, 5, 6}, lambda _: "wrong"), dapo={"most_rounds": 10})
    batch = draw_batch(trainer)
    assert trainer.rollout_func.rounds == [[0, 1, 2, 3], [4, 5], [6]]
    assert trainer.stream.position == 7
    stream_tasks = [task for _, task in TaskStream(TASKS, seed=1).take(7)]
    assert sorted(places_of(batch, stream_tasks)) == sorted([0, 2, 5, 6] * 4)
    assert batch["advantages"].abs().tolist() == pytest.approx([0.8658755] * 16, abs=1e-6)
    metrics = read_metrics(trainer)
    assert metrics["sampling/useful_share"] == pytest.approx(4 / 7)
    assert metrics["sampling/rollouts_per_useful_group"] == 7
    assert metrics["sampling/unfilled_groups"] == 0
    assert metrics["sampling/all_right_share"] == 0
    assert metrics["judgements/failed_share"] == 0
    assert metrics["judgements/reward"] == pytest.approx(8 / 28)


def test_at_the_limit_the_batch_is_filled_with_what_teaches_nothing(tmp_path: Path) -> None:
    # Two rounds: places 0-3 (0 is useful), then 4-6 (none is). Of 7 groups 1 was kept, 3 stay unfilled. Places 1, 3
    # and 5 are all right; at 2 nothing can be read, at 4 all are cut, at 6 all name candidate 9 of 4.
    say = {1: "right", 3: "right", 5: "right", 2: "?", 4: "cut", 6: "Judgment: 9"}
    trainer = make_trainer(tmp_path, scripted_places({0}, say.__getitem__), dapo={"most_rounds": 2})
    batch = draw_batch(trainer)
    assert trainer.rollout_func.rounds == [[0, 1, 2, 3], [4, 5, 6]]
    stream_tasks = [task for _, task in TaskStream(TASKS, seed=1).take(7)]
    indices = places_of(batch, stream_tasks)
    assert sorted(indices) == sorted([0, 1, 2, 3] * 4)
    rows = list(zip(indices, batch["advantages"].tolist(), strict=True))
    assert all((advantage != 0) == (index == 0) for index, advantage in rows)
    metrics = read_metrics(trainer)
    expected = {
        "sampling/useful_share": 1 / 7,
        "sampling/rollouts_per_useful_group": 28,
        "sampling/unfilled_groups": 3,
        "sampling/all_right_share": 3 / 7,
        "judgements/reward": (2 + 3 * 4) / 28,
        "judgements/failed_share": 12 / 28,
        "judgements/unparsed": 4,
        "judgements/out-of-range": 4,
        "judgements/truncated": 4,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_one_round_is_no_dynamic_sampling(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, scripted_places({1}, lambda _: "wrong"), dapo={"most_rounds": 1})
    batch = draw_batch(trainer)
    assert trainer.rollout_func.rounds == [[0, 1, 2, 3]]
    assert trainer.stream.position == 4
    assert int((batch["advantages"] != 0).sum()) == 4
    assert read_metrics(trainer)["sampling/unfilled_groups"] == 3


def all_wrong_and_one_is_long(row: Row) -> tuple[str, bool]:
    """Group 0 has two right judgements. All of the others are wrong, and their last one is 20 tokens long."""
    if row["task_index"] == 0:
        return name_candidate(row, row["rollout_index"] < 2), True
    text = name_candidate(row, False)
    length = len(ScriptedRollouts(lambda _: (text, True), TOKENIZER).encode(row))
    return "1" * (20 - length if row["rollout_index"] == 3 else 0) + text, True


@pytest.mark.parametrize("most_rounds", [2, 1])
def test_the_punishment_of_a_long_judgement_gives_a_filler_no_advantage(tmp_path: Path, most_rounds: int) -> None:
    # A limit of 24 tokens and 8 before it: the judgement of 20 tokens costs -0.5. In a group that is all wrong the
    # rewards 0 0 0 -0.5 have the mean -0.125 and the deviation 0.25, so it would get -0.375 / 0.2501 = -1.4994.
    trainer = make_trainer(
        tmp_path,
        all_wrong_and_one_is_long,
        dapo={"overlong_tokens": 8, "filter_overlong": False, "most_rounds": most_rounds},
    )
    batch = draw_batch(trainer)
    places = places_of(batch, [task for _, task in TaskStream(TASKS, seed=1).take(8)])
    rows = list(zip(places, batch["advantages"].tolist(), strict=True))
    assert sorted(advantage for place, advantage in rows if place == 0) == pytest.approx(
        [-0.8658755, -0.8658755, 0.8658755, 0.8658755], abs=1e-6
    )
    fillers = [advantage for place, advantage in rows if place != 0]
    if most_rounds > 1:
        assert fillers == [0.0] * 12
    else:  # Without dynamic sampling there is no filler, and the punishment counts as in GRPO.
        assert sorted(fillers)[:3] == pytest.approx([-1.4994] * 3, abs=1e-4)
    assert read_metrics(trainer)["sampling/unfilled_groups"] == 3


def test_refill_rounds_draw_more_than_is_missing(tmp_path: Path) -> None:
    # Four groups wanted. Round 1 draws places 0-3, of which 0 is useful; 3 are missing, so round 2 draws
    # ceil(3 x 1.5) = 5: places 4-8, of which 4, 5, 6 and 8 are useful: one more than there is room for.
    trainer = make_trainer(
        tmp_path, scripted_places({0, 4, 5, 6, 8}, lambda _: "wrong"), dapo={"most_rounds": 5, "oversampling": 1.5}
    )
    batch = draw_batch(trainer)
    assert trainer.rollout_func.rounds == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
    stream_tasks = [task for _, task in TaskStream(TASKS, seed=1).take(9)]
    assert sorted(places_of(batch, stream_tasks)) == sorted([0, 4, 5, 6] * 4)
    metrics = read_metrics(trainer)
    assert metrics["sampling/surplus_groups"] == 1
    assert metrics["sampling/unfilled_groups"] == 0
    assert trainer.stream.position == 9


# Rollouts of vLLM, whose probabilities are not quite those of the trainer


class SilentEngine:
    """Stands for TRL's vLLM engine: weights are copied to it, and rollouts are scripted instead of drawn."""

    temperature = 1.0

    def sync_weights(self) -> None: ...


def make_vllm_trainer(tmp_path: Path, logprob: float, **rollouts: Any) -> DapoTrainer:
    """Rollouts whose tokens have `logprob` under the engine; the trainer's own model has others."""
    trainer = make_trainer(tmp_path, rollouts=rollouts)
    scripted = trainer.rollout_func

    def draw(prompts: Sequence[Any], owner: Any) -> dict[str, list[Any]]:
        outputs = scripted(prompts, owner)
        return {**outputs, "logprobs": [[logprob] * len(ids) for ids in outputs["completion_ids"]]}

    trainer.rollout_func, trainer.vllm_generation = draw, SilentEngine()
    trainer.use_vllm, trainer._last_loaded_step = True, -1
    return trainer


def own_ratios(batch: dict[str, Tensor], logprob: float) -> Tensor:
    """The ratio of each token, by the trainer's own log-probabilities."""
    return (batch["old_per_token_logps"] - logprob).exp()


def test_rollouts_of_vllm_are_corrected_token_by_token(tmp_path: Path) -> None:
    # The words of the tiny model are nearly alike: log(1 / 640) = -6.46 each. Under an engine that gives them -6.5,
    # ratios lie around 1; some are above the cap of 1.02.
    trainer = make_vllm_trainer(tmp_path, -6.5, importance_cap=1.02)
    batch = draw_batch(trainer)
    mask = batch["completion_mask"].bool()
    ratios = own_ratios(batch, -6.5)
    assert (ratios[mask] > 1.02).any()
    torch.testing.assert_close(batch["importance_sampling_ratio"][mask], ratios[mask].clamp(max=1.02))
    name = "sampling/importance_sampling_ratio/mean"
    assert read_metrics(trainer)[name] == pytest.approx(float(ratios[mask].clamp(max=1.02).mean()), rel=1e-5)


def test_the_mean_ratio_is_in_the_log(tmp_path: Path) -> None:
    trainer = make_vllm_trainer(tmp_path, -6.5)
    trainer.train()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert any(0 < row.get("sampling/importance_sampling_ratio/mean", 0) <= 3 for row in rows)


def test_the_correction_can_be_off_or_of_whole_rollouts(tmp_path: Path) -> None:
    batch = draw_batch(make_vllm_trainer(tmp_path / "off", -6.5, importance_correction="off"))
    assert "importance_sampling_ratio" not in batch
    trainer = make_vllm_trainer(tmp_path / "whole", -6.5, importance_correction="sequence-truncate", importance_cap=9.0)
    batch = draw_batch(trainer)
    whole = (own_ratios(batch, -6.5).log() * batch["completion_mask"]).sum(1, keepdim=True).exp()
    torch.testing.assert_close(batch["importance_sampling_ratio"], whole.clamp(max=9.0), rtol=1e-4, atol=1e-6)


def test_nothing_useful_at_all_is_a_batch_without_a_loss(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, lambda row: (name_candidate(row, True), True), dapo={"most_rounds": 2})
    batch = draw_batch(trainer)
    assert batch["advantages"].abs().max() == 0
    metrics = read_metrics(trainer)
    assert metrics["sampling/unfilled_groups"] == 4
    assert metrics["sampling/useful_share"] == 0
    assert metrics["sampling/all_right_share"] == 1
    assert metrics["sampling/rollouts_per_useful_group"] == 32  # there is none: what 8 groups would have cost for one


def test_training_takes_the_next_tasks_for_each_batch(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path, scripted_places({0, 2, 4, 5, 6, 7, 8, 9}, lambda _: "wrong"), optimiser={"updates": 4}
    )
    trainer.train()
    # Batch 1: 0-3, then 4 and 5. Batch 2: 6-9. Two updates each.
    assert trainer.rollout_func.rounds == [[0, 1, 2, 3], [4, 5], [6, 7, 8, 9]]
    stream_state = json.loads((tmp_path / "checkpoints" / "checkpoint-2" / STREAM_FILE).read_text())
    assert stream_state == {"position": 6}
    assert json.loads((tmp_path / "checkpoints" / "checkpoint-4" / STREAM_FILE).read_text()) == {"position": 10}


def test_groups_stay_whole_and_lie_by_length_within_an_update(tmp_path: Path) -> None:
    # 8 groups of 4 in 8 micro-batches of 4 rows, 2 updates of 4 groups.
    trainer = make_trainer(tmp_path, rollouts={"prompts": 8})
    parts = []
    for step in range(8):
        trainer._step = step
        parts.append(trainer._prepare_inputs([{}] * 32))
    stream_tasks = [task for _, task in TaskStream(TASKS, seed=1).take(8)]
    indices = [places_of(part, stream_tasks) for part in parts]
    assert all(len(set(part)) == 1 for part in indices)
    assert [sorted(part[0] for part in half) for half in (indices[:4], indices[4:])] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    lengths = [int(part["prompt_mask"].sum(1)[0]) for part in parts]
    assert lengths[:4] == sorted(lengths[:4])
    assert lengths[4:] == sorted(lengths[4:])
    assert len(trainer.rollout_func.rounds) == 1


# Held-out tasks


def test_held_out_tasks_are_judged_once_each(tmp_path: Path) -> None:
    calls: list[tuple[float, int, int]] = []

    def write(row: Row) -> tuple[str, bool]:
        calls.append((trainer.rollout_func.temperature, row["task_index"], row["rollout_index"]))
        return name_candidate(row, row["task_index"] != -2), row["task_index"] != -3

    trainer = make_trainer(tmp_path, write)
    judgements = trainer.judge_tasks(TASKS[:4], temperature=0.25)
    assert calls == [(0.25, -1, 0), (0.25, -2, 0), (0.25, -3, 0), (0.25, -4, 0)]
    assert [terms.correct for terms in judgements] == [task.correct for task in TASKS[:4]]
    assert [terms.finish for terms in judgements] == ["stop", "stop", "length", "stop"]
    assert measure_accuracy(judgements).accuracy == 0.5
    # As it was before: temperature, mode, place in the stream; nothing of it in the metrics.
    assert trainer.rollout_func.temperature == 1.0
    assert trainer.model.training
    assert trainer.stream.position == 0
    assert not any(trainer._metrics["train"].values())
    assert not any(trainer._metrics["eval"].values())


def test_a_failed_validation_leaves_the_trainer_as_it_was(tmp_path: Path) -> None:
    def fail(row: Row) -> tuple[str, bool]:
        raise EngineError(f"no rollout for {row['task_id']}")

    trainer = make_trainer(tmp_path, fail)
    with pytest.raises(EngineError):
        trainer.judge_tasks(TASKS[:2], temperature=0.25)
    assert trainer.rollout_func.temperature == 1.0
    assert trainer.model.training


def test_text_behind_a_judgement_keeps_its_end_token(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    ids = [*TOKENIZER("Judgment: 1")["input_ids"], END]
    assert trainer.read(ids, (False, True)) == JudgementText("Judgment: 1<|im_end|>", "stop", (False, True))
    assert trainer.read(ids[:-1], (False, True)).finish == "length"
    assert trainer.read([], (False, True)).finish == "length"
