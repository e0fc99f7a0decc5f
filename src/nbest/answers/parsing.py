"""Parse mathematical expressions in TeX and in plain notation into a tree.

Recursive descent over tokens: products without a sign bind as `*` does, functions without brackets take the product
that follows them. The depth and the length of an expression are bounded, and nothing here calls `eval`. What a tree is
worth is `nbest.answers.evaluation`.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

LONGEST_EXPRESSION = 400
_DEEPEST = 40


class NotAnExpression(ValueError):
    """The text is not an expression that this parser reads, or has no finite value."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. `name` is the operation, the function or the symbol; `number` the value of a literal."""

    name: str
    arguments: "tuple[Node, ...]" = ()
    number: Fraction | None = None


_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<command>\\[A-Za-z]+)|(?P<word>[A-Za-z]+)|(?P<sign>[-+*/^_!()\[\]{}|%:']))"
)
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp sqrt max min gcd lcm abs".split()
)
_GREEK = frozenset(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta kappa lambda mu nu xi rho sigma tau phi varphi "
    "chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell hbar".split()
)
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_PRODUCTS = frozenset({"\\cdot", "\\times", "\\ast", "*"})
_OPEN = {"(": ")", "[": "]", "{": "}"}
_APPLIED = frozenset("fghFGHPQW")
_LETTER_RUN = re.compile(r"[abcxyz]{3,6}|[A-Za-z]{1,2}")
_WORDS = frozenset(
    "is no of km cm mm kg or if at in to be by my we he on an as am pm ft lb oz mi do so go us it".split()
)
_DEGREE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree")


def parse(text: str) -> Node:
    """Return the tree of an expression in normal form. Raises NotAnExpression."""
    if len(text) > LONGEST_EXPRESSION:
        raise NotAnExpression("too long")
    return _Parser(_DEGREE.sub(" \\\\degrees ", text)).parse_all()


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position, text = 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NotAnExpression(f"{text[position]!r}")
        word = match["word"]
        tokens.extend(_split_word(word) if word else [match[0].strip()])
        position = match.end()
    return tokens


def _split_word(word: str) -> list[str]:
    """Return the tokens of a run of letters: a function, pi, or symbols side by side."""
    if word in _FUNCTIONS or word == "pi":
        return ["\\" + word]
    for name in ("sqrt", "pi"):
        if word.endswith(name) and len(word) == len(name) + 1:
            return [word[0], "\\" + name]
    if word in _WORDS or not _LETTER_RUN.fullmatch(word):
        raise NotAnExpression(f"the word {word!r}")
    return list(word)


