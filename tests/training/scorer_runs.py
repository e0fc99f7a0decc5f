"""A tiny body, and small verified runs with hidden states in which the outcome can be read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from nbest.records import Completion, HiddenStates, Problem, Step, Trajectory, Verdict, trajectory_id
from nbest.storage.run import Run

ABOUT = {"model": "tiny", "content_hash": "abc", "step_rule": "blank-line", "last_layer_after_norm": "true"}
HIDDEN = 6


def make_run(
    path: Path, problems: int = 12, n: int = 8, about: Mapping[str, str] = ABOUT, signal: float = 2.0, first: int = 0
) -> Run:
    """`problems` x `n` trajectories of 1 to 5 steps of two tokens, layers 1 and 3; the first state dimension of layer 3
    says right (+signal) or wrong (-signal) in noise; problem p has p % n right ones at least one and at most n - 1."""
    run = Run.create(path, {"identity": {"made": "by a test"}, "info": {}})
    rng = np.random.default_rng(first)
    run.write_problems([Problem(f"p{first + p}", f"What is {p}?", str(p)) for p in range(problems)])
    trajectories, states, verdicts = [], {}, []
    for p in range(problems):
        key = f"p{first + p}"
        right = {int(i) for i in rng.permutation(n)[: 1 + p % (n - 1)]}
        for i in range(n):
            count = int(rng.integers(1, 6))
            steps = tuple(Step(2 * s, 2 * s + 2) for s in range(count))
            logprobs = -rng.random(2 * count + 1).astype(np.float32)
            text = "<think>\n" + "\n\n".join(f"step {s}" for s in range(count)) + "\n</think>\n\n\\boxed{1}"
            tokens = np.arange(2 * count + 1, dtype=np.int32)
            completion = Completion(text, tokens=tokens, logprobs=logprobs, finish="stop")
            name = trajectory_id(key, i)
            trajectories.append(Trajectory(name, key, i, i, completion))
            values = rng.normal(size=(count, 2, HIDDEN)).astype(np.float32)
            values[:, 1, 0] += signal if i in right else -signal
            states[name] = HiddenStates((1, 3), steps, values)
            verdicts.append(Verdict(name, i in right))
    run.append_trajectories(trajectories)
    run.append_states(states, about)
    run.append_verdicts(verdicts)
    return run


def save_body(folder: Path, layers: int = 1, dtype: torch.dtype = torch.float32) -> Path:
    """A tiny causal language model of random weights in `folder`: the body of a scorer."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    Qwen3ForCausalLM(config).to(dtype).save_pretrained(folder)  # type: ignore[arg-type]
    return folder
