"""What can be asked, and what is refused with a message that names the fault."""

from typing import Any

import pytest

from nbest.answering.questions import read_messages, read_question, render_conversation
from nbest.errors import ConfigError
from nbest.records import Message, Problem

CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": [{"type": "text", "text": "Times "}, {"type": "text", "text": "3?"}]},
]


def test_a_text_is_one_user_message_with_an_id_of_its_content() -> None:
    problem, messages = read_question("2 + 2?")
    assert messages == (Message("user", "2 + 2?"),)
    assert (problem.id, problem.prompt, problem.kind) == ("question-5d7de9c05df77eba", "2 + 2?", "math")
    assert read_question("2 + 2? ")[0].id != problem.id


def test_the_same_question_has_the_same_id_in_every_form() -> None:
    forms: list[Any] = [
        "2 + 2?",
        [{"role": "user", "content": "2 + 2?"}],
        [{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}],
        (Message("user", "2 + 2?"),),
    ]
    assert len({read_question(form)[0].id for form in forms}) == 1


def test_a_conversation_keeps_its_messages_and_reads_as_text() -> None:
    problem, messages = read_question(CONVERSATION)
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[3].content == "Times 3?"
    assert problem.prompt == "system: Be brief.\n\nuser: 2 + 2?\n\nassistant: 4\n\nuser: Times 3?"
    assert problem.meta["messages"][3] == ["user", "Times 3?"]


def test_a_system_message_alone_with_the_user_is_named_in_the_text() -> None:
    assert render_conversation([Message("user", "x")]) == "x"
    assert render_conversation([Message("system", "s"), Message("user", "x")]) == "system: s\n\nuser: x"


def test_a_problem_keeps_its_id_and_kind() -> None:
    problem = Problem("p7", "Which?", "B", "choice")
    assert read_question(problem) == (problem, (Message("user", "Which?"),))
    assert read_question(problem, "math")[0].kind == "math"
    assert read_question("Which?", "choice")[0].kind == "choice"


def test_fields_that_a_client_leaves_empty_are_no_fault() -> None:
    (message,) = read_messages([{"role": "user", "content": "x", "name": None, "tool_calls": None}])
    assert message == Message("user", "x")


@pytest.mark.parametrize(
    ("question", "faults"),
    [
        ("", ["question: the text is empty"]),
        (" \n", ["question: the text is empty"]),
        ([], ["messages: the list is empty"]),
        (7, ["question: got int; allowed are text, a list of messages, a Problem"]),
        ([{"role": "tool", "content": "x"}], ["messages[0].role: got 'tool'; allowed are 'system', 'user', "]),
        ([{"content": "x"}], ["messages[0].role: got None"]),
        ([{"role": "user"}], ["messages[0].content: got NoneType; allowed is text or a list of text parts"]),
        ([{"role": "user", "content": []}], ["messages[0].content: it is empty"]),
        ([{"role": "user", "content": 5}], ["messages[0].content: got int"]),
        (["x"], ["messages[0]: got str; a message is nbest.Message"]),
        ([{"role": "user", "content": "x", "name": "Ann"}], ["messages[0]: unknown keys 'name'; allowed are role"]),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "..."}}]}],
            ["messages[0].content[0]: got a part of type 'image_url'; allowed is {'type': 'text'"],
        ),
        (
            [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
            ["messages[1].role: the last message must be of role 'user', not 'assistant'"],
        ),
        (
            [{"role": "robot", "content": "x"}, {"role": "user", "content": ["y"]}],
            ["messages[0].role: got 'robot'", "messages[1].content[0]: got str"],
        ),
    ],
)  # fmt: skip
def test_a_faulty_question_is_named_with_what_is_allowed(question: Any, faults: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        read_question(question)
    assert len(refused.value.faults) == len(faults)
    for message, fault in zip(refused.value.faults, faults, strict=True):
        assert message.startswith(fault)


def test_a_problem_without_a_prompt_is_refused() -> None:
    with pytest.raises(ConfigError, match="problem 'p1': its prompt is empty"):
        read_question(Problem("p1", " "))
