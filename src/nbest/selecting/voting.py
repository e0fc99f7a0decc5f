"""Majority vote over equal answers (self-consistency, Wang et al. 2022, arXiv 2203.11171).

Rules
    Every attempt that has an answer casts one vote for its cluster of equal answers; which answers are equal is said
    by a `Clusterer`, the same one that grades. Attempts without an answer and failed attempts do not vote.
    The cluster with most votes wins; of equal ones, the cluster whose first member has the lowest index. (Evaluation
    lets tied clusters share the credit.) The pick is the winner's member with the lowest index.
    Without any vote the pool abstains.

This module does not know how answers are read or compared, and never sees a target.
"""

import asyncio
from collections import Counter

from nbest.records import Pool, Selection
from nbest.selecting.scored import abstention, has_failed
from nbest.text.answers import answer_of
from nbest.verifying.equivalence import Clusterer


class MajoritySelector:
    """Picks a member of the largest cluster of equal answers; `confidence` is that cluster's share of the votes.

    `equivalence` is asked in a thread of its own, so that pools can be selected concurrently.
    """

    name = "majority"

    def __init__(self, equivalence: Clusterer):
        self._equivalence = equivalence

    async def select(self, pool: Pool) -> Selection:
        order = sorted(range(len(pool.trajectories)), key=lambda place: pool.trajectories[place].index)
        voters = [place for place in order if not has_failed(pool.trajectories[place])]
        if not voters:
            return abstention(pool)
        answers = [answer_of(pool.trajectories[place], pool.kind) for place in voters]
        clusters = await asyncio.to_thread(self._equivalence.cluster, answers)
        votes = Counter(cluster for cluster in clusters if cluster is not None)
        if not votes:
            return abstention(pool, f"none of {len(voters)} attempts has an answer")
        most = max(votes.values())
        place = next(at for at, cluster in enumerate(clusters) if cluster is not None and votes[cluster] == most)
        tied = sum(1 for count in votes.values() if count == most)
        note = f"{tied} answers tie with {most} votes each; the first one stated wins" if tied > 1 else ""
        return Selection(pool.problem_id, voters[place], answers[place], most / votes.total(), note=note)
