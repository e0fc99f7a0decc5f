"""Measure the checking of answers: its speed, its agreement with labelled data, and its robustness.

    python benchmarks/answers.py                 100 problems x 100 samples in typical spellings, numbers, programs
    python benchmarks/answers.py --quick         5 problems, under a minute
    python benchmarks/answers.py --data DIR      also the agreement with labelled data, and random mutations of it
    python benchmarks/answers.py --json -        one object for machines

Speed. Both sides verify every answer against its target and cluster every pool. The baseline parses and compares with
math-verify pair by pair (an answer with the target, then with one representative of each earlier cluster) in this
process. The other side is `Equivalence` with one worker process, whose start is included; its caches are empty at the
start of each run. Numeric verdicts are distinct answers against distinct targets, with nothing cached.

Agreement. DIR holds `answer_pairs.jsonl` ({"gold", "pred", "equal"}), `answers_real.jsonl.gz` ({"target", "answer",
"equal"}) and `pools/*.jsonl.gz`. math-verify is asked in the same run, as it is meant to be used: with its default
settings, on the whole texts. Mutations are random edits of these answers; all are read and compared in both orders.
"""

import argparse
import os
import platform
import random
import statistics
import time
from pathlib import Path
from typing import Any

from answers_agreement import compare_pools, compare_texts, mutate_answers, read_lines
from json_result import JsonResult, add_json_option

from nbest.verifying.equivalence import Equivalence

Pool = tuple[str, list[str]]


def make_pool(number: int, samples: int) -> Pool:
    """Return a target and sampled answers in the spellings that models use.

    About half are right; the wrong ones come from a few misconceptions and a long tail.
    """
    draw = random.Random(f"answers {number}")
    top, bottom, shift = draw.randint(2, 60), draw.randint(2, 12), draw.randint(1, 9)
    spellings = [
        lambda p, q: [f"\\frac{{{p}}}{{{q}}}", f"{p}/{q}", f"\\dfrac{{{p}}}{{{q}}}", f"x = \\frac{{{p}}}{{{q}}}"],
        lambda p, q: [f"{p * q}", f"{p * q}.0", f"{p * q}\\text{{ cm}}", f"x={p * q}", f"\\${p * q}"],
        lambda p, q: [
            f"{p}\\sqrt{{{q}}}",
            f"\\sqrt{{{p * p * q}}}",
            f"{p}\\cdot\\sqrt{{{q}}}",
            f"\\sqrt{{{q}}}\\cdot {p}",
        ],
        lambda p, q: [f"x^2+{p}x+{q}", f"{q}+{p}x+x^2", f"x(x+{p})+{q}", f"x^2 + {q} + {p}x"],
        lambda p, q: [f"({p},{q})", f"\\left({p}, {q}\\right)", f"( {p} , {q} )"],
        lambda p, q: [f"[{p},{p + q})", f"\\left[{p}, {p + q}\\right)"],
        lambda p, q: [f"\\frac{{{p}\\pi}}{{{q}}}", f"\\frac{{{p}}}{{{q}}}\\pi", f"{p}\\pi/{q}"],
    ][number % 7]
    wrong = [(top + shift, bottom), (top, bottom + shift), (top + 1, bottom)]
    answers: list[str] = []
    for _ in range(samples):
        luck = draw.random()
        value = (top, bottom) if luck < 0.5 else draw.choice(wrong) if luck < 0.9 else (draw.randint(61, 90), bottom)
        answers.append(draw.choice(spellings(*value)))
    return spellings(top, bottom)[0], answers


def run_ours(pools: list[Pool]) -> tuple[float, list[list[bool]], list[list[int | None]]]:
    started = time.perf_counter()
    with Equivalence() as equivalence:
        equivalence.read([answer for target, answers in pools for answer in [target, *answers]])
        verdicts = [[equivalence.same(target, answer) for answer in answers] for target, answers in pools]
        clusters = [equivalence.cluster(answers) for _, answers in pools]
    return time.perf_counter() - started, verdicts, clusters


def run_baseline(pools: list[Pool]) -> tuple[float, list[list[bool]], list[list[int | None]]]:
    from math_verify import parse, verify

    def check(gold: str, answer: str) -> bool:
        return verify(parse(f"${gold}$"), parse(f"${answer}$"))

    started = time.perf_counter()
    verdicts = [[check(target, answer) for answer in answers] for target, answers in pools]
    clusters: list[list[int | None]] = []
    for _, answers in pools:
        representatives: list[str] = []
        numbers: list[int | None] = []
        for answer in answers:
            number = next((i for i, other in enumerate(representatives) if check(other, answer)), None)
            if number is None:
                number = len(representatives)
                representatives.append(answer)
            numbers.append(number)
        clusters.append(numbers)
    return time.perf_counter() - started, verdicts, clusters


