"""The cold start: words that become tokens, drills, demonstrations."""

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nbest.errors import ConfigError, DataError
from nbest.judging.prompts import parse_genselect
from nbest.records import trajectory_id
from nbest.training.cold_start import (
    QUESTIONS,
    SOLUTIONS_EVERY,
    Demonstrations,
    Drills,
    add_words,
    write_demonstrations,
)
from nbest.training.policy import IGNORED
from nbest.training.settings import ColdStartConfig
from nbest.training.task_files import SelectionTask
from tests.training.selector_runs import build_model, load_tokenizer
from tests.training.verified_runs import GradedText, make_run

ANSWERS = (-9, 99)
UPDATES = 20
SOLUTIONS = [([7, 8, 9], [10, 11, 2]), ([7, 8], [12, 2]), ([9], [13, 14, 15, 2])]


def make_config(**values: Any) -> ColdStartConfig:
    return ColdStartConfig(**{"runs": (Path("unused"),), "answers": ANSWERS, "drill_updates": UPDATES, **values})


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    loaded_tokenizer = load_tokenizer()
    add_words(build_model(), loaded_tokenizer, ANSWERS)
    return loaded_tokenizer


@pytest.fixture(scope="module")
def drills(tokenizer: Any) -> Drills:
    return Drills(tokenizer, SOLUTIONS, make_config(), seed=1)


def read_ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text)["input_ids"])


# Words


def test_each_word_of_a_judgement_is_one_token_of_its_own(tokenizer: Any) -> None:
    numbered = [f"{word} {token_number}" for word in ("Candidate", "Judgment:") for token_number in range(16)]
    boxed = [f"\\boxed{{{value}}}" for value in range(-9, 100)]
    ids = [read_ids(tokenizer, word) for word in [*numbered, *boxed]]
    assert all(len(token_ids) == 1 for token_ids in ids)
    assert len({token_ids[0] for token_ids in ids}) == 32 + 109
    assert min(token_ids[0] for token_ids in ids) == 640  # none stood in the vocabulary before
    assert len(tokenizer) == 640 + 32 + 109
    assert len(read_ids(tokenizer, "\\boxed{100}")) > 1


def test_white_space_before_a_word_is_part_of_it(tokenizer: Any) -> None:
    (answer,), (number,) = read_ids(tokenizer, "\\boxed{42}"), read_ids(tokenizer, "Judgment: 13")
    assert read_ids(tokenizer, "\n\n\\boxed{42}\nJudgment: 13") == [answer, number]
    assert read_ids(tokenizer, "so  \\boxed{42}") == [*read_ids(tokenizer, "so"), answer]
    # Behind a word it stays: only the words themselves swallow it.
    assert read_ids(tokenizer, "\\boxed{42}\n\n7") == [answer, *read_ids(tokenizer, "\n\n7")]


@pytest.mark.parametrize("token_number", [0, 1, 9, 10, 15])
def test_a_judgement_of_these_tokens_reads_as_before(tokenizer: Any, token_number: int) -> None:
    ids = read_ids(tokenizer, f"</think>\n\n\\boxed{{-3}}\nJudgment: {token_number}")
    assert parse_genselect(tokenizer.decode(ids), 16).index == token_number


