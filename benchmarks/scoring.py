"""How cheap is scoring by the policy's own states, against a process reward model that re-reads the trace?

Floating-point operations and trajectories a second of TrajSelector at the published shapes (states of 4,096 numbers,
300 steps, a body of Qwen3-0.6B) and of a 7B process reward model (Qwen2.5-7B) over 10,000 tokens, its head left out.
Random weights: speed does not depend on them. Operations are counted by formula (two for each weight and position,
attention causal) and the formula is checked against torch's FlopCounterMode on the whole models, on the meta device.
What TrajSelector reads was computed while the policy sampled; where states have to be filled in afterwards
(`nbest encode`), the policy itself re-reads the trace, and that costs as much as the reward model does.

Without a GPU only `--prm-layers` layers over `--prm-tokens` tokens of the reward model are run, and its seconds are
multiplied up in proportion (which leaves out that attention grows with the square, so it favours the reward model).
`--memory` instead makes runs of `--gigabytes` of states, scores each by `nbest score` in a process of its own and
reports that process's peak resident memory. Baseline: the reward model; the smallest run.

    python benchmarks/scoring.py --quick
    python benchmarks/scoring.py --memory --gigabytes 1 20 --folder /tmp
"""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from json_result import JsonResult, add_json_option

POLICY_HIDDEN = 4096
CLASSES = 3
POOL_SIZE = 64


@dataclass(frozen=True)
class Shape:
    """A decoder: its matrices decide its speed."""

    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int = 128

    @property
    def layer_weights(self) -> int:
        """Queries and output, keys and values, and the three matrices of the MLP."""
        return 2 * self.hidden * self.head_size * (self.heads + self.kv_heads) + 3 * self.hidden * self.mlp

    @property
    def weights(self) -> int:
        return self.layers * self.layer_weights


BODY = Shape(1024, 3072, 28, 16, 8)
"""Qwen3-0.6B."""
PRM = Shape(3584, 18944, 28, 28, 4)
"""Qwen2.5-7B, the body of Qwen2.5-Math-PRM-7B."""
AROUND_BODY = POLICY_HIDDEN * BODY.hidden + BODY.hidden**2 + BODY.hidden * CLASSES
"""The weights of TrajSelector's projection and head."""


def count_flops(shape: Shape, positions: int, more_weights: int = 0, is_causal: bool = True) -> int:
    """2 for each weight and position; attention 4 * layers * heads * head_size for each pair of positions (scores and
    sums), half of all pairs where it is causal."""
    attention = (2 if is_causal else 4) * shape.layers * shape.heads * shape.head_size * positions**2
    return 2 * (shape.weights + more_weights) * positions + attention


def write_settings(shape: Shape, model_type: str) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "vocab_size": 16,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.mlp,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "max_position_embeddings": 32768,
    }


def build_trajselector(layers: int, attention: str, device: str, dtype: Any) -> Callable[[int, int], Any]:
    """A function (trajectories, steps) that scores so many random ones."""
    import torch
    from transformers import AutoConfig, AutoModel

    from nbest.scoring.step_scorer import TrajSelectorConfig

    body = AutoConfig.for_model(**write_settings(Shape(**{**vars(BODY), "layers": layers}), "qwen3")).to_dict()
    config = TrajSelectorConfig(policy_hidden_size=POLICY_HIDDEN, layers=[36], classes=CLASSES, body=body)
    with torch.device(device):
        model = AutoModel.from_config(config, attn_implementation=attention, dtype=dtype).eval()
    return lambda trajectories, steps: (
        model(
            torch.ones(trajectories, steps, 1, POLICY_HIDDEN, dtype=dtype, device=device),
            torch.ones(trajectories, steps, dtype=torch.bool, device=device),
        ).scores
    )


