"""Sentences and phrases that state one value: `Jake has 11 apples.`, `6 more`, `at least 5`, `2 to 1`."""

import re

from nbest.answers.amounts import is_label, read_amount
from nbest.answers.intervals import EMPTY, REALS, UNBOUNDED, make_interval
from nbest.answers.notation import CURRENCY
from nbest.answers.numbers import replace_words
from nbest.answers.units import CURRENCIES
from nbest.answers.values import Endpoint, Intervals, Number, Quantity, Read, Reading


def _any_of(*phrases: str) -> str:
    return "|".join(phrases)


_EMPTY = re.compile(
    _any_of(
        r"\\varnothing ?",
        r"(?:there (?:is|are) )?(?:no|zero) (?:such |real |valid |possible |integer )*"
        r"(?:solutions?|roots?|values?)(?: exists?)?",
        r"(?:the )?empty set",
        r"no such (?:number|value|integer)s?(?: exists?)?",
        r"(?:the )?equation has no (?:real )?solutions?",
    ),
    re.IGNORECASE,
)
_REALS = re.compile(
    _any_of(
        r"\\mathbb\{R\}",
        r"(?:the set of )?(?:all )?(?:real numbers|reals)",
        r"all real (?:numbers|values)(?: (?:of )?[a-z])?",
        r"(?:[a-z] (?:is|can be) )?any real number",
    ),
    re.IGNORECASE,
)
_GREATER = r"(?:more|greater|larger|higher|less|fewer|smaller|lower) than"
_COMPARED = re.compile(
    r"(?:[A-Za-z] (?:is |must be )?)?(?P<word>"
    + _any_of(
        "at least", "at most", "no (?:less|fewer|more) than", "not (?:less|more) than",
        rf"(?:strictly )?{_GREATER}(?: or equal to)?",
        "over", "above", "under", "below", "up to", "exceeds", "a (?:minimum|maximum) of",
    )
    + r")\s+(?P<rest>.+)",
    re.IGNORECASE,
)  # fmt: skip
_OR_MORE = re.compile(
    r"(?P<rest>.+?) (?:or|and) (?P<word>more|greater|above|over|higher|less|fewer|below|under|lower)"
    r"(?P<label>[ A-Za-z]*)",
    re.IGNORECASE,
)
_TOKEN = re.compile(rf"(?<![\w.\\^_{{/])-?(?:[{re.escape(CURRENCIES)}])? ?-?(?:\d[\d,.']*|\.\d+|\\frac)")
_DENIAL = re.compile(
    r"\b(?:no|not|none|cannot|impossible|nothing|never|without|neither|unable)\b|\w+n't\b|\\ne(?![A-Za-z])",
    re.IGNORECASE,
)
_HOPELESS = re.compile(r"\b(?:no|cannot|can't|impossible|never|neither|unable|none)\b", re.IGNORECASE)
_BEFORE = re.compile(
    r"\b(?:"
    + _any_of(
        "but", "other than", "at least", "at most",
        "(?:better|more|less|fewer|greater|larger|smaller|higher|lower) than",
        "over", "under", "above", "below", "up to", "between", "nearly", "almost", "than", "except",
        "twice", "double", "triple", "half(?: of)?", "quarter of", "thirds? of", "fourth of", "square(?: root)? of",
        "cube of", "root of", "factorial of", "square", "minus", "plus", "times", "log", "sin", "cos", "tan",
        "negative of", "reciprocal of", "divided by", "multiplied by", "percent of", "multiple of", "divisor of",
        "factor of", "power of", "million", "thousand", "hundred",
        "question", "problem", "step", "exercise", "number", "part", "case", "section", "figure", "chapter", "page",
        "method", "option", "approach", "equation",
    )
    + r")[\s:]*$",
    re.IGNORECASE,
)  # fmt: skip
_STATED = re.compile(r"\b(?:is|are|equals?|was|were) ?:? *$")
_ENDING = re.compile(
    r"(.*)(?:\bis|\bare|\bequals?|\bbe|'s|:|\bto) (?:approximately |about |exactly |equal to |only )?"
    r"(?P<value>[-\d.\uff04€£¥\\(\[{+].*)$",
    re.DOTALL,
)
_MATH = re.compile(r"(?<![A-Za-z'])[b-hj-z](?![A-Za-z'])|[\^_{}\\<>|\[\]]|\d ?[-+*/^] ?\d|[A-Za-z]\(")
_LEADING = re.compile(
    r"(?:(?:about|approximately|around|roughly|exactly|only|just|approx\.?|a total of|total of|(?:the )?answer is|ans"
    r"|answer|is|are) ?:? ?)+|[≈~] ?",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"\d(?:st|nd|rd|th)\b")
