"""The sandbox of a command: opened when a selector first needs it, and its outcomes kept in the run."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from nbest.sandbox.executions import Sandbox
from nbest.sandbox.opening import open_sandbox
from nbest.selecting.execution.remembering import RememberingSandbox


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What isolates programs: `backend` as in `nbest.sandbox.opening.open_sandbox`.

    With `allow_unsandboxed` programs run without isolation where this machine offers none.
    """

    backend: str = "auto"
    allow_unsandboxed: bool = False

    def open(self) -> Sandbox:
        """Open the sandbox. Raises ConfigError, and UnavailableError where nothing isolates."""
        return open_sandbox(self.backend, allow_unsandboxed=self.allow_unsandboxed)


class SandboxLoader:
    """Opens the sandbox at the first call and returns the same one at later calls; an async context that closes it.

    `run` is the folder of the run where outcomes are kept, None keeps them in memory.
    """

    def __init__(self, settings: SandboxSettings, run: Path | None = None):
        self._settings = settings
        self._run = run
        self._sandbox: Sandbox | None = None

    def __call__(self) -> Sandbox:
        """Return the sandbox. Raises ConfigError, and UnavailableError where nothing isolates."""
        if self._sandbox is None:
            self._sandbox = RememberingSandbox(self._settings.open(), self._run)
        return self._sandbox

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sandbox is not None:
            await self._sandbox.aclose()
