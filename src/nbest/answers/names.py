"""The name that may stand before an equals sign, and when two names are one."""

import re

_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|varphi|chi"
    r"|psi|omega|Delta|Gamma|Omega|Phi|Sigma|Theta|ell|pi)"
)
_ACCENT = r"\\(?:vec|mathbf|bar|hat|mathcal|overline|overrightarrow)\{[A-Za-z]+\}"
_INDEX = r"(?:_(?:\{[^{}]*\}|\w))?"
_SYMBOL = rf"(?:(?:[A-Za-z]|{_GREEK}|{_ACCENT}){_INDEX}'{{0,3}})"
_SEGMENT = (
    r"(?:\\(?:overline|overrightarrow|widehat|overset\{\\frown\})\{[A-Z]{2,3}\}|[A-Z]{2,4}|\|[A-Z]{2}\||\[[A-Z]{3,6}\])"
)
_ANGLE = r"(?:m ?)?\\(?:angle|triangle) ?[A-Z]{1,4}"
_FUNCTION = rf"{_SYMBOL}(?:\^\{{-1\}})?\((?:[^()=<>]|\([^()=<>]*\))*\)"
_SIMPLE = rf"(?:{_FUNCTION}|{_ANGLE}|{_SEGMENT}|{_SYMBOL})"
_NAME = re.compile(
    rf"{_SIMPLE}|\\frac\{{{_SIMPLE}\}}\{{{_SIMPLE}\}}|{_SIMPLE}[/:]{_SIMPLE}|\((?:{_SIMPLE},? ?)+\)|\|{_SYMBOL}\|(?=\|)"
)
_BOUND = re.compile(rf"({_SYMBOL})(\^\{{-1\}})?\([a-z]\)")
_INDEXED = re.compile(r"(.+?)_(?:\{(\w+)\}|(\w))")
_LABEL = re.compile(r"(?:\\text )?[A-Za-z][A-Za-z' ]{2,60}")
_FUNCTIONS = re.compile(r"(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|max|min|gcd|lcm|mod|det)\b")


def read_name(text: str) -> str | None:
    """Return the normal form of a name, "" for a label of plain words (`Area`), None if the text is neither.

    Names are a symbol with its index, a function of anything (`f(x)`), a segment or angle (`AB`, `|AB|`,
    `\\angle ABC`), a quotient or ratio of two of these, a tuple of symbols. The argument of a function is bound where
    it is one small letter: `f(x)` and `f(n)` are one name. sin, log and their kind are functions, never names.
    """
    text = text.strip()
    if _FUNCTIONS.match(text.lstrip("\\")) or text in ("e", "i", "\\pi"):
        return None
    if _NAME.fullmatch(text):
        bound = _BOUND.fullmatch(text)
        if bound is not None:
            return f"{bound[1]}{bound[2] or ''}()"
        name = re.sub(r"\s|[|]", "", text)
        indexed = _INDEXED.fullmatch(name)
        return f"{indexed[1]}_{indexed[2] or indexed[3]}" if indexed is not None else name
    return "" if _LABEL.fullmatch(text) else None


def differ_in_index(names: list[str]) -> bool:
    """Return whether names are one letter with different indices (`x_1`, `x_2`)."""
    stems = {name.partition("_")[0] for name in names}
    return len(stems) == 1 and all("_" in name for name in names)
