# pyright: standard
"""Export selection tasks for verl: rows in the schema of its RL datasets, and a self-contained file with the reward.

Row (verl examples/data_preprocess/gsm8k.py): data_source, prompt = [{role, content}], ability, reward_model = {style,
ground_truth}, extra_info. `ground_truth` is a JSON text, `{"count": c, "right": [positions from 0]}`, because verl
passes texts through its arrays of objects unchanged. The reward is 1 for naming a right candidate, else 0, as a dict
with `score`, `acc` (which `algorithm.filter_groups.metric=acc` reads) and `fault`. The length penalty is that of verl's
`dapo` reward manager.

`reward_genselect.py` parses judgements like `judging.prompts.parse_genselect`; a test checks that the two agree. verl
does not pass the reason why a rollout ended to the reward function: there a judgement that is truncated after
`Judgment: 3` counts as 3, here as truncated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from nbest.answers.reasoning import CLOSER
from nbest.errors import StorageError
from nbest.judging.prompts import JUDGEMENT
from nbest.storage.outputs import write_file
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

    def write_companions(self, folder: Path) -> dict[str, Path]:
        """Write the reward function. Raises StorageError if it cannot be written."""
        return {"reward": write_reward(folder)}


def write_reward(folder: Path) -> Path:
    """Write the file of the reward function into `folder`. Raises StorageError if it cannot be written."""
    path = folder / REWARD_FILE
    if not folder.is_dir():
        raise StorageError(f"{path}: cannot be written: its folder does not exist")
    write_file(path, REWARD)
    return path


REWARD = r'''"""Reward of a selection task for verl, written by `nbest tasks build --format verl`.

1 where the judgement names a right candidate, else 0. Model text is searched for a number and never evaluated.
Use: reward.custom_reward_function.path=.../reward_genselect.py (name: compute_score), metric of filter_groups: acc.
"""

import json
import re

_CLOSER = re.compile(@CLOSER@, re.IGNORECASE)
_JUDGEMENT = re.compile(@JUDGEMENT@, re.IGNORECASE)


def read_judgement(text, count):
    """Return (index, "") of the last `Judgment: IDX` after the thinking, or (None, the reason why there is none)."""
    last = ""
    for match in _JUDGEMENT.finditer(_CLOSER.split(text)[-1]):
        last = "" if match.lastindex == 2 else match[1].lower()  # the second group is a second index
    if not last or last == "tie":
        return None, "unparsed"
    # Python refuses to read thousands of digits, and no task has so many candidates.
    index = int(last) if len(last) <= 9 else count
    return (index, "") if index < count else (None, "out-of-range")


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    """Return the reward as verl expects it. `ground_truth` is JSON: {"count": candidates, "right": indices from 0}."""
    task = json.loads(ground_truth)
    index, fault = read_judgement(solution_str, task["count"])
    reward = 1.0 if index in task["right"] else 0.0
    return {"score": reward, "acc": reward, "fault": fault}
'''.replace("@CLOSER@", repr(CLOSER.pattern)).replace("@JUDGEMENT@", repr(JUDGEMENT.pattern))
