"""The judge of `score` and `select`: its settings come from flags or a file, its model is loaded on first use."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from nbest.config import GenerativeConfig, load_config
from nbest.errors import ConfigError

if TYPE_CHECKING:
    from nbest.judging.models import JudgeModel


def read_judge_config(
    model: str | None = None, file: Path | None = None, seed: int | None = None
) -> GenerativeConfig | None:
    """Return the settings of a judge: the settings in `file`, with `model` and `seed` in place of its own.

    None if neither a model nor a file is named. Raises ConfigError.
    """
    if model is None and file is None:
        return None
    config = GenerativeConfig() if file is None else load_config(GenerativeConfig, file)
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    if model is not None:
        if config.policy.type == "scripted":
            raise ConfigError(f"--judge: {str(file)!r} has a policy of type 'scripted', which has no model to replace")
        changes["policy"] = config.policy.model_copy(update={"model": model})
    return config.model_copy(update=changes)


class JudgeLoader:
    """Loads the judge at the first call and returns the same one at later calls; an async context that closes it."""

    def __init__(self, config: GenerativeConfig):
        self.config = config
        self._model: JudgeModel | None = None

    def __call__(self) -> "JudgeModel":
        if self._model is None:
            from nbest.judging.models import load_judge

            self._model = load_judge(self.config)
        return self._model

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._model is not None:
            await self._model.aclose()
