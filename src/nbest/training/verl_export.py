# pyright: standard
"""Export selection tasks for verl: rows in the schema of its RL datasets, and a self-contained file with the reward.

Row (verl examples/data_preprocess/gsm8k.py): data_source, prompt = [{role, content}], ability, reward_model = {style,
ground_truth}, extra_info. `ground_truth` is a JSON text, `{"count": c, "right": [positions from 0]}`, because verl
passes texts through its arrays of objects unchanged. The reward is 1 for naming a right candidate, else 0, as a dict
with `score`, `acc` (which `algorithm.filter_groups.metric=acc` reads) and `fault`. The length penalty is that of verl's
`dapo` reward manager.

`reward_genselect.py` parses judgements like `judging.prompts.parse_genselect`; a test checks that the two agree. verl
does not tell a reward function why a rollout ended: a judgement that is truncated after `Judgment: 3` counts there as
3, here as truncated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from nbest.errors import StorageError
from nbest.training.task_files import TaskRecord

DATA_SOURCE = "nbest/genselect"
REWARD_FILE = "reward_genselect.py"


class VerlFormat:
    """The columns of verl. `extra_info` holds the ids, candidates and verdicts, which verl does not read."""

    schema = pa.schema(
        [
            ("data_source", pa.string()),
            ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            ("ability", pa.string()),
            ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
            (
                "extra_info",
                pa.struct(
                    [
                        ("split", pa.string()),
                        ("index", pa.int64()),
                        ("task_id", pa.string()),
                        ("problem_id", pa.string()),
                        ("candidates", pa.list_(pa.string())),
                        ("correct", pa.list_(pa.bool_())),
                        ("prompt_tokens", pa.int64()),
                    ]
                ),
            ),
        ]
    )

    def encode(self, record: TaskRecord, position: int) -> Mapping[str, Any]:
        task = record.task
        right = [index for index, is_right in enumerate(task.correct) if is_right]
        return {
            "data_source": DATA_SOURCE,
            "prompt": [{"role": "user", "content": task.prompt}],
            "ability": record.kind,
            "reward_model": {
                "style": "rule",
                "ground_truth": json.dumps({"count": len(task.correct), "right": right}),
            },
            "extra_info": {
                "split": record.split,
                "index": position,
                "task_id": task.task_id,
                "problem_id": task.problem_id,
                "candidates": list(task.candidates),
                "correct": list(task.correct),
                "prompt_tokens": task.prompt_tokens,
            },
        }


def write_reward(folder: Path) -> Path:
    """Write the file of the reward function into `folder`. Raises StorageError if it cannot be written."""
    path = folder / REWARD_FILE
    temporary = path.with_name(f".{REWARD_FILE}.tmp")
    try:
        temporary.write_text(REWARD, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error
    return path


REWARD = r'''"""Reward of a selection task for verl, written by `nbest tasks build --format verl`.

1 where the judgement names a right candidate, else 0. Model text is searched for a number and never evaluated.
Use: reward.custom_reward_function.path=.../reward_genselect.py (name: compute_score), metric of filter_groups: acc.
"""

import json
import re

_JUDGEMENT = re.compile(r"Judge?ment:\s*\**\[?\s*(\d+)")


def read_judgement(text, count):
    """(index from 0 or None, "" or why there is none): the last `Judgment: IDX` behind the thinking."""
    found = _JUDGEMENT.findall(text.rpartition("</think>")[2])
    if not found:
        return None, "unparsed"
    # Python refuses to read more digits, and no task has so many candidates.
    index = int(found[-1]) if len(found[-1]) <= 4300 else count
    return (index, "") if index < count else (None, "out-of-range")


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    """verl's signature. `ground_truth` is JSON: {"count": candidates shown, "right": positions from 0}."""
    task = json.loads(ground_truth)
    index, fault = read_judgement(solution_str, task["count"])
    reward = 1.0 if index in task["right"] else 0.0
    return {"score": reward, "acc": reward, "fault": fault}
'''
