"""What grading one program gave, and the words for it: notes that say what failed, in a length that can be read."""

from dataclasses import dataclass
from reprlib import Repr

from nbest.plurals import show_count
from nbest.sandbox.executions import Outcome

INPUT_CHARACTERS = 120
VALUE_CHARACTERS = 100
_ENDINGS = {
    "timed_out": "timed out after {seconds:g} s",
    "out_of_memory": "needed more than the {memory} of memory that are allowed",
    "too_much_output": "printed or returned more than is allowed",
}


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of one program: `correct` None = it could not be graded, and `note` says why."""

    correct: bool | None
    note: str = ""


def shorten(text: str, characters: int = VALUE_CHARACTERS) -> str:
    """Return `text` in at most about `characters` characters, without its middle where it is longer."""
    if len(text) <= characters:
        return text
    part = characters // 2
    return f"{text[:part]} ... {text[-part:]} ({show_count(len(text), 'character')})"


def show_value(value: object, characters: int = VALUE_CHARACTERS) -> str:
    """Return a value as Python writes it, shortened; of a long list or text only parts are written at all.

    A value that cannot be written is named by its type.
    """
    if isinstance(value, str):
        return repr(shorten(value, characters))
    try:
        return shorten(_WRITER.repr(value), characters)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes
        return f"a {type(value).__name__} that is too large to be written"


def _make_writer() -> Repr:
    writer = Repr()
    writer.maxlevel = 12
    writer.maxlist = writer.maxtuple = writer.maxset = writer.maxfrozenset = writer.maxdict = writer.maxdeque = 60
    writer.maxstring = writer.maxlong = writer.maxother = 2 * VALUE_CHARACTERS
    return writer


_WRITER = _make_writer()


def name_test(number: int, total: int) -> str:
    """Return how a note names a test: `test 2 of 5`, from 0."""
    return "the test" if total == 1 else f"test {number + 1} of {total}"


def describe_ending(outcome: Outcome, seconds: float, memory_bytes: int) -> str:
    """Return how a program ended that did not run to its end: which limit, or its exception."""
    ending = _ENDINGS.get(outcome.status)
    if ending is not None:
        return ending.format(seconds=seconds, memory=f"{memory_bytes / (1 << 30):g} GiB")
    message = shorten(outcome.message.strip(), 2 * VALUE_CHARACTERS)
    if outcome.status == "raised":
        return f"raised {message}" if message else "raised an exception"
    if outcome.status == "exited":
        return message or f"exited with status {outcome.exit_code}"
    return message or outcome.status.replace("_", " ")
