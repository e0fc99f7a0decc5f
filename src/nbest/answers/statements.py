"""Answers that are stated in words: "the answer is 42", `Answer: 42`, `#### 42`, "Therefore, x = 42.".

No number is picked out of the working: every rule needs words or a form that announce an answer. Each function reads
a bounded part of the text behind its mark. This module does not know boxes, tags, reasoning or letters of choices.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from nbest.answers.sentences import is_supposed, is_taken_back

_LONGEST_ANSWER = 500
_LONGEST_TAIL = 1_200
_MARKERS_TRIED = 20
_LONGEST_PARAGRAPH = 8_000
_LONGEST_PROMPT = 60
"""Characters of a next turn, such as `<|im_start|>user`, that a model may begin after its answer."""

_NUMBER_WORD = (
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    r"|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|half)\b"
)
_VALUE = re.compile(rf"\d|\\[A-Za-z]|[\u03c0\u221e\u221a\u00bd\u00bc\u00be\u2205]|{_NUMBER_WORD}", re.IGNORECASE)
_SYMBOL = re.compile(r"\W*[A-Za-z]\W*")
_MATH = re.compile(
    r"\$\$([^$]+)\$\$|(?<!\\)\$(?![\s$])([^$\n]{1,400}?)(?<![\s\\])\$(?!\d)|\\\((.{1,400}?)\\\)|\\\[(.{1,800}?)\\\]",
    re.DOTALL,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,400})\*\*")
_STOP = re.compile(r"\.(?=[\s\"*)]|$)|\n|[!?](?=\s+[A-Z]|\s*$)")
_CONNECTOR = re.compile(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])|,|;")
_SPECIAL_TOKEN = re.compile(r"<\|\w+\|>|</?s>|<eos>|<end_of_turn>|\[/?INST\]")

_MARKER = re.compile(
    r"\b(?:answers?|final\s(?:results?|values?|solutions?))\b[*_`\"')]{0,3}"
    r"(?:\s(?:to|for|of|in|here)\b[^.\n:=$]{0,80}?)?\s{0,3}"
    r"(?:(?P<colon>[:=\u2192\u21d2]|->)|(?P<heading>\*{0,2}[ \t]{0,3}\n)"
    r"|\b(?:is|are|must be|should be|would be|will be|has to be|equals|comes to|turns out to be)\b\s{0,3}:?"
    r"|(?=\$|\\\(|\\\[))[\s*]{0,6}",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"(?:(?:therefore|thus|hence|indeed|simply|just|clearly|then|exactly|also|still|now|equal to|given by)\b,?\s{0,3}"
    r"){0,4}",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(
    r"(?:not|(?:in)?correct|right|wrong|obvious|clear|clearly|unique|valid|consistent|reasonable|verified|confirmed|found"
    r"|derived|below|above|as follows|let|we|first|since|because|in order|in the form|i (?:do|can|am)|unknown)\b",
    re.IGNORECASE,
)
_EXPLANATION = re.compile(r",? (?:because|since)\b|, (?:as|so|which|where|and so|but)\b", re.IGNORECASE)
_LINE = re.compile(r"^[ \t]{0,8}(####|A:)[ \t]{0,8}([^\n]*)", re.MULTILINE)
_HEADING = re.compile(
    r"\W*(?:\d+[.)]\s|\([a-z\d]\)\s|(?:step|case|part|problem|question|solution|answer|final|conclusion|explanation"
    r"|verification|check|method|approach|summary|result|given|note|therefore|thus)\b)",
    re.IGNORECASE,
)
_NUMERIC = re.compile(r"[-+\u2212]?[$\u20ac\u00a3]?[\d.,/%\\{}()^ ]*\d[\d.,/%\\{}()^ ]*(?:[A-Za-z]+ ?){0,2}\.?")

_BLANK_LINE = re.compile(r"\n[ \t]{0,8}\n")
_LEAD = re.compile(
    r"[^A-Za-z$\\\d]{0,6}(?:(?:therefore|thus|hence|so|consequently|accordingly|finally|altogether|overall"
    r"|in (?:conclusion|summary|total)|as a result|this means|it follows|we (?:conclude|get|find|obtain)|this gives)\b"
    r"(?: us)?(?: that)?|\u2234)[,:]?\s{0,3}"
    r"(?:(?:we (?:get|find|obtain|have|conclude)|it follows)(?: that)?[,:]?\s{0,3})?",
    re.IGNORECASE,
)
_CAPITAL_LEAD = re.compile(
    r"(?<=[$\]).])\s(?=(?:Therefore|Thus|Hence|So|Consequently|Finally|In (?:conclusion|total))\b)"
)
_RESULT = re.compile(
    r"\W{0,6}(?:(?:the|our|my|its|this|his|her|their|in total,?)\s)?(?:[\w'-]+\s){0,6}?"
    r"(?:results?|values?|total|sum|solutions?|product|quotient|difference|output|remainder|probability|number|amount"
    r"|cost|price|area|volume|perimeter|length|average|mean|median|ratio|percentage|distance|speed|age|profit"
    r"|maximum|minimum|date|day|time|year)\b",
    re.IGNORECASE,
)
_ENDING = re.compile(
    r".{0,400}(?:\b(?:is|are|was|were|equals|becomes|comes to|amounts to|must be|will be)\b|=)"
    r"(?: (?:equal to|exactly|therefore|thus|indeed))?[ :]{0,3}(?P<value>\S.{0,120})",
    re.IGNORECASE | re.DOTALL,
)
_VALUE_START = re.compile(
    rf"[-+\u2212\u00b1\u2248~*]{{0,3}}\s?[$\u20ac\u00a3\u00a5]?\s?(?:\d|\.\d|\\[A-Za-z(\[]|[(\[{{$\u221a\u03c0]"
    rf"|{_NUMBER_WORD})",
    re.IGNORECASE,
)
_NAMED = re.compile(r"[A-Za-z](?:_\{?\w{1,4}\}?|\(\w{1,4}\)|')? ?= ?[^=]+")
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_NUMBERS = re.compile(r"\d[\d,]*(?:\.\d+)?")
_COURTESY = re.compile(
    r"\W*(?:i hope|let me know|please|feel free|if you|hope this|is there|thank|would you|does this|good luck"
    r"|note that|note:)\b",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"(?:[A-Za-z](?:_\w|\(\w\))? ?= ?)?(?=[-+\u2212\u00b1(\[{$\u20ac\u00a3\u00a5\\\d.\u221a\u03c0])"
    r"(?:\\[A-Za-z]+|[^A-Za-z\n<]|(?<![A-Za-z])[A-Za-z](?![A-Za-z])){0,200}(?:[A-Za-z]{2,15}[ .]{0,2}){0,2}"
)


WordRule: TypeAlias = Literal["never", "last", "always"]
"""When an answer may be words without a value: see `find_statement`."""


class Statement(NamedTuple):
    """A stated answer and where the text after it begins."""

    answer: str
    end: int


def find_statement(
    text: str, start: int = 0, *, is_cut: bool = False, needs_final: bool = False, words: WordRule = "last"
) -> str | None:
    """Return what follows the last "answer is", "answer:" or heading "Final Answer" from `start` on, or None.

    It is the first bold text or the last formulas of that sentence, else the sentence. Words without a value count
    after a colon and as the last words of the text (`words` "last"), never, or always; with "always" the answer after
    a colon is the whole line. A supposed answer ("if the answer is 5") is none. With `is_cut` the sentence must be
    complete and not taken back; with `needs_final` the words must be "final answer".
    """
    markers = list(_MARKER.finditer(text, start))[: -_MARKERS_TRIED - 1 : -1]
    for marker in markers:
        if is_supposed(text, marker.start()):
            continue
        if needs_final and "final" not in text[max(0, marker.start() - 8) : marker.end()].lower():
            continue
        statement = _read_after(text, marker, is_cut, words)
        if statement is not None:
            return None if is_cut and is_taken_back(text, statement.end) else statement.answer
    return None


def _read_after(text: str, marker: re.Match[str], is_cut: bool, words: WordRule) -> Statement | None:
    raw = text[marker.end() : marker.end() + _LONGEST_TAIL]
    tail = _SPECIAL_TOKEN.split(raw, maxsplit=1)[0].lstrip(' \n\t"')
    filler = _FILLER.match(tail)
    tail = tail[filler.end() :] if filler else tail
    is_announced = bool(marker["colon"] or marker["heading"])
    length, is_closed = _measure_sentence(tail)
    if words == "always" and is_announced:
        length, is_closed = len(tail.partition("\n")[0]), "\n" in tail
    sentence = tail[:length]
    bold = _BOLD.search(sentence)
    candidate = _tidy(_end_formulas(bold[1] if bold else sentence))
    if not candidate or len(candidate) > _LONGEST_ANSWER or _NO_ANSWER.match(candidate):
        return None
    if is_cut and not is_closed:
        return None
    if not is_value(candidate) and words != "always":
        is_last = len(candidate.split()) <= 3 and len(tail.strip()) <= len(candidate) + 3
        if words == "never" or not (is_last or (is_announced and len(candidate.split()) <= 8)):
            return None
    end = marker.end() + raw.find(tail) + length if tail else marker.end()
    return Statement(candidate, end)


def is_value(candidate: str) -> bool:
    """Return whether a text holds a number, a latex command, a number word, or is a single symbol."""
    return _VALUE.search(candidate) is not None or _SYMBOL.fullmatch(candidate) is not None


def _measure_sentence(tail: str) -> tuple[int, bool]:
    """Return where the first sentence ends (formulas are not looked into), and whether something ends it."""
    position = 0
    for formula in _MATH.finditer(tail):
        stop = _STOP.search(tail, position, formula.start())
        if stop is not None and stop.end() <= formula.start():
            return stop.start(), True
        position = formula.end()
    stop = _STOP.search(tail, position)
    return (stop.start(), stop[0] == "\n" or stop.end() < len(tail)) if stop is not None else (len(tail), False)


def _end_formulas(sentence: str) -> str:
    """Return the formulas at the end of a sentence with their unit; the whole sentence where there are none."""
    formulas = list(_MATH.finditer(sentence))
    if not formulas or len(re.findall(r"\w+", sentence[formulas[-1].end() :])) > 1:
        return sentence
    first = len(formulas) - 1
    while first > 0 and not _CONNECTOR.sub("", sentence[formulas[first - 1].end() : formulas[first].start()]).strip():
        first -= 1
    return sentence[formulas[first].start() :]


def _tidy(sentence: str) -> str:
    cut = _EXPLANATION.search(sentence)
    tidy = sentence[: cut.start()] if cut else sentence
    tidy = tidy.strip(' *"').removesuffix("\\").removesuffix('"}').removeprefix("- ")
    return tidy if re.search(r"[^\W_]|\\", tidy) else ""


def find_line(text: str, is_cut: bool = False) -> str | None:
    """Return the content of the last line `#### x` or `A: x`, the form of GSM8K; None where there is none.

    A markdown heading of level four is no such line: before other lines only a number counts. A cut text's own last
    line may be cut itself.
    """
    last: str | None = None
    for match in _LINE.finditer(text):
        mark, content = match[1], _SPECIAL_TOKEN.split(match[2][:_LONGEST_ANSWER], maxsplit=1)[0].strip(" \t\r*")
        if not content or (is_cut and match.end() == len(text)):
            continue
        is_last = not text[match.end() : match.end() + _LONGEST_ANSWER].strip()
        if _NUMERIC.fullmatch(content) and not re.match(r"\d+[.)] ", content):
            last = content
        elif mark == "A:":
            last = content if len(content.split()) <= 8 else last
        elif is_last and not _HEADING.match(content):
            last = content
    return last


def find_conclusion(text: str) -> str | None:
    """Return the value that the last paragraph ends on in a concluding sentence, or None.

    Such a sentence begins with "therefore", "so", "in total", ... or names a result ("The total cost is $42."), and
    ends with a formula, with "is VALUE", with `x = VALUE`, or has one number only ("So Jake has 11 apples.").
    """
    for sentence in _last_sentences(text):
        lead = _LEAD.match(sentence)
        rest = sentence[lead.end() :] if lead else sentence
        if lead is None and not _RESULT.match(sentence):
            continue
        value = _conclude(rest.strip(), lead is not None)
        if value is not None:
            return value
    return None


def _last_sentences(text: str) -> Iterator[str]:
    """Yield up to three sentences of the last paragraph that says something, the last one first."""
    area = text[-_LONGEST_PARAGRAPH:].strip()
    token = _SPECIAL_TOKEN.search(area, max(0, len(area) - _LONGEST_PROMPT))
    blocks = [block for block in _BLANK_LINE.split(area[: token.start()] if token else area) if block.strip()]
    while len(blocks) > 1 and _COURTESY.match(blocks[-1]):
        blocks.pop()
    rest = blocks[-1].replace("**", "") if blocks else ""
    sentences: list[str] = []
    while rest.strip():
        length, _ = _measure_sentence(rest)
        # After a displayed formula no full stop may separate the conclusion: a capital "Therefore" begins a sentence.
        sentences += [part.strip() for part in _CAPITAL_LEAD.split(rest[:length]) if part.strip()]
        rest = rest[length + 1 :]
    while sentences and _COURTESY.match(sentences[-1]):
        sentences.pop()
    yield from sentences[:-4:-1]


def _conclude(rest: str, is_led: bool) -> str | None:
    if not is_value(rest) or "<<" in rest or len(rest) > _LONGEST_ANSWER or rest.endswith(","):
        return None
    formulas = _end_formulas(rest)
    if formulas != rest or _MATH.fullmatch(rest):
        return _tidy(formulas) or None
    if is_led and _NAMED.fullmatch(rest):
        return rest
    ending = _ENDING.fullmatch(rest)
    if ending is not None and _VALUE_START.match(ending["value"]) and not _is_computation(rest):
        value = _tidy(ending["value"])
        if value and len(_WORDS.findall(value)) <= 6:
            return value
    has_one_number = len(_NUMBERS.findall(rest)) == 1 and len(_WORDS.findall(rest)) <= 20
    return rest if is_led and has_one_number else None


def _is_computation(rest: str) -> bool:
    """Return whether a sentence is arithmetic alone (`6 * 7 = 42`), which is working and no conclusion."""
    return "=" in rest and not _WORDS.search(rest) and not _NAMED.fullmatch(rest)


def find_whole(text: str) -> str | None:
    """Return the whole text where it is one line that is nothing but a number or formula, with at most two words of a
    unit; else None."""
    whole = _SPECIAL_TOKEN.split(text, maxsplit=1)[0].strip() if len(text) <= 4 * _LONGEST_ANSWER else ""
    if not whole or len(whole) > _LONGEST_ANSWER or not is_value(whole) or "<<" in whole or "\\boxed" in whole:
        return None
    if _MATH.fullmatch(whole):
        return whole
    bare = whole.strip("*` ")
    return whole if "\n" not in whole and _BARE.fullmatch(bare) and re.search(r"\d|\\", bare) else None