class _Parser:
    """Recursive descent over the tokens; products without a sign bind as `*` does, from left to right."""

    def __init__(self, text: str):
        self._tokens = _tokens(text)
        self._position = 0
        self._depth = 0
        self._bars = 0

    def parse_all(self) -> Node:
        node = self._sum()
        if self._position < len(self._tokens):
            raise NotAnExpression(f"{self._tokens[self._position]!r} after an expression")
        return node

    @property
    def _next(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self, expected: str = "") -> str:
        token = self._next
        if not token or (expected and token != expected):
            raise NotAnExpression(f"{expected or 'a value'} is missing")
        self._position += 1
        return token

    def _sum(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NotAnExpression("too deep")
        node = self._product()
        while self._next in ("+", "-"):
            sign = self._take()
            right = self._product()
            node = Node("+", (node, right if sign == "+" else Node("negative", (right,))))
        self._depth -= 1
        return node

    def _product(self) -> Node:
        node = self._signed()
        while True:
            token = self._next
            if token in _PRODUCTS:
                self._take()
                node = Node("*", (node, self._signed()))
            elif token in ("/", "\\div"):
                self._take()
                node = Node("/", (node, self._signed()))
            elif self._starts_factor(token) and not token[0].isdigit() and token[0] != ".":
                node = Node("*", (node, self._power()))
            else:
                return node

    def _starts_factor(self, token: str) -> bool:
        if token == "|":
            return self._bars == 0
        return (
            bool(token)
            and (token[0].isalnum() or token[0] == "." or token in _OPEN or token.startswith("\\"))
            and (token not in ("\\div", "\\cdot", "\\times", "\\ast", "\\degrees", "\\rfloor", "\\rceil", "\\rvert"))
        )

    def _signed(self) -> Node:
        if self._next in ("-", "+"):
            sign = self._take()
            node = self._signed()
            return Node("negative", (node,)) if sign == "-" else node
        return self._power()

    def _power(self) -> Node:
        return self._raised(self._atom())

    def _raised(self, node: Node) -> Node:
        while True:
            if self._next == "^":
                self._take()
                node = Node("^", (node, self._exponent()))
            elif self._next == "!":
                self._take()
                node = Node("factorial", (node,))
            elif self._next == "\\degrees":
                self._take()
                node = Node("*", (node, Node("/", (Node("\\pi"), _literal(180)))))
            elif self._next == "%":
                self._take()
                node = Node("/", (node, _literal(100)))
            else:
                return node

    def _exponent(self) -> Node:
        if self._next in ("-", "+"):
            return Node("negative", (self._exponent(),)) if self._take() == "-" else self._exponent()
        return self._atom()

    def _group(self) -> Node:
        closing = _OPEN[self._take()]
        bars, self._bars = self._bars, 0
        node = self._sum()
        self._take(closing)
        self._bars = bars
        return node

    def _atom(self) -> Node:
        token = self._next
        if not token:
            raise NotAnExpression("a value is missing")
        if token[0].isdigit() or token[0] == ".":
            return self._literal()
        if token in _OPEN:
            return self._group()
        if token in ("|", "\\lvert"):
            return self._absolute()
        if token.startswith("\\"):
            return self._command()
        if token.isalpha():
            return self._symbol(self._take())
        raise NotAnExpression(f"{token!r} where a value is expected")

    def _literal(self) -> Node:
        """Return a number; a whole number before a proper fraction is a mixed number (`1\\frac{1}{2}`)."""
        node, position = _literal(Fraction(self._take())), self._position
        if self._next == "\\frac":
            fraction = self._command()
            if _is_mixed(node, fraction):
                return Node("+", (node, fraction))
            self._position = position
        return node

    def _absolute(self) -> Node:
        closing = "|" if self._take() == "|" else "\\rvert"
        self._bars += 1
        node = self._sum()
        self._take(closing)
        self._bars -= 1
        return Node("abs", (node,))

    def _command(self) -> Node:
        name = self._take()[1:]
        if name == "frac":
            return Node("/", (self._argument(), self._argument()))
        if name == "binom":
            return Node("binomial", (self._argument(), self._argument()))
        if name == "sqrt":
            return self._root()
        if name in ("lfloor", "lceil"):
            node = self._sum()
            self._take("\\rfloor" if name == "lfloor" else "\\rceil")
            return Node("floor" if name == "lfloor" else "ceiling", (node,))
        if name in ("pi", "infty"):
            if name == "infty":
                raise NotAnExpression("infinity")
            return Node("\\pi")
        if name in _FUNCTIONS:
            return self._function(name)
        if name in _GREEK:
            return self._symbol("\\" + name)
        if name in ("vec", "mathbf", "bar", "hat", "overline", "mathbb", "mathcal"):
            return self._accented(name)
        raise NotAnExpression(f"the command \\{name}")

    def _accented(self, name: str) -> Node:
        self._take("{")
        letter = self._take()
        if not letter.isalpha():
            raise NotAnExpression(f"\\{name} of more than a letter")
        self._take("}")
        return self._symbol(f"{name} {letter}")

    def _argument(self) -> Node:
        """Return the argument of a TeX command: a group, or a single digit or token."""
        if self._next == "{":
            return self._group()
        token = self._next
        if token.isdigit() and len(token) > 1:
            self._tokens[self._position] = token[1:]
            return _literal(int(token[0]))
        return self._atom()

    def _root(self) -> Node:
        degree = _literal(2)
        if self._next == "[":
            degree = self._group()
        return Node("^", (self._argument(), Node("/", (_literal(1), degree))))

    def _function(self, name: str) -> Node:
        base, power = None, None
        if self._next == "_" and name == "log":
            self._take()
            base = self._argument()
        if self._next == "^":
            self._take()
            power = self._exponent()
        if power == Node("negative", (_literal(1),)) and name in _INVERSE:
            name, power = _INVERSE[name], None
        node = Node(name, self._arguments() if base is None else (*self._arguments(), base))
        return node if power is None else Node("^", (node, power))

    def _arguments(self) -> tuple[Node, ...]:
        """Return what a function applies to: a group, or the product up to the next sign or function."""
        if self._next in ("(", "{", "["):
            return (self._group(),)
        node = self._signed()
        while self._starts_factor(self._next) and not (self._next.startswith("\\") and self._next[1:] in _FUNCTIONS):
            if self._next[0].isdigit():
                break
            node = Node("*", (node, self._power()))
        return (node,)

    def _symbol(self, name: str) -> Node:
        if self._next == "_":
            self._take()
            name += "_" + self._index()
        while self._next == "'":
            self._take()
            name += "'"
        if name in ("e", "i"):
            return Node(name)
        if name[0] in _APPLIED and self._next == "(":
            return Node("apply " + name, (self._group(),))
        return Node("symbol " + name)

    def _index(self) -> str:
        if self._next != "{":
            return self._take()
        self._take("{")
        index: list[str] = []
        while (token := self._take()) != "}":
            index.append(token)
        return "".join(index)


def _literal(number: int | Fraction) -> Node:
    return Node("number", (), Fraction(number))


def _is_mixed(left: Node, right: Node) -> bool:
    """Return whether a whole number and a fraction side by side are a mixed number."""
    if left.number is None or left.number.denominator != 1 or right.name != "/":
        return False
    top, bottom = right.arguments[0].number, right.arguments[1].number
    return top is not None and bottom is not None and 0 < top < bottom and bottom.denominator == 1