_CLAUSE = re.compile(r"[,;.] |\bbut\b")
_CLAUSE_AFTER = re.compile(
    r"(?<!\d)[,;.]\s|(?<=\d)[,;.]\s(?!\d)|\b(?:but|because|since|if|when|which|than|after|before|from)\b"
)


def read_set_words(form: str) -> tuple[Reading, ...]:
    """Return the empty set for `no solution` and its kind, the real line for `all real numbers`; else ()."""
    if _EMPTY.fullmatch(form):
        return (Reading(EMPTY),)
    return (Reading(REALS),) if _REALS.fullmatch(form) else ()


def read_comparison(form: str) -> tuple[Reading, ...]:
    """Return the interval of `at least 5`, `more than 5 apples`, `5 or more`; () for anything else."""
    compared = _COMPARED.fullmatch(form)
    if compared is not None:
        number = _amount(compared["rest"])
        return () if number is None else _half_line(compared["word"].lower(), number)
    more = _OR_MORE.fullmatch(form)
    if more is None or not is_label(more["label"]):
        return ()
    number = _amount(more["rest"])
    is_more = more["word"].lower() in ("more", "greater", "above", "over", "higher")
    return () if number is None else _half_line("at least" if is_more else "at most", number)


def _amount(text: str) -> Number | None:
    value = next((reading.value for reading in read_amount(text.strip())), None)
    return value.number if isinstance(value, Quantity) else value if isinstance(value, Number) else None


def _half_line(word: str, number: Number) -> tuple[Reading, ...]:
    is_closed = word.startswith(("at ", "no ", "not ", "up to", "a m")) or word.endswith("equal to")
    is_upper = (
        re.search(r"at most|no more|not more|less|fewer|smaller|lower|under|below|up to|maximum", word) is not None
    )
    if word.startswith(("no ", "not ")):
        is_upper = "more" in word
    end = Endpoint(number, is_open=not is_closed)
    interval = make_interval(UNBOUNDED, end) if is_upper else make_interval(end, UNBOUNDED)
    return (Reading(interval),) if isinstance(interval, Intervals) else ()


def read_phrase(form: str, read: Read) -> tuple[Reading, ...]:
    """Return the value that a phrase or sentence states; () if it states none or more than one.

    The only number among the words, with its unit, unless the words before it deny it, compare it or change it; of
    several the value after the last `=`, or the one that the text ends in after "is", "are" or "equals".
    """
    leading = _LEADING.match(form)
    if leading is not None and leading.end() < len(form):
        return read(form[leading.end() :]).readings
    if "=" in form:
        return _after_equals(form)
    tokens = list(_TOKEN.finditer(form))
    if not tokens and (digits := replace_words(form)) != form:
        return read(digits).readings or read_phrase(digits, read)
    if len(tokens) == 1 and not _ORDINAL.search(form):
        return _only_number(form, tokens[0])
    ending = _ENDING.fullmatch(form)
    if ending is None or _HOPELESS.search(ending[1]):
        return ()
    return read_amount(ending["value"]) or read(ending["value"]).readings


def find_stated_formula(form: str) -> str:
    """Return the formula that a sentence ends in after "is", "are", "equals" or a colon; "" if there is none."""
    ending = _ENDING.fullmatch(form)
    is_stated = ending is not None and "\\" in ending["value"] and not _HOPELESS.search(ending[1])
    return ending["value"] if ending is not None and is_stated else ""


def _after_equals(form: str) -> tuple[Reading, ...]:
    """Return the amount behind the last `=` of a text with words."""
    before, _, after = form.rpartition("=")
    if re.search(r"[A-Za-z]{3,}", before) is None and re.search(r"[A-Za-z]{3,}", after) is None:
        return ()
    after = after.strip(" \"'")
    amount = read_amount(after)
    if amount or not after:
        return amount
    sentence = re.split(r"(?<=[\dA-Za-z])\.(?:\s|$)|\n", after, maxsplit=1)[0]
    tail = after[len(sentence) :]
    return read_amount(sentence) if not re.search(r"\d", tail) else ()


def _only_number(form: str, token: re.Match[str]) -> tuple[Reading, ...]:
    before, after = form[: token.start()], form[token.start() :]
    clause = _CLAUSE.split(before)[-1]
    is_stated = _STATED.search(before) is not None
    if _DENIAL.search(clause) or _BEFORE.search(before) or (not is_stated and _MATH.search(before)):
        return ()
    readings = read_amount(after)
    if readings:
        return readings
    sentence = _CLAUSE_AFTER.split(after, maxsplit=1)[0]
    rest = after[len(sentence) :]
    if re.search(rf"\d|[{re.escape(CURRENCY)}]", rest) or _MATH.search(rest.replace("'", "")):
        return ()
    return read_amount(sentence.strip())