def compare_speed(problems: int, samples: int, rounds: int) -> dict[str, Any]:
    pools = [make_pool(number, samples) for number in range(problems)]
    baseline, ours = [], []
    different_verdicts = different_pools = 0
    for _ in range(rounds):
        seconds, expected, expected_clusters = run_baseline(pools)
        baseline.append(seconds)
        seconds, verdicts, clusters = run_ours(pools)
        ours.append(seconds)
        rows = zip(expected, verdicts, strict=True)
        different_verdicts = sum(a != b for row, other in rows for a, b in zip(row, other, strict=True))
        different_pools = sum(a != b for a, b in zip(expected_clusters, clusters, strict=True))
    slow, fast = statistics.median(baseline), statistics.median(ours)
    distinct = sum(len(set(answers)) for _, answers in pools)
    return {
        "name": "answers",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "sizes": {"problems": problems, "samples": samples, "rounds": rounds, "distinct": distinct},
        "baseline": "math-verify, a pair at a time",
        "ratios": {"speedup": slow / fast},
        "seconds": {"baseline": slow, "nbest": fast},
        "different": {"verdicts": different_verdicts, "partitions": different_pools},
    }


def measure_numbers(count: int) -> dict[str, Any]:
    """Return verdicts per minute on numeric answers, in as many spellings as `make_number` knows."""
    draw = random.Random(0)
    pairs = [(make_number(draw, value), make_number(draw, value + draw.choice((0, 0, 1)))) for value in range(count)]
    with Equivalence() as equivalence:
        started = time.perf_counter()
        right = sum(equivalence.same(target, answer) for target, answer in pairs)
        seconds = time.perf_counter() - started
    return {"verdicts": count, "right": right, "seconds": seconds, "per_minute": 60 * count / seconds}


def make_number(draw: random.Random, value: int) -> str:
    return draw.choice(
        [
            f"{value}",
            f"{value:,}",
            f"${value:,}.00",
            f"x = {value}",
            f"\\boxed{{{value}}}",
            f"\\frac{{{3 * value}}}{{3}}",
            f"{value} apples",
            f"{value}.0",
            f"\\text{{{value} cm}}",
            f"**{value}**",
        ]
    )


def measure_programs(count: int) -> dict[str, Any]:
    """Return the seconds that distinct programs take to be clustered."""
    programs = [f"def solve(n):\n    total = {k}\n    return [total * n for _ in range({k % 7})]" for k in range(count)]
    with Equivalence() as equivalence:
        started = time.perf_counter()
        clusters = len(set(equivalence.cluster(programs)))
        return {"programs": count, "clusters": clusters, "seconds": time.perf_counter() - started}


def print_tables(result: dict[str, Any]) -> None:
    sizes, seconds = result["sizes"], result["seconds"]
    print(f"{sizes['problems']} problems x {sizes['samples']} samples, {sizes['distinct']} distinct strings")
    print(f"{'math-verify, pair by pair':32} {seconds['baseline']:9.2f} s")
    print(f"{'nbest':32} {seconds['nbest']:9.2f} s   {result['ratios']['speedup']:.1f} x")
    print(f"different verdicts: {result['different']['verdicts']}, partitions: {result['different']['partitions']}")
    numbers, programs = result["numbers"], result["programs"]
    print(f"numeric answers: {numbers['per_minute']:,.0f} verdicts per minute ({numbers['verdicts']:,} distinct pairs)")
    print(f"programs: {programs['programs']:,} distinct clustered in {programs['seconds']:.2f} s")
    for table in result.get("agreement", []):
        print(f"{table['name']:24} {table['pairs']:6} pairs   nbest {table['agreement']:.2%}", end="")
        print(f"   math-verify {table['math_verify']:.2%}" if "math_verify" in table else "", end="")
        print(f"   majority {table['majority']:.4f}" if "majority" in table else "")
        for row in table["differing"]:
            print("   ", row)
    if "mutations" in result:
        mutations = result["mutations"]
        print(", ".join(f"{key} {value:,}" if isinstance(value, int) else f"{key} {value:.1f}"
                        for key, value in mutations.items()))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 problems, one round, a tenth of everything else")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder of labelled data")
    parser.add_argument("--mutations", type=int, default=100_000, help="with --data: random mutations of its answers")
    add_json_option(parser)
    options = parser.parse_args()
    output = JsonResult(options.json_out)
    problems, rounds, share = (5, 1, 10) if options.quick else (options.problems, options.rounds, 1)
    result = compare_speed(problems, options.samples, rounds)
    result["numbers"] = measure_numbers(50_000 // share)
    result["programs"] = measure_programs(8_000 // share)
    if options.data is not None:
        pairs = read_lines(options.data / "answer_pairs.jsonl")
        answers = read_lines(options.data / "answers_real.jsonl.gz")
        result["agreement"] = [
            compare_texts("labelled pairs", [(row["gold"], row["pred"], row["equal"]) for row in pairs]),
            compare_texts("real answers", [(row["target"], row["answer"], row["equal"]) for row in answers], False),
            *compare_pools(options.data / "pools"),
        ]
        texts = [row["answer"] for row in answers] + [row["pred"][-150:] for row in pairs]
        result["mutations"] = mutate_answers(texts, options.mutations // share)
    print_tables(result)
    output.write(result)


if __name__ == "__main__":
    main()
