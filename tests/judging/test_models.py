"""A loaded model that judges: who closes it."""

from collections.abc import AsyncGenerator, Sequence

from nbest.config import GenerativeConfig, PolicyConfig
from nbest.judging.models import JudgeModel, load_judge
from nbest.protocols import PolicyDescription, Sampler, Vocabulary
from nbest.records import Completion, Message, SamplingParams
from nbest.verifying.equivalence import Equivalence


class ClosableSampler(Sampler):
    """A sampler that counts how often it is closed."""

    def __init__(self) -> None:
        self.close_count = 0

    async def sample(
        self,
        messages: Sequence[Message],  # noqa: ARG002
        seeds: Sequence[int],
        params: SamplingParams,  # noqa: ARG002
    ) -> AsyncGenerator[tuple[int, Completion], None]:
        for seed in seeds:
            yield seed, Completion("Judgment: 0", finish="stop")

    def describe(self) -> PolicyDescription:
        return PolicyDescription({}, {})

    @property
    def vocabulary(self) -> Vocabulary | None:
        return None

    def count_flops(self, prompt_tokens: int, sampled_tokens: int) -> float:  # noqa: ARG002
        return 0.0

    async def aclose(self) -> None:
        self.close_count += 1


async def test_closing_a_model_closes_its_sampler_once() -> None:
    sampler = ClosableSampler()
    model = JudgeModel(GenerativeConfig(), sampler)
    with Equivalence() as equivalence:
        model.settings(equivalence)
    assert sampler.close_count == 0
    await model.aclose()
    assert sampler.close_count == 1


async def test_a_model_that_was_loaded_can_be_closed() -> None:
    model = load_judge(GenerativeConfig(policy=PolicyConfig(type="scripted", script=("Judgment: 0",))))
    assert model.count_tokens is None
    await model.aclose()
