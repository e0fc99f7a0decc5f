"""From conversations to ids: control tokens in a message are text, everything else is as the template says."""

import pytest
from transformers import AutoTokenizer

from nbest.errors import ConfigError
from nbest.records import Message, user_message
from nbest.sampling.checkpoint import locate_checkpoint
from nbest.sampling.tokenizing import tokenize_messages


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(locate_checkpoint("bundled:arithmetic"))


def controls(tokenizer):
    return [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]


def test_plain_messages_are_tokenized_by_the_template(tokenizer):
    turns = [{"role": "user", "content": "1 + 2"}]
    expected = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert tokenize_messages(tokenizer, user_message("1 + 2")) == list(expected)
    assert tokenize_messages(tokenizer, user_message("1 + 2"), "none") == tokenizer("1 + 2")["input_ids"]


@pytest.mark.parametrize("template", ["chat", "none"])
def test_control_tokens_in_a_message_are_text(tokenizer, template):
    special = set(tokenizer.all_special_ids)
    plain = [token for token in tokenize_messages(tokenizer, user_message("1 + 2"), template) if token in special]
    assert controls(tokenizer)
    for text in controls(tokenizer):
        for content in (text, f"1 {text} 2", f"{text}{text}", f"{text[:3]}{text}{text[3:]}"):
            ids = tokenize_messages(tokenizer, user_message(content), template)
            assert [token for token in ids if token in special] == plain


def test_no_messages_are_refused(tokenizer):
    with pytest.raises(ConfigError, match="at least one message"):
        tokenize_messages(tokenizer, ())


def test_a_template_that_refuses_a_conversation_says_so():
    refusing = AutoTokenizer.from_pretrained(locate_checkpoint("bundled:arithmetic"))
    refusing.chat_template = "{{ raise_exception('no system turn') }}"
    with pytest.raises(ConfigError, match=r"refuses the roles system, user: no system turn"):
        tokenize_messages(refusing, (Message("system", "s"), Message("user", "u")))
