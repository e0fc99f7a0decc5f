import pytest

from nbest.text.forms import is_claim, is_text, match_braces, normal_form


@pytest.mark.parametrize(
    ("answers", "form"),
    [
        (["73", "**73**", "$73$", r"\boxed{73}", " 73. ", r"\(73\)", "$$73$$", r"\$73", "$73"], "73"),
        ([r"\frac{1}{2}", r"\dfrac{1}{2}", r"$\tfrac{1}{2}$", r"\displaystyle\frac{1}{2}"], r"\frac{1}{2}"),
        (["(4 + 4) * (10 - 7) = 24", "(4+4)*(10-7)=24", "(4 + 4) × (10 − 7) = 24"], "(4+4)*(10-7)=24"),  # noqa: RUF001
        (["1, 2, 3", "1,2 and 3", r"1, 2, \text{ and } 3", "$1$, $2$ and $3$", "$1$ and $2$ and $3$"], "1,2,3"),
        (["x = 1 or x = -2", "x=1, x=-2"], "1,-2"),
        (["No solution", "no solution.", r"\text{no  solution}"], "no solution"),
        (["The largest $n$ is 34.", "34"], "34"),
        (["She makes $18 every day.", "18"], "18"),
        ([r"32,\! 349", "32{,}349", "32,349"], "32,349"),
        (["32, 349"], "32, 349"),
        (["", " ", "$$$$", "$ $"], ""),
        (["E"], "E"),
        (["e"], "e"),
    ],
)
def test_one_spelling(answers: list[str], form: str) -> None:
    assert {normal_form(answer) for answer in answers} == {form}


def test_a_denial_is_not_read_for_its_number() -> None:
    text = "There is no solution as the highest possible number is 9."
    assert normal_form(text) == "there is no solution as the highest possible number is 9"


def test_a_normal_form_is_its_own_normal_form() -> None:
    for answer in ["**73**", r"\dfrac12", "x = 1 or x = 2", "No solution.", "[0, 1)", "(3, 1)", r"\{1, 2\}", "1,000"]:
        assert normal_form(normal_form(answer)) == normal_form(answer)


def test_a_very_long_answer_is_left_alone() -> None:
    assert normal_form(" " + "9 " * 5_000) == ("9 " * 5_000).strip()


def test_claims_are_arithmetic_with_a_result() -> None:
    claims = ["(6 - 4) * 12 = 24", "4 + 4 = 8", r"2 \times 3 = 6", "3*4=5+7"]
    others = ["x = 5", "24", "(4+4)*3", "1/2 = 0.5", "2x + 1 = 7", "y = 2x", "a = 3*4"]
    assert [is_claim(normal_form(answer)) for answer in claims + others] == [True] * 4 + [False] * 7


def test_words() -> None:
    words = ["no solution", "Evelyn", r"\text{Tuesday}", "there is no way to make 24", "NONE", "24 cannot be made"]
    others = ["18 dollars", "x+1", r"\sin x", "ABCD+1", r"\begin{pmatrix}1\\2\end{pmatrix}", "xy+1", "5"]
    assert [is_text(normal_form(answer)) for answer in words + others] == [True] * 6 + [False] * 7


def test_braces_are_matched() -> None:
    assert match_braces("a{b{c}d}e}") == {1: 7, 3: 5}
    assert match_braces(r"{a\}b}") == {0: 5}
    assert match_braces("a{b{c}") == {3: 5}
