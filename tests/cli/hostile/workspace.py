"""A folder with a valid file of every kind that a command reads, and a small run with all kinds of results."""

import json
from pathlib import Path
from typing import Any

from nbest.records import Completion, Problem, Score, Selection, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run

POOLS = [
    {
        "problem_id": f"p{number}",
        "question": f"What is {number} + 1?",
        "target": str(number + 1),
        "kind": "math",
        "samples": [
            {
                "text": f"a: \\boxed{{{answer}}}",
                "answer": str(answer),
                "finish": "stop",
                "correct": answer == number + 1,
                "scores": {"guess": 0.25 * index},
                "logprobs": [-0.5, -0.25],
                "tokens": [5, 6],
                "seed": index,
                "note": "a",
            }
            for index, answer in enumerate((number + 1, number, number + 1, 7))
        ],
    }
    for number in range(3)
]
NEMO = [
    {"problem": "1+1?", "expected_answer": "2", "generation": "a: \\boxed{2}", "predicted_answer": "2"},
    {"problem": "1+2?", "expected_answer": "3", "generation": "a: \\boxed{4}", "predicted_answer": "4"},
]
LM_EVAL = [
    {
        "doc_id": 0,
        "doc": {"question": "How many?", "answer": "18"},
        "target": "18",
        "arguments": {"gen_args_0": {"arg_0": "Q: How many?\nA:"}},
        "resps": [["It is 18. #### 18", "a"]],
        "filtered_resps": ["18", "a"],
        "filter": "strict-match",
        "exact_match": 1.0,
    }
]
PROBLEMS = [{"id": "a", "question": "1+1?", "answer": "2"}, {"id": "b", "question": "1+2?", "answer": "3"}]

SCRIPT = """
n = 2
seed = 3
[problems]
source = "arithmetic"
count = 2
[policy]
type = "scripted"
script = ["I add.\\n\\n\\\\boxed{10}", "\\\\boxed{20}", "nothing"]
"""
JUDGE = """
style = "compact"
repeats = 2
retries = 1
[policy]
type = "scripted"
script = ["Judgment: 0", "I cannot say.", "Judgment: 9"]
"""
TASKS = 'style = "compact"\nsolutions = 2\nmax_pass_rate = 1.0\n'
BENCHMARK = 'file = "problems.jsonl"\nquestion = "question"\nanswer = "answer"\nid = "id"\nkind = "math"\n'
SCORER = """
out = "model"
epochs = 1
batch_trajectories = 4
[data]
runs = ["run"]
validation_share = 0.5
[model]
type = "step-mlp"
hidden_size = 4
"""
POLICY = 'out = "model"\nsteps = 0\n'
GENSELECT = 'out = "model"\ntasks = "absent.parquet"\n'


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def make_workspace(folder: Path) -> Path:
    """Fill a folder with the files that `commands.WORDS` names."""
    folder.mkdir(parents=True)
    write_lines(folder / "pools.jsonl", POOLS)
    write_lines(folder / "output-rs0.jsonl", NEMO)
    write_lines(folder / "samples_task.jsonl", LM_EVAL)
    write_lines(folder / "problems.jsonl", PROBLEMS)
    texts = {"script": SCRIPT, "judge": JUDGE, "tasks": TASKS, "own": BENCHMARK}
    texts |= {"scorer": SCORER, "policy": POLICY, "genselect": GENSELECT}
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    make_run(folder / "run")
    return folder


def make_run(path: Path) -> Run:
    """Create a run of three problems with four trajectories each: graded, scored by `guess`, selected by `majority`."""
    run = Run.create(path, {"identity": {"made": "by a test"}, "info": {}})
    run.write_problems([Problem(f"p{number}", f"What is {number} + 1?", str(number + 1)) for number in range(3)])
    trajectories, verdicts = list[Trajectory](), list[Verdict]()
    for number in range(3):
        for index, answer in enumerate((number + 1, number, number + 1, 7)):
            key = trajectory_id(f"p{number}", index)
            text = f"I add.\n\n\\boxed{{{answer}}}"
            trajectories.append(Trajectory(key, f"p{number}", index, index, Completion(text, finish="stop")))
            verdicts.append(Verdict(key, answer == number + 1, str(answer)))
    run.append_trajectories(trajectories)
    run.append_verdicts(verdicts)
    run.append_scores("guess", [Score(t.id, 0.25 * t.index) for t in trajectories])
    run.append_selections("majority", [Selection(f"p{number}", 0, str(number + 1)) for number in range(3)])
    return run


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file under a folder; without what is remembered about equal answers."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".equivalence" not in path.parts
    }
