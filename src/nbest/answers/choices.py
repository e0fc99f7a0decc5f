"""The letters of a multiple-choice answer: one or several, in prose, markdown or latex.

A text is brought to plain characters first: latex commands, markdown and quotes go, square brackets become round ones.
Then the last statement of an answer counts ("the answer is C", "the correct options are A and D"); without one the
last choice in other words ("option C is correct", "so we select (C)"); then a line that is only a letter; then a text
or last line that begins with a lettered option ("C. Paris"). A negated letter, a supposed one ("if the answer is A")
and a mention of another option ("option A is wrong") are no statements. Two letters joined by "or" are no answer.

A capital stands alone; a small letter needs brackets or the end of its sentence, and so do A and I, which are words.

This module does not know boxes, tags, reasoning or targets.
"""

import re
from collections.abc import Iterator

from nbest.answers.sentences import is_complete, is_supposed, is_taken_back

_LONGEST_ANSWER = 500
_CHOICE_AREA = 8_000
"""Characters at the end of a text in which a choice in other words is looked for."""
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|[()\[\]])|\\[^A-Za-z{}]|~")
_MARKUP = re.compile(r"\\[{}]|[$*_`{}\"\u201c\u201d#]|(?<![A-Za-z])['\u2018\u2019]|['\u2018\u2019](?![A-Za-z])")
_SPACES = re.compile(r"[^\S\n]+")
_BRACKETS = str.maketrans("[]", "()")

