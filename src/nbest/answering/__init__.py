"""The main entry point of the library: ask a question, get the answer to trust.

    with nbest.BestOfN("bundled:arithmetic", "vote:trajselector-fused", n=16) as bon:
        result = bon.ask("A shop has 47 pens. It buys 86 more. It sells 35. ...")  # await bon.aask(...)
        results = bon.ask_many(questions)  # await bon.aask_many(...)
        for event in bon.stream(question): ...  # async for event in bon.astream(...)

    policy     "bundled:arithmetic" | "Qwen/Qwen3-8B" | "models/mine" | PolicyConfig(type="openai", ...) | any Sampler
    selector   "majority" | "vote:deepconf-bottom(window=16)" | {"name": "vote", "scorer": "clue"} | any Selector
    question   "2 + 2?" | [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}] | Problem
    judge      "bundled:genselect" | GenerativeConfig(...) | any Sampler: the model that a selector like genselect calls
    run        "runs/mine": a run folder that stores trajectories, scores and selections

`questions.py` reads a question, `plan.py` checks the settings, `opening.py` loads the models, `flow.py` draws, scores
and selects, `run_keeping.py` keeps it all in a run folder, `events.py` has the events and the result.
"""

from nbest.answering.best_of_n import BestOfN

__all__ = ["BestOfN"]
