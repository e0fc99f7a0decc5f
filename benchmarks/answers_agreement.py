"""Agreement of verdicts with labelled data, beside math-verify, and the robustness of reading: parts of answers.py."""

import gzip
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from nbest.answers.comparing import find_equal
from nbest.answers.extraction import extract_answer
from nbest.answers.reading import read_answer
from nbest.verifying.equivalence import Equivalence

_SHOWN = 8
_INSERTED = [
    *"0123456789.,;:/%$+-*^_=<>(){}[]|\\'\"! abxyzni\n",
    *(r"\frac", r"\sqrt", r"\pm", r"^\circ", r"\cup", r"\begin{pmatrix}", r"\end{pmatrix}", r"\text{", r"\boxed{"),
    *(" and ", "9^9^9", "!!!", "e5000", " million", "1e999"),
]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines, compressed or not."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def compare_texts(name: str, pairs: list[tuple[str, str, bool]], is_extracted: bool = True) -> dict[str, Any]:
    """Return the agreement of nbest and of math-verify with the labels of (target, text, equal).

    `is_extracted`: both sides are texts, in which nbest looks for the answer first; else they are answers.
    """
    from math_verify import parse, verify

    differing: list[dict[str, Any]] = []
    agreeing = 0
    with Equivalence() as equivalence:
        for target, text, is_equal in pairs:
            first, second = ((extract_answer(t) or t) if is_extracted else t for t in (target, text))
            comparison = equivalence.compare(first, second)
            if (comparison.is_equal is True) != is_equal:
                differing.append({"target": first[-60:], "answer": second[-80:], "label": is_equal})
            agreeing += _ask_math_verify(parse, verify, target, text, is_extracted) == is_equal
    return {
        "name": name,
        "pairs": len(pairs),
        "agreement": 1 - len(differing) / len(pairs),
        "math_verify": agreeing / len(pairs),
        "differing": differing[:_SHOWN],
    }


def _ask_math_verify(parse: Any, verify: Any, target: str, text: str, is_text: bool) -> bool:
    """Return the verdict of math-verify: on whole texts, or on answers, which it expects between dollars."""
    try:
        if is_text:
            return bool(verify(parse(target), parse(text)))
        return bool(verify(parse(f"${target}$"), parse(f"${text}$")) or verify(parse(target), parse(text)))
    except Exception:  # noqa: BLE001  what math-verify cannot digest it has not verified
        return False


def compare_pools(folder: Path) -> list[dict[str, Any]]:
    """Return the agreement with the labels of pools, and the accuracy of their majority."""
    tables: list[dict[str, Any]] = []
    with Equivalence() as equivalence:
        for path in sorted(folder.glob("*.jsonl.gz")):
            problems = read_lines(path)
            samples = [sample for problem in problems for sample in problem["samples"]]
            if all("answer" in sample and "correct" in sample for sample in samples):
                tables.append({"name": path.name.removesuffix(".jsonl.gz"), **_compare_pool(problems, equivalence)})
    return tables


def _compare_pool(problems: list[dict[str, Any]], equivalence: Equivalence) -> dict[str, Any]:
    agreeing = total = 0
    majority = 0.0
    differing: Counter[tuple[str, str, bool]] = Counter()
    for problem in problems:
        answers = [(sample.get("answer") or "").strip() or None for sample in problem["samples"]]
        labels = [sample["correct"] for sample in problem["samples"]]
        majority += _majority(equivalence.cluster(answers), labels)
        total += len(answers)
        for answer, label in zip(answers, labels, strict=True):
            verdict = answer is not None and equivalence.same(problem["target"], answer)
            agreeing += label == verdict
            if label != verdict:
                differing[(problem["target"], str(answer), label)] += 1
    rows = [
        {"target": target, "answer": answer, "label": label, "samples": count}
        for (target, answer, label), count in differing.most_common(_SHOWN)
    ]
    return {"pairs": total, "agreement": agreeing / total, "majority": majority / len(problems), "differing": rows}


def _majority(clusters: list[int | None], labels: list[bool]) -> float:
    """Return the share of right answers in the largest cluster; tied clusters share the credit."""
    votes = Counter(cluster for cluster in clusters if cluster is not None)
    winners = [cluster for cluster, count in votes.items() if count == max(votes.values())]
    shares = [[label for other, label in zip(clusters, labels, strict=True) if other == cluster] for cluster in winners]
    return sum(sum(share) / len(share) for share in shares) / len(winners) if winners else 0.0


def mutate_answers(texts: list[str], count: int) -> dict[str, Any]:
    """Read `count` random mutations of answers and compare each with its original in both orders.

    An exception ends the benchmark; `slowest` is the longest time that reading and comparing one mutation took.
    """
    draw = random.Random(0)
    asymmetric = equal = 0
    slowest = 0.0
    for _ in range(count):
        text = draw.choice(texts)
        mutation = _mutate(text, texts, draw)
        started = time.perf_counter()
        first, second = read_answer(mutation), read_answer(text)
        forward, backward = find_equal(first, second) is not None, find_equal(second, first) is not None
        slowest = max(slowest, time.perf_counter() - started)
        asymmetric += forward != backward
        equal += forward
    return {"mutations": count, "asymmetric": asymmetric, "equal": equal, "slowest in ms": 1000 * slowest}


def _mutate(text: str, texts: list[str], draw: random.Random) -> str:
    for _ in range(draw.randint(1, 4)):
        position, kind = draw.randint(0, len(text)), draw.random()
        if kind < 0.5:
            text = text[:position] + draw.choice(_INSERTED) + text[position:]
        elif kind < 0.75:
            text = text[:position] + text[position + draw.randint(1, 3) :]
        else:
            text = text[:position] + draw.choice(texts)[:40] + text[position:]
    return text
