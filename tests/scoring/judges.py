"""Pools, judges and settings for tests of generative selectors: no model."""

import asyncio
import re
from contextlib import aclosing

import numpy as np

from nbest.judging.candidates import JudgeSettings
from nbest.judging.conversation import Judge, RetrySettings
from nbest.judging.prompts import PromptFormat
from nbest.protocols import Sampler
from nbest.records import Completion, Pool, Trajectory
from nbest.sampling.scripted import ScriptedSampler


class Strings:
    """Takes answers for equal where their strings are."""

    def cluster(self, answers, _kind="math"):
        numbers = {}
        return [None if answer is None else numbers.setdefault(answer, len(numbers)) for answer in answers]

    def same(self, a, b, _kind="math"):
        return a == b


def make_pool(*texts, kind="math", problem_id="p"):
    """A pool of these texts: "ANSWER: words" has that answer, a text without a colon none, None has failed."""
    trajectories = []
    for index, text in enumerate(texts):
        answer = text.partition(": ")[0] if text and ": " in text and kind == "math" else None
        completion = Completion("", finish="error", note="failed") if text is None else Completion(text, finish="stop")
        trajectories.append(Trajectory(f"{problem_id}#{index}", problem_id, index, index, completion, answer))
    return Pool(problem_id, "Which?", tuple(trajectories), kind)


def list_candidates(prompt):
    """The texts of the candidates of a compact prompt, in their order."""
    return re.split(r"\nCandidate \d+\n\n", prompt)[:-1]


def prefer(*words):
    """A judge that picks the candidate with the first of `words` that it finds; without any it names no candidate."""

    def reply(prompt, _seed):
        candidates = list_candidates(prompt)
        for word in words:
            for number, text in enumerate(candidates):
                if word in text:
                    return spend(f"Judgment: {number}", len(candidates))
        return spend("I cannot say.", len(candidates))

    return reply


def spend(text, prompt_tokens, finish="stop"):
    """A completion of 2 sampled tokens."""
    return Completion(text, np.zeros(prompt_tokens, np.int32), np.zeros(2, np.int32), finish=finish)


def make_settings(reply, retry=None, clock=lambda: 0.0, **settings):
    sampler = reply if isinstance(reply, Sampler) else ScriptedSampler(reply)
    judge = Judge(sampler, retry or RetrySettings(), clock)
    return JudgeSettings(judge, Strings(), PromptFormat("compact", "keep"), **settings)


class SlowSampler(ScriptedSampler):
    """Replies after `seconds`; counts how many calls are open at once."""

    def __init__(self, seconds, reply="Judgment: 0"):
        super().__init__([reply])
        self.seconds = seconds
        self.open = self.most = 0

    async def sample(self, messages, seeds, params):
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.open -= 1
        async with aclosing(super().sample(messages, seeds, params)) as finished:
            async for seed, completion in finished:
                yield seed, completion