def build_prm(layers: int, attention: str, device: str, dtype: Any) -> Callable[[int, int], Any]:
    """A function (trajectories, tokens) that reads so many."""
    import torch
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(**write_settings(Shape(**{**vars(PRM), "layers": layers}), "qwen2"))
    with torch.device(device):
        model = AutoModel.from_config(config, attn_implementation=attention, dtype=dtype).eval()
    return lambda trajectories, tokens: (
        model(
            input_ids=torch.ones(trajectories, tokens, dtype=torch.long, device=device),
            attention_mask=torch.ones(trajectories, tokens, dtype=torch.long, device=device),
            use_cache=False,
        ).last_hidden_state
    )


def check_flops(steps: int, tokens: int) -> dict[str, dict[str, float]]:
    """The formula without the causal half (what a plain implementation computes) beside what torch counts."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    cases = {
        "TrajSelector": (build_trajselector, BODY, steps, AROUND_BODY),
        "reward model": (build_prm, PRM, tokens, 0),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (build, shape, positions, more) in cases.items():
        run = build(shape.layers, "eager", "meta", torch.float32)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            run(1, positions)
        counted, expected = counter.get_total_flops(), count_flops(shape, positions, more, is_causal=False)
        if abs(counted / expected - 1) > 1e-4:
            raise SystemExit(f"{name}: torch counts {counted:,} operations, the formula says {expected:,}")
        found[name] = {"counted": counted, "formula": expected}
    return found


def measure_seconds(options: argparse.Namespace) -> dict[str, float]:
    """Medians of alternating runs: seconds of one trajectory, the reward model's multiplied up where it is partial."""
    import torch

    torch.manual_seed(0)
    device, dtype = options.device, getattr(torch, options.dtype)
    selector = build_trajselector(options.layers, "sdpa", device, dtype)
    prm = build_prm(options.prm_layers, "sdpa", device, dtype)
    runs = {
        "TrajSelector": lambda: selector(options.trajectories, options.steps),
        "reward model": lambda: prm(1, options.prm_tokens),
    }
    scale = {
        "TrajSelector": BODY.layers / options.layers / options.trajectories,
        "reward model": PRM.layers / options.prm_layers * options.tokens / options.prm_tokens,
    }
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for round_ in range(options.repeats + 1):
            for name, run in list(runs.items())[:: -1 if round_ % 2 else 1]:
                start = clock()
                run()
                if device == "cuda":
                    torch.cuda.synchronize()
                # The first round warms up.
                if round_:
                    taken[name].append((clock() - start) * scale[name])
    return {name: statistics.median(values) for name, values in taken.items()}


def measure_speed(options: argparse.Namespace) -> dict[str, Any]:
    flops = {
        "TrajSelector": count_flops(BODY, options.steps, AROUND_BODY),
        "reward model": count_flops(PRM, options.tokens),
    }
    seconds = measure_seconds(options)
    fewer = {f"fewer FLOPs at {steps} steps": steps for steps in sorted({100, 300, 500, 1000, options.steps})}
    ratios = {name: flops["reward model"] / count_flops(BODY, steps, AROUND_BODY) for name, steps in fewer.items()}
    sizes = ("steps", "tokens", "trajectories", "layers", "prm_layers", "prm_tokens", "dtype", "repeats", "clock")
    partial = options.prm_layers < PRM.layers or options.prm_tokens < options.tokens
    return {
        "sizes": {name: getattr(options, name) for name in sizes},
        "baseline": f"process reward model of 7B over {options.tokens} tokens",
        "weights": {"TrajSelector": BODY.weights + AROUND_BODY, "body": BODY.weights, "reward model": PRM.weights},
        "flops": flops,
        "checked": check_flops(options.steps, options.tokens),
        "trajectories_per_second": {name: 1 / value for name, value in seconds.items()},
        "multiplied_up": [
            *(["TrajSelector"] if options.layers < BODY.layers else []),
            *(["reward model"] if partial else []),
        ],
        "ratios": ratios | {"faster": seconds["reward model"] / seconds["TrajSelector"]},
        "seconds": seconds,
    }