_ENDS_WELL = (
    r"(?=\s*$|\s?[.,;:)!?\n(/&]|\s[-\u2013\u2014](?:\s|$)|,?\s(?i:because|since|as|which|and|or|is|are|with|for|due"
    r"|given|not|but|in|from)\b)"
)
_CAPITAL = rf"(?:[AI](?![\w'\u2019+]){_ENDS_WELL}|[B-HJ-Z](?![\w'\u2019+])(?!-\w|\s?[=^]))"
_SMALL = r"[a-z](?=\)|\s*$|\s?[.,;:](?:\s|$)|\n)(?!\.[a-z])"
_ITEM = rf"(?:(?i:options?|choices?|answers?)\s)?(?:\(\s?[A-Za-z]\s?\)|(?<![\w'\u2019-])(?:{_CAPITAL}|{_SMALL})\)?)"
_JOINT = r"(?:\s?[,;/&+]\s?(?:and\s|&\s?)?|\sand\s)"
_LIST = rf"{_ITEM}(?:{_JOINT}{_ITEM}(?!\s(?i:is|was|has|would|does|cannot|can|gives|says)\b)){{0,9}}"
_LETTERS = re.compile(_LIST)
_RUN = re.compile(r"\(?([A-HJ]{2,9})\)?(?=\s*$|\s?[.,;:\n])")
_OR = re.compile(r"\s?,?\s?(?i:or)\s(?:(?i:options?|choices?)\s)?\(?[A-Za-z]\b(?!\w)")
_LETTER = re.compile(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_OPTION_WORD = re.compile(r"(?i:\b(?:options?|choices?|answers?)\b)")

_MARKER = re.compile(
    r"(?i:\b(?:answers?|ans|(?:correct|right|best|final|chosen|selected|appropriate|suitable|likely)"
    r"\s(?:options?|choices?|statements?|letters?|responses?|selection|one))\b)"
    r"(?:\s(?i:choices?|options?|letters?))?(?:\s(?i:to|for|of|in|here|among|from)\b[^.\n:?]{0,80}?)?"
    r"\s?(?::|=|->|[-\u2013\u2014\u2192\u21d2]\s|\n"
    r"|(?i:\b(?:is|are|would be|should be|must be|will be|has to be|can only be|seems to be|appears to be))\b)"
)
_FILLER = re.compile(
    r"(?:[\s:=>\u2192\u21d2]|(?i:most likely|therefore|thus|hence|clearly|simply|likely|probably|definitely|actually"
    r"|indeed|obviously|certainly|then|still|now|just|the|correct|one|both|is|are|only|options?|choices?|letters?"
    r"|answers?|statements?)\b,?){0,16}+"
)
_REFUSAL = re.compile(
    r"(?i:I\s(?:do|can|am|don|cannot|would)\b|(?:un(?:known|clear|decided|determined)|none|not\s(?:sure|enough|known)"
    r"|cannot|can't|n/a|no\s(?:answer|option))\b)"
)
_NOT = re.compile(rf"(?i:not)\s(?:{_LIST})\s?,?\s(?i:but|rather)\s(?i:rather\s)?")

_LEAD = r"(?i:therefore|thus|hence|so|consequently|in conclusion|finally|accordingly)"
_VERDICT = (
    r"\s(?i:(?:is|are|seems|must be)\s(?:the\s|thus\s|therefore\s|clearly\s|indeed\s|also\s|both\s|only\s|most\s|single"
    r"\s|best\s|likely\s){0,4}(?:correct|right|best|answer))\b"
)
_CHOICES = (
    re.compile(rf"(?P<letters>{_LIST}){_VERDICT}"),
    re.compile(
        r"(?i:\b(?:choos(?:e|ing)|chose|select(?:ed|ing)?|pick(?:ed|ing)?|(?:go|going|went) with|opt for|mark))\s"
        rf"(?i:the\s)?(?i:letter\s)?(?P<letters>{_LIST})"
    ),
    re.compile(
        rf"\b{_LEAD},?\s(?i:(?:it|that|this)(?:\sis|'s|\u2019s|\smust be|\sshould be)\s|we (?:have|get)\s"
        rf"|the (?:option|choice|letter) is\s)?(?i:the\s)?(?P<letters>{_LIST})(?=\s?(?:[.!\n]|$))"
    ),
    re.compile(
        r"(?i:\b(?:corresponds? to|match(?:es|ing)?|which is|that is|this is|namely|leads? to|gives|yields))\s"
        rf"(?i:the\s)?(?P<letters>(?i:options?|choices?|answer|letter)\s{_LIST})"
    ),
    re.compile(
        r"(?i:\b(?:it(?:'s|\u2019s|\sis|\smust be|\sshould be)|i(?:'d|\swould) say))\s(?i:the\s)?"
        rf"(?P<letters>{_LIST})(?=\s?(?:[.,!\n]|$))"
    ),
)
_REJECTED = re.compile(r"(?i:n't|n\u2019t|\bnot|\bnever|cannot)(?:\s\w+)?\s$")
_CORRECTION = re.compile(r"(?i:\b(?:wait|actually|no|correction|instead|rather|sorry|mistake)\b)")
_LINE = re.compile(rf"^\s?({_LIST})[.:]?\s?$", re.MULTILINE)
_LABEL = re.compile(
    r"^\s?(?:(?i:options?|choices?)\s(?=[(A-Z]))?(?:\(\s?([A-Za-z])\s?\)|([A-Z])(?=\)|[.:](?:\s|$)|\s[-\u2013\u2014]\s"
    r"|,?\s(?i:because|since)\b|\s*$)|([a-z])(?=\)))",
    re.MULTILINE,
)


def read_letters(answer: str) -> tuple[str, ...]:
    """Return the letters that an answer is: `C`, `(c)`, `C. 12 apples`, `\\text{(C)}`, `A and D`, `ACD`.

    They are in upper case, each once, in the order of the alphabet; () for anything else.
    """
    if len(answer) > _LONGEST_ANSWER:
        return ()
    plain = _to_plain(answer).strip().removesuffix(".").strip()
    word = _OPTION_WORD.match(plain)
    plain = plain[word.end() :].lstrip(" :") if word else plain
    whole = _letters_at(plain, 0)
    if whole is not None:
        letters, end = whole
        is_alone = not plain[end:].strip(" .,;:")
        if is_alone or (len(letters) == 1 and _LABEL.match(plain)):
            return letters
    if re.fullmatch(r"[a-z]", plain):
        return (plain.upper(),)
    return ()


def write_letters(letters: tuple[str, ...]) -> str:
    """Return letters as one answer: `A, C`."""
    return ", ".join(letters)


def find_letters(text: str, is_cut: bool = False, needs_final: bool = False) -> str | None:
    """Return the letters that a text states in words, as `write_letters` writes them; None where it states none.

    Of a text that was cut only a statement counts that is complete and not taken back; with `needs_final` it must
    say "final answer".
    """
    plain = _to_plain(text)
    statement = _last_statement(plain, is_cut, needs_final)
    if is_cut or needs_final:
        return write_letters(statement[0]) if statement and statement[0] else None
    choice = _last_choice(plain, max(statement[1] if statement else 0, len(plain) - _CHOICE_AREA))
    if statement is not None:
        is_corrected = choice is not None and _CORRECTION.search(plain, statement[1], choice[1]) is not None
        letters = choice[0] if choice is not None and is_corrected else statement[0]
    else:
        letters = choice[0] if choice is not None else _lone_letters(plain)
    return write_letters(letters) if letters else None


def _to_plain(text: str) -> str:
    plain = _MARKUP.sub("", _COMMAND.sub(" ", text)).translate(_BRACKETS)
    return _SPACES.sub(" ", plain)


def _letters_at(plain: str, start: int) -> tuple[tuple[str, ...], int] | None:
    """Return the letters listed at `start` and where they end; None where there are none or "or" joins them."""
    run = _RUN.match(plain, start)
    if run is not None and list(run[1]) == sorted(set(run[1])):
        return tuple(run[1]), run.end()
    listed = _LETTERS.match(plain, start)
    if listed is None or _OR.match(plain, listed.end()):
        return None
    return _distinct(listed[0]), listed.end()


def _distinct(listed: str) -> tuple[str, ...]:
    letters = _LETTER.findall(_OPTION_WORD.sub(" ", listed))
    return tuple(sorted({letter.upper() for letter in letters}))


def _last_statement(plain: str, is_cut: bool, needs_final: bool) -> tuple[tuple[str, ...], int] | None:
    """Return the letters of the last statement of an answer and where it ends; no letters for a refusal."""
    last: tuple[tuple[str, ...], int] | None = None
    for marker in _MARKER.finditer(plain):
        if needs_final and "final" not in plain[max(0, marker.start() - 8) : marker.end()].lower():
            continue
        start = _end_of_filler(plain, marker.end())
        denial = _NOT.match(plain, start)
        if denial is not None:
            start = _end_of_filler(plain, denial.end())
        stated = _letters_at(plain, start)
        if stated is None:
            if _REFUSAL.match(plain, start):
                last = ((), start)
            continue
        if is_supposed(plain, marker.start()):
            continue
        if (is_cut or needs_final) and not (is_complete(plain, stated[1]) and not is_taken_back(plain, stated[1])):
            continue
        last = stated
    return last


def _end_of_filler(plain: str, start: int) -> int:
    filler = _FILLER.match(plain, start)
    return start if filler is None else filler.end()


def _last_choice(plain: str, start: int) -> tuple[tuple[str, ...], int] | None:
    """Return the letters of the last choice in other words after `start`, and where it begins."""
    last: tuple[tuple[str, ...], int] | None = None
    for match in _choices_after(plain, start):
        is_rejected = _REJECTED.search(plain[max(0, match.start() - 20) : match.start()]) is not None
        if is_rejected or is_supposed(plain, match.start()) or _OR.match(plain, match.end("letters")):
            continue
        if last is None or match.start() >= last[1]:
            last = (_distinct(match["letters"]), match.start())
    return last


def _choices_after(plain: str, start: int) -> Iterator[re.Match[str]]:
    for pattern in _CHOICES:
        yield from pattern.finditer(plain, start)


def _lone_letters(plain: str) -> tuple[str, ...]:
    """Return the letters of the last line that is nothing else; else those of the only lettered option at the start of
    the text or of its last line."""
    lines = [match for match in _LINE.finditer(plain) if _LETTER.search(match[1])]
    if lines:
        return _distinct(lines[-1][1])
    stripped = plain.strip()
    labels = {match.group(match.lastindex or 0).upper() for match in _LABEL.finditer(stripped)}
    if len(labels) == 1:
        last_line = stripped.rpartition("\n")[2]
        if _LABEL.match(stripped) or _LABEL.match(last_line):
            return tuple(labels)
    return ()
