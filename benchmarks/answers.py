"""Measure the speed of checking answers against calling math-verify pair by pair, and the agreement of the verdicts.

    python benchmarks/answers.py                 100 problems x 100 samples, in typical spellings
    python benchmarks/answers.py --quick         5 problems, under a minute
    python benchmarks/answers.py --json -        one object for machines
    python benchmarks/answers.py --pairs FILE    agreement with labelled pairs ({"gold", "pred", "equal"} per line)
    python benchmarks/answers.py --pools DIR     agreement with the labels of real pools (*.jsonl.gz)

Both sides verify every answer against its target and cluster every pool. The baseline parses and compares pair by pair
(an answer with the target, then with one representative of each earlier cluster) in this process. The other side is
`Equivalence` with one worker process, whose start is included; its caches are empty at the start of each run.
"""

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from nbest.text.answers import extract_answer
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


def compare_pairs(path: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    differing: list[dict[str, Any]] = []
    with Equivalence() as equivalence:
        for number, row in enumerate(rows):
            gold, answer = (extract_answer(row[key]) or row[key] for key in ("gold", "pred"))
            verdict, note = equivalence.judge(gold, answer)
            if (verdict is True) != row["equal"]:
                differing.append({"pair": number, "gold": gold[-70:], "answer": answer[-70:], "label": row["equal"],
                                  "verdict": verdict, "note": note})  # fmt: skip
    return {"name": "pairs", "pairs": len(rows), "agreement": 1 - len(differing) / len(rows), "differing": differing}


def compare_pools(folder: Path) -> dict[str, Any]:
    tables: list[dict[str, Any]] = []
    with Equivalence() as equivalence:
        for path in sorted(folder.glob("*.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                problems = [json.loads(line) for line in lines]
            if any("answer" in sample for problem in problems for sample in problem["samples"]):
                tables.append({"pool": path.name.removesuffix(".jsonl.gz"), **_compare_pool(problems, equivalence)})
    return {"name": "pools", "pools": tables}


def _compare_pool(problems: list[dict[str, Any]], equivalence: Equivalence) -> dict[str, Any]:
    agreeing = total = broken = 0
    majority = 0.0
    differing: Counter[tuple[str, str, bool, bool]] = Counter()
    for problem in problems:
        answers = [(sample.get("answer") or "").strip() or None for sample in problem["samples"]]
        labels = [sample["correct"] for sample in problem["samples"]]
        clusters = equivalence.cluster(answers)
        verdicts = [answer is not None and equivalence.same(problem["target"], answer) for answer in answers]
        majority += _majority(clusters, labels)
        broken += len({*zip(clusters, verdicts, strict=True)}) - len({*clusters})
        total += len(answers)
        for answer, label, verdict in zip(answers, labels, verdicts, strict=True):
            agreeing += label == verdict
            if label != verdict:
                differing[(problem["target"], str(answer), label, verdict)] += 1
    first = [
        {"target": target, "answer": answer, "label": label, "verdict": verdict, "samples": count}
        for (target, answer, label, verdict), count in differing.most_common(8)
    ]
    return {"samples": total, "agreement": agreeing / total, "majority": majority / len(problems),
            "clusters_with_two_verdicts": broken, "differing": first}  # fmt: skip


def _majority(clusters: list[int | None], labels: list[bool]) -> float:
    """Return the share of right answers in the largest cluster; tied clusters share the credit."""
    votes = Counter(cluster for cluster in clusters if cluster is not None)
    winners = [cluster for cluster, count in votes.items() if count == max(votes.values())]
    shares = [[label for other, label in zip(clusters, labels, strict=True) if other == cluster] for cluster in winners]
    return sum(sum(share) / len(share) for share in shares) / len(winners) if winners else 0.0


def print_table(result: dict[str, Any]) -> None:
    if result["name"] == "answers":
        sizes, seconds = result["sizes"], result["seconds"]
        print(f"{sizes['problems']} problems x {sizes['samples']} samples, {sizes['distinct']} distinct strings")
        print(f"{'math-verify, a pair at a time':32} {seconds['baseline']:9.2f} s")
        print(f"{'nbest':32} {seconds['nbest']:9.2f} s   {result['ratios']['speedup']:.1f} x")
        print(f"different verdicts: {result['different']['verdicts']}, partitions: {result['different']['partitions']}")
        return
    for table in [result] if result["name"] == "pairs" else result["pools"]:
        print(", ".join(f"{key} {value:.4f}" if isinstance(value, float) else f"{key} {value}"
                        for key, value in table.items() if key not in ("differing", "name")))  # fmt: skip
        for row in table["differing"]:
            print("   ", json.dumps(row, ensure_ascii=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 problems, one round")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=Path, help="labelled pairs, JSON lines")
    parser.add_argument("--pools", type=Path, help="a folder of pools, *.jsonl.gz")
    parser.add_argument("--json", choices=["-"], help="write one JSON object to standard output")
    options = parser.parse_args()
    if options.pairs is not None:
        result = compare_pairs(options.pairs)
    elif options.pools is not None:
        result = compare_pools(options.pools)
    else:
        problems, rounds = (5, 1) if options.quick else (options.problems, options.rounds)
        result = compare_speed(problems, options.samples, rounds)
    if options.json:
        json.dump(result, sys.stdout)
        print()
    else:
        print_table(result)


if __name__ == "__main__":
    main()