def test_new_words_are_as_wide_as_the_others_and_old_ones_stay() -> None:
    before = build_model().get_input_embeddings().weight.detach()
    model, other = build_model(), load_tokenizer()
    add_words(model, other, ANSWERS)
    after = model.get_input_embeddings().weight.detach()
    assert after.shape == (640 + 141, 32)
    assert model.config.vocab_size == 781
    assert torch.equal(after[:640], before)
    assert float(after[640:].std() / before.std()) == pytest.approx(1.0, abs=0.05)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    again = build_model()
    add_words(again, load_tokenizer(), ANSWERS)
    assert torch.equal(again.get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_words_survive_saving(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    text = "5 + 3 = 8\n\n\\boxed{8}\nJudgment: 3"
    assert read_ids(AutoTokenizer.from_pretrained(tmp_path), text) == read_ids(tokenizer, text)


# Drills


def is_solutions(index: int) -> bool:
    return index % SOLUTIONS_EVERY == SOLUTIONS_EVERY - 1


DRILL_INDICES = [index for index in range(UPDATES) if not is_solutions(index)]
EARLY, LATE = DRILL_INDICES[0], DRILL_INDICES[-1]


def test_a_batch_of_drills_is_a_function_of_seed_and_number(tokenizer: Any, drills: Drills) -> None:
    again, other = (Drills(tokenizer, SOLUTIONS, make_config(), seed) for seed in (1, 2))
    assert len(drills) == UPDATES
    for index in (EARLY, LATE, SOLUTIONS_EVERY - 1):
        assert same(drills[index], again[index])  # in another order than it was drawn first
        assert same(again[index], drills[index])
    assert not same(drills[EARLY], other[EARLY])
    assert not same(drills[EARLY], drills[EARLY + 1])


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("index", [EARLY, LATE])
def test_every_answer_that_is_learned_stands_in_the_prompt(tokenizer: Any, drills: Drills, index: int) -> None:
    batch = drills[index]
    boxed = {read_ids(tokenizer, f"\\boxed{{{value}}}")[0] for value in range(-9, 100)}
    candidates = [read_ids(tokenizer, f"Candidate {token_number}")[0] for token_number in range(16)]
    judgements = [read_ids(tokenizer, f"Judgment: {token_number}")[0] for token_number in range(16)]
    for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        position_by_number = {ids[at - 1]: candidates.index(id) for at, id in enumerate(ids) if id in candidates}
        question_positions = [at for at, id in enumerate(ids) if id in judgements]
        assert len(question_positions) == QUESTIONS
        assert 2 <= len(position_by_number) <= 8
        assert set(position_by_number) <= boxed
        # The token before a judgement is the number asked for, and the candidate with this number is the one named.
        assert all(judgements.index(ids[at]) == position_by_number[ids[at - 1]] for at in question_positions)
        learned = [at for at, label in enumerate(labels) if label != IGNORED]
        assert all(labels[at] == ids[at] for at in learned)
        assert learned == (
            question_positions if index == EARLY else sorted(question_positions + [at - 1 for at in question_positions])
        )


def test_late_drills_stand_in_prompts_of_the_real_form(tokenizer: Any, drills: Drills) -> None:
    start, end = (tokenizer.convert_tokens_to_ids(word) for word in ("<|im_start|>", "</think>"))
    assert all(start in ids and ids.count(end) == QUESTIONS for ids in drills[LATE]["input_ids"].tolist())
    assert not any(start in ids or end in ids for ids in drills[EARLY]["input_ids"].tolist())
    # "= 42." stands before each question, so that the number asked for can be known.
    assert "= " in tokenizer.decode(drills[LATE]["input_ids"][0])


def test_early_drills_have_few_numbers(tokenizer: Any, drills: Drills) -> None:
    def numbers(indices: Sequence[int]) -> set[int]:
        boxed = {read_ids(tokenizer, f"\\boxed{{{value}}}")[0] for value in range(-9, 100)}
        return {id for i in indices for id in drills[i]["input_ids"].unique().tolist()} & boxed

    early = [index for index in DRILL_INDICES if index / UPDATES < 0.3]
    assert len(numbers(early)) <= 64
    assert len(numbers(DRILL_INDICES)) > 100


def test_whole_attempts_come_between_the_drills(drills: Drills) -> None:
    batch = drills[SOLUTIONS_EVERY - 1]
    rows = zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist(), batch["labels"].tolist(), strict=True)
    examples = [
        ([i for i, m, label in zip(*row, strict=True) if m and label == IGNORED], [x for x in row[2] if x != IGNORED])
        for row in rows
    ]
    assert sorted(examples) == sorted(SOLUTIONS)


# Demonstrations

TEXT = "<think>\n1 + {} = {}.\n</think>\n\nIt is \\boxed{{{}}}"


def solve(value: int, correct: bool) -> GradedText:
    return TEXT.format(value - 1, value, value), correct


def make_task(problem: str, correct: Sequence[bool], run: str = "") -> SelectionTask:
    names = tuple(run + trajectory_id(problem, token_number) for token_number in range(len(correct)))
    return SelectionTask(f"{problem}/0", problem, f"prompt of {problem}", names, tuple(correct), 5)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    pools = {
        "a": [solve(4, False), solve(5, False), solve(6, True)],
        "b": [solve(7, True), solve(8, True), solve(9, False)],
        "c": [("\\boxed{1}", True), solve(2, False)],
    }
    make_run(tmp_path / "run", pools)
    return tmp_path / "run"


def test_a_demonstration_is_the_working_of_a_right_candidate_and_its_number(run: Path) -> None:
    position_by_number, _ = write_demonstrations(
        [make_task("a", (False, False, True))], make_config(runs=(run,)), "answer", 1
    )
    assert position_by_number == [("prompt of a", "<think>\n1 + 5 = 6.\n</think>\n\n\\boxed{6}\nJudgment: 2")]


def test_the_end_shows_the_candidate_as_the_prompt_does(run: Path) -> None:
    position_by_number, _ = write_demonstrations(
        [make_task("a", (False, False, True))], make_config(runs=(run,)), "remove", 1
    )
    assert position_by_number[0][1].endswith("</think>\n\nIt is \\boxed{6}\nJudgment: 2")


def test_each_right_candidate_can_be_shown_and_no_wrong_one(run: Path) -> None:
    tasks, config = [make_task("b", (True, True, False))], make_config(runs=(run,))
    demonstrations = [write_demonstrations(tasks, config, "answer", seed)[0] for seed in range(12)]
    ends = {judgement[judgement.index("\\boxed") :] for ((_, judgement),) in demonstrations}
    assert ends == {"\\boxed{7}\nJudgment: 0", "\\boxed{8}\nJudgment: 1"}


def test_a_candidate_without_working_is_passed_over(run: Path) -> None:
    tasks = [make_task("c", (True, False)), make_task("a", (False, False, True))]
    position_by_number, _ = write_demonstrations(tasks, make_config(runs=(run,)), "answer", 1)
    assert [prompt for prompt, _ in position_by_number] == ["prompt of a"]


def test_as_many_tasks_as_asked_the_same_every_time(run: Path) -> None:
    tasks = [make_task("a", (False, False, True)), make_task("b", (True, True, False))]
    config = make_config(runs=(run,), tasks=1)
    demonstrations = [write_demonstrations(tasks, config, "answer", seed) for seed in range(20)]
    assert all(len(position_by_number) == 1 for position_by_number, _ in demonstrations)
    assert {position_by_number[0][0] for position_by_number, _ in demonstrations} == {"prompt of a", "prompt of b"}
    assert demonstrations == [write_demonstrations(tasks, config, "answer", seed) for seed in range(20)]


def test_attempts_are_of_the_problems_of_the_tasks_right_or_wrong(run: Path) -> None:
    tasks, config = [make_task("a", (False, False, True))], make_config(runs=(run,))
    demonstrations = [write_demonstrations(tasks, config, "answer", seed)[1] for seed in range(24)]
    assert {problem for ((problem, _),) in demonstrations} == {"What is a?"}
    assert {text for ((_, text),) in demonstrations} == {solve(value, True)[0] for value in (4, 5, 6)}


def test_candidates_of_several_runs_are_named_with_their_run(run: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "other", {"a": [solve(1, True), solve(2, False)]})
    config = make_config(runs=(run, tmp_path / "other"))
    position_by_number, _ = write_demonstrations([make_task("a", (True, False), "other/")], config, "answer", 1)
    assert position_by_number[0][1].endswith("\\boxed{1}\nJudgment: 0")


def test_runs_without_the_candidates_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cold_start\.runs: .*/run hold no reasoning of the candidates"):
        write_demonstrations([make_task("z", (True, False))], make_config(runs=(run,)), "answer", 1)
    with pytest.raises(ConfigError, match="nowhere"):
        write_demonstrations([make_task("z", (True, False))], make_config(runs=(tmp_path / "nowhere",)), "answer", 1)


# Batches of demonstrations

EXAMPLES = [([1] * (n % 7 + 1), [10 + n, 2]) for n in range(10)]


def shown_in(batch: Mapping[str, Tensor]) -> list[int]:
    return [int(row[row != IGNORED][0]) - 10 for row in batch["labels"]]


def test_demonstrations_go_round_and_rows_of_a_batch_are_of_like_length() -> None:
    batches = Demonstrations(EXAMPLES, 0, make_config(updates=6, batch_tasks=4), seed=1)
    # 10 examples in batches of 4: 3 batches a round.
    rounds = [[shown_in(batches[at + i]) for i in range(3)] for at in (0, 3)]
    for batch_rows in rounds:
        assert sorted(chain.from_iterable(batch_rows)) == list(range(10))
        spans = sorted((min(n % 7 for n in rows), max(n % 7 for n in rows)) for rows in batch_rows)
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
    again = Demonstrations(EXAMPLES, 0, make_config(updates=6, batch_tasks=4), seed=1)
    assert [shown_in(again[i]) for i in range(6)] == list(chain.from_iterable(rounds))


def test_the_end_token_is_learned_and_the_prompt_is_not() -> None:
    batch = Demonstrations(EXAMPLES[:1], 0, make_config(updates=1), seed=1)[0]
    assert batch["labels"].tolist() == [[IGNORED, 10, 2]]


def test_as_many_updates_as_asked() -> None:
    # 10 examples in batches of 4 are 3 a round; 4 updates are one round and a third.
    assert len(Demonstrations(EXAMPLES, 0, make_config(updates=4, batch_tasks=4), seed=1)) == 4
