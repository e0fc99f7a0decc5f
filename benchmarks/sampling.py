"""How fast is sampling, and what does keeping hidden states cost?

Tokens a second of TransformersSampler, without and with capture of the last layer's states, against transformers'
`model.generate(do_sample=True, num_return_sequences=N)` on the same prompts with the same settings: called once a
problem (what people do), and with several left-padded prompts a call (as many rows as our batch has). Runs alternate
in one process; medians. Only tokens up to the end token count, padding does not.

    python benchmarks/sampling.py --quick
    python benchmarks/sampling.py --problems 64 --n 32 --json -
"""

import argparse
import asyncio
import os
import platform
import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from json_result import JsonResult, add_json_option
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from nbest.problems.arithmetic import generate_problems
from nbest.records import SamplingParams, derive_seed, user_message
from nbest.sampling.checkpoint import Checkpoint, describe_checkpoint, load_checkpoint
from nbest.sampling.collecting import collect
from nbest.sampling.transformers import TransformersSampler

MARKS = ["<pad>", "<eos>"]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = "wall"


def create_random_checkpoint(hidden: int, layers: int, vocabulary: int = 320) -> Checkpoint:
    """A Qwen3 of random weights over words: of 320 tokens two end a completion and sixteen end a step."""
    torch.manual_seed(0)
    words = [*MARKS, *(chr(code) for code in range(32, 127)), *(f".{index}\n\n" for index in range(16))]
    words += [f"w{index}" for index in range(vocabulary - len(words))]
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 3,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=max(1, hidden // 64),
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        eos_token_id=1,
        pad_token_id=0,
    )
    model = Qwen3ForCausalLM(config).eval().requires_grad_(False)
    model.generation_config.eos_token_id = [0, 1]
    return describe_checkpoint(model, tokenizer, name="random")


def read_clock() -> float:
    return CLOCKS[clock]()


def create_prompts(count: int) -> list[str]:
    return [problem.prompt for problem in generate_problems("test", count)]


def run_sampler(sampler: TransformersSampler, prompts: list[str], n: int, params: SamplingParams) -> tuple[float, int]:
    async def run() -> tuple[float, int]:
        start = read_clock()
        seeds = [[derive_seed(0, prompt, index) for index in range(n)] for prompt in prompts]
        calls = [
            collect(sampler, user_message(prompt), draw, params) for prompt, draw in zip(prompts, seeds, strict=True)
        ]
        pools = await asyncio.gather(*calls)
        return read_clock() - start, sum(len(completion.tokens) for pool in pools for completion in pool)

    # The clock stops inside: Python 3.11's `asyncio.run` writes out the repr of what its main task returns, arrays too.
    return asyncio.run(run())


@torch.inference_mode()
def run_generate(
    checkpoint: Checkpoint, prompts: list[str], n: int, params: SamplingParams, prompts_per_call: int
) -> tuple[float, int]:
    start, total = read_clock(), 0
    ids = sorted((checkpoint.tokenize_prompt(user_message(prompt)) for prompt in prompts), key=len)
    ends = torch.tensor(sorted(checkpoint.end_tokens))
    pad = int(ends[0])
    for first in range(0, len(ids), prompts_per_call):
        part = ids[first : first + prompts_per_call]
        width = max(map(len, part))
        rows = torch.tensor([[pad] * (width - len(row)) + row for row in part])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in part])
        output = checkpoint.model.generate(
            rows.to(checkpoint.device),
            attention_mask=mask.to(checkpoint.device),
            do_sample=True,
            num_return_sequences=n,
            max_new_tokens=params.max_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            eos_token_id=ends.tolist(),
            pad_token_id=pad,
        )
        ended = torch.isin(output[:, width:].cpu(), ends)
        total += int((ended.cumsum(dim=1) - ended.long() == 0).sum())
    return read_clock() - start, total


def measure(checkpoint: Checkpoint, options: argparse.Namespace) -> dict[str, Any]:
    prompts = create_prompts(options.problems)
    plain = SamplingParams(options.temperature, options.top_p, options.top_k, max_tokens=options.max_tokens)
    kept = replace(plain, capture=(-1,))
    sampler = TransformersSampler.from_checkpoint(checkpoint, options.batch_rows)
    per_call = max(1, options.batch_rows // options.n)
    runs = {
        "sampler": lambda: run_sampler(sampler, prompts, options.n, plain),
        "sampler with states": lambda: run_sampler(sampler, prompts, options.n, kept),
        "generate, a problem a call": lambda: run_generate(checkpoint, prompts, options.n, plain, 1),
        f"generate, {per_call} problems a call": lambda: run_generate(checkpoint, prompts, options.n, plain, per_call),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(options.repeats + 1):
        # Every other round runs backwards, so that a machine that slows down favours nobody.
        for name, run in list(runs.items())[:: -1 if round_ % 2 else 1]:
            taken, tokens = run()
            # The first round warms up.
            if round_ or options.repeats == 0:
                seconds[name].append(taken)
                rates[name].append(tokens / taken)
    cost = measure_states(sampler, prompts[:16], options.n, plain, options.pairs)
    sampler.close()
    rate = {name: statistics.median(values) for name, values in rates.items()}
    names = list(runs)
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(checkpoint.device),
        "torch": torch.__version__,
    }
    chosen = ("problems", "n", "max_tokens", "batch_rows", "repeats", "temperature", "top_p", "top_k", "clock")
    described = {name: checkpoint.info[name] for name in ("model", "parameters", "dtype")}
    return {
        "name": "sampling",
        "machine": machine,
        "sizes": {**described, **{name: getattr(options, name) for name in chosen}},
        "baseline": names[2],
        "tokens_per_second": rate,
        "ratios": {
            "sampler / generate": rate[names[0]] / rate[names[2]],
            "sampler / generate padded": rate[names[0]] / rate[names[3]],
            "cost of states": cost,
        },
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
    }


def measure_states(
    sampler: TransformersSampler, prompts: list[str], n: int, plain: SamplingParams, pairs: int
) -> float:
    """What capture adds, as a fraction: all runs with it against all without, alternating, on the same seeds."""
    seconds = {False: 0.0, True: 0.0}
    kept = replace(plain, capture=(-1,))
    for number in range(2 * pairs):
        has_states = number % 4 in (1, 2)
        seconds[has_states] += run_sampler(sampler, prompts, n, kept if has_states else plain)[0]
    return seconds[True] / seconds[False] - 1


def print_table(result: dict[str, Any]) -> None:
    print(f"{'':34}{'tokens/s':>10}{'seconds':>10}")
    for name, rate in result["tokens_per_second"].items():
        print(f"{name:34}{rate:10.0f}{result['seconds'][name]:10.2f}")
    for name, ratio in result["ratios"].items():
        print(f"{name:34}{ratio:10.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled:arithmetic")
    parser.add_argument("--random", action="store_true", help="random weights in place of --model")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--batch-rows", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=12, help="pairs of runs for the cost of states")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: for a machine that others use too")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    global clock
    clock = options.clock
    if options.quick:
        options.problems, options.max_tokens, options.repeats, options.pairs = 8, 64, 1, 3
    if options.random:
        checkpoint = create_random_checkpoint(options.hidden, options.layers)
    else:
        checkpoint = load_checkpoint(options.model, device=options.device)
    result = measure(checkpoint, options)
    print_table(result)
    output.write(result)


if __name__ == "__main__":
    main()
