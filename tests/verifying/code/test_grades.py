from nbest.sandbox.executions import Outcome
from nbest.verifying.code.grades import describe_ending, shorten, show_value


def test_values_are_written_in_part() -> None:
    assert show_value([1, "a", {2}, {"b": (3,)}]) == "[1, 'a', {2}, {'b': (3,)}]"
    assert len(show_value(list(range(1_000_000)))) < 200
    assert len(show_value("x" * 1_000_000)) < 200
    assert "1,000,000 characters" in show_value("x" * 1_000_000)
    assert len(show_value(dict.fromkeys(range(10_000), "y" * 1000))) < 200
    assert show_value(10**5000) == "a int that is too large to be written"
    assert len(show_value([[[["deep" * 100] * 50] * 50] * 50])) < 300
    assert shorten("abc", 3) == "abc"


def test_endings_name_the_limit() -> None:
    assert describe_ending(Outcome("timed_out"), 6.0, 1 << 30) == "timed out after 6 s"
    assert "1.5 GiB" in describe_ending(Outcome("out_of_memory"), 6.0, 3 << 29)
    assert describe_ending(Outcome("exited", exit_code=3), 6.0, 1) == "exited with status 3"
    assert describe_ending(Outcome("killed"), 6.0, 1) == "killed"
    assert describe_ending(Outcome("killed", "ended by signal SIGSEGV"), 6.0, 1) == "ended by signal SIGSEGV"
    assert describe_ending(Outcome("raised", "ValueError: x"), 6.0, 1) == "raised ValueError: x"
