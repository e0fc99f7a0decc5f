"""Errors in a command line, which repeat what was typed: they are shown as text (see `text.visible`)."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from typer.core import TyperGroup

from nbest.text.visible import show_text


@runtime_checkable
class UsageFault(Protocol):
    """An error of typer in a command line."""

    message: str

    def format_message(self) -> str: ...


class CommandGroup(TyperGroup):
    """A group of commands whose errors hold no hidden characters."""

    def make_context(self, *words: Any, **options: Any) -> Any:
        """Parse the options of the group itself."""
        with _show_faults():
            return super().make_context(*words, **options)

    def invoke(self, ctx: Any) -> Any:
        """Parse the rest of the command line and run the command."""
        with _show_faults():
            return super().invoke(ctx)


@contextmanager
def _show_faults() -> Generator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, UsageFault):
            error.message = show_text(error.message)
        raise