def make_run(folder: Path, gigabytes: float, steps: int, tokens: int) -> None:
    """A run of pools of 64 with captured states as a policy of 4,096 leaves them, and a small scorer beside it."""
    from nbest.records import Completion, HiddenStates, Problem, Step, Trajectory, trajectory_id
    from nbest.scoring.step_heads import StepMlpConfig, StepMlpModel
    from nbest.storage.run import Run

    rng = np.random.default_rng(0)
    longest = steps + steps // 3
    bank = rng.standard_normal(2 * longest * POLICY_HIDDEN, dtype=np.float32)
    pools = round(gigabytes * 1e9 / (POOL_SIZE * steps * POLICY_HIDDEN * 2))
    run = Run.create(folder / "run", {"identity": {"made": "script"}, "info": {}})
    problems = [Problem(f"p{number}", "What is it?") for number in range(pools)]
    run.write_problems(problems)
    text = "A line of reasoning, as long as such lines are.\n\n" * steps + "\\boxed{1}"

    def draw(problem: str, index: int) -> Trajectory:
        count = int(rng.integers(steps - steps // 3, longest + 1))
        start = int(rng.integers(len(bank) - count * POLICY_HIDDEN))
        values = bank[start : start + count * POLICY_HIDDEN].reshape(count, 1, POLICY_HIDDEN)
        ends = np.linspace(0, tokens - 1, count + 1, dtype=int).tolist()
        spans = tuple(Step(left, right) for left, right in pairwise(ends))
        ids = rng.integers(0, 150_000, tokens, dtype=np.int32)
        logprobs = -rng.random(tokens, dtype=np.float32)
        states = HiddenStates((36,), spans, values)
        made = Completion(text, ids[:100], ids, logprobs, finish="stop", states=states)
        return Trajectory(trajectory_id(problem, index), problem, index, index, made)

    for problem in problems:
        # Sixteen at a time, so that making it needs little memory.
        for start in range(0, POOL_SIZE, 16):
            run.append_trajectories([draw(problem.id, index) for index in range(start, start + 16)])
    StepMlpModel(StepMlpConfig(policy_hidden_size=POLICY_HIDDEN, layers=[36], hidden_size=16)).save_pretrained(
        folder / "scorer"
    )


def watch(process: int) -> tuple[int, int, float]:
    """Waits for a child: its peak resident bytes, the peak until half of its time had passed, its processor seconds."""
    seen: list[int] = []
    while True:
        done, status, usage = os.wait4(process, os.WNOHANG)
        if done:
            break
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
        seen += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
        time.sleep(0.2)
    if status:
        raise SystemExit(f"nbest score failed: exit status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024, seen[len(seen) // 2], usage.ru_utime + usage.ru_stime


def measure_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak resident memory of `nbest score` on runs of several sizes, each deleted when it was measured."""
    peaks: dict[str, int] = {}
    halves: dict[str, int] = {}
    seconds: dict[str, float] = {}
    scored: dict[str, int] = {}
    for gigabytes in options.gigabytes:
        name = f"{gigabytes:g} GB"
        folder = Path(tempfile.mkdtemp(prefix="scoring-", dir=options.folder))
        try:
            free = shutil.disk_usage(folder).free
            if free < gigabytes * 1.2e9 + 5e9:
                raise SystemExit(f"{folder}: {free:,} bytes are free, too few for {name} of states")
            work = (folder, gigabytes, options.steps, options.tokens)
            # In a process of its own: what this one once held would count as its children's.
            maker = multiprocessing.get_context("spawn").Process(target=make_run, args=work)
            maker.start()
            maker.join()
            if maker.exitcode:
                raise SystemExit(f"making the run of {name} failed")
            run, report = folder / "run", folder / "report.json"
            scorer = ["--scorer", "step-mlp", "--scorer-model", str(folder / "scorer"), "--json", str(report)]
            child = subprocess.Popen([sys.executable, "-m", "nbest", "score", str(run), *scorer])
            peaks[name], halves[name], seconds[name] = watch(child.pid)
            scored[name] = json.loads(report.read_text(encoding="utf-8"))["scores"][0]["scored"]
        finally:
            shutil.rmtree(folder)
    first = next(iter(peaks))
    return {
        "sizes": {"steps": options.steps, "tokens": options.tokens, "hidden": POLICY_HIDDEN, "pool": POOL_SIZE},
        "baseline": f"the run of {first}",
        "trajectories": scored,
        "peak_rss_bytes": peaks,
        "peak_rss_bytes_at_half": halves,
        "ratios": {f"peak memory, {name} / {first}": peak / peaks[first] for name, peak in peaks.items()},
        "seconds": seconds,
    }


def print_table(result: dict[str, Any]) -> None:
    if "peak_rss_bytes" in result:
        print(f"{'states':>10}{'trajectories':>14}{'peak, MB':>10}{'at half, MB':>13}{'CPU seconds':>13}")
        for name, peak in result["peak_rss_bytes"].items():
            half, taken = result["peak_rss_bytes_at_half"][name], result["seconds"][name]
            print(f"{name:>10}{result['trajectories'][name]:14,}{peak / 1e6:10,.0f}{half / 1e6:13,.0f}{taken:13.1f}")
    else:
        print(f"{'':16}{'weights, M':>12}{'GFLOP/traj.':>14}{'traj./s':>12}{'s/traj.':>12}")
        for name, flops in result["flops"].items():
            rate, taken = result["trajectories_per_second"][name], result["seconds"][name]
            mark = " (multiplied up)" if name in result["multiplied_up"] else ""
            print(f"{name:16}{result['weights'][name] / 1e6:12,.1f}{flops / 1e9:14,.1f}{rate:12.5f}{taken:12.2f}{mark}")
        for name, check in result["checked"].items():
            print(f"{name}, attention not halved: torch counts {check['counted']:,}, formula {check['formula']:,}")
    for name, ratio in result["ratios"].items():
        print(f"{name:34}{ratio:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--trajectories", type=int, help="in one batch (2; on a GPU 27)")
    parser.add_argument("--layers", type=int, default=BODY.layers, help="of the body of TrajSelector")
    parser.add_argument("--prm-layers", type=int, help="of the reward model (1; on a GPU all)")
    parser.add_argument("--prm-tokens", type=int, help="that the reward model reads (512; on a GPU all)")
    parser.add_argument("--dtype", help="float32; on a GPU bfloat16")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a machine that others use too"
    )
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--memory", action="store_true", help="measure memory, not speed")
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 20], help="of states, with --memory")
    parser.add_argument("--folder", type=Path, help="where the run of --memory is made and deleted")
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    machine: dict[str, Any] = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    if options.memory:
        options.gigabytes = [0.5] if options.quick else options.gigabytes
        result = {"name": "scoring memory", "machine": machine, **measure_memory(options)}
    else:
        machine |= choose_sizes(options)
        result = {"name": "scoring", "machine": machine, **measure_speed(options)}
    print_table(result)
    output.write(result)


def choose_sizes(options: argparse.Namespace) -> dict[str, Any]:
    """Fills what was left open, by the machine; returns what to tell of it."""
    import torch

    has_gpu = torch.cuda.is_available()
    options.device = "cuda" if has_gpu else "cpu"
    usual = {
        "trajectories": 27 if has_gpu else 2,
        "prm_layers": PRM.layers if has_gpu else 1,
        "prm_tokens": options.tokens if has_gpu else 512,
        "dtype": "bfloat16" if has_gpu else "float32",
    }
    if options.quick:
        options.repeats = 1
        if not has_gpu:
            options.layers = min(options.layers, 2)
            usual |= {"trajectories": 1, "prm_tokens": 64}
    for name, value in usual.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    device = torch.cuda.get_device_name() if has_gpu else "cpu"
    return {"device": device, "threads": torch.get_num_threads(), "torch": torch.__version__}


if __name__ == "__main__":
    main()
