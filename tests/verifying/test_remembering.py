"""A run remembers which answers were equal: the same clusters, and no work for them the second time."""

import random
from pathlib import Path

import pytest

from nbest.storage.cluster_files import FOLDER
from nbest.verifying import remembering
from nbest.verifying.equivalence import Equivalence
from nbest.verifying.remembering import describe_rules, remember_clusters

ANSWERS = ["1/2", "0.5", "\\frac12", "3", "03", "", " ", "x+1", "1+x", "\\sqrt[3]{x}", "x^{1/3}", "seven", "50%", None]
NEVER = "9^{9^{9^{9}}}+y"


class Unasked(Equivalence):
    """Fails where it is asked."""

    def cluster_with_certainty(self, answers, _kind="math"):
        raise AssertionError(f"asked about {answers}")


def cluster(run: Path, equivalence: Equivalence, answers: list[str | None], kind="math") -> list[int | None]:
    with remember_clusters(equivalence, run) as clusterer:
        return clusterer.cluster(answers, kind)


def test_the_second_time_nothing_is_compared(tmp_path: Path, equivalence: Equivalence) -> None:
    draw = random.Random(0)
    for _ in range(30):
        answers = draw.choices(ANSWERS, k=draw.randint(0, 12))
        expected = equivalence.cluster(answers)
        assert cluster(tmp_path, equivalence, answers) == expected
        shuffled = draw.sample(answers, len(answers)) * 2
        with Unasked() as unasked:
            if len(set(answers) - {None}) > 1:
                assert cluster(tmp_path, unasked, shuffled) == equivalence.cluster(shuffled)


def test_another_kind_or_another_answer_is_another_question(tmp_path: Path, equivalence: Equivalence) -> None:
    assert cluster(tmp_path, equivalence, ["1/2", "0.5"]) == [0, 0]
    assert cluster(tmp_path, equivalence, ["1/2", "0.5"], "exact") == [0, 1]
    with Unasked() as unasked:
        assert cluster(tmp_path, unasked, ["0.5", "1/2"]) == [0, 0]
        assert cluster(tmp_path, unasked, ["0.5", "1/2"], "exact") == [0, 1]
        # The same letters, divided in another way.
        with pytest.raises(AssertionError):
            cluster(tmp_path, unasked, ["1/20", ".5"])


def test_other_rules_ask_again(tmp_path: Path, equivalence: Equivalence, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(tmp_path, equivalence, ["1/2", "0.5"])
    monkeypatch.setattr(remembering, "describe_rules", lambda: "other rules")
    with Unasked() as unasked, pytest.raises(AssertionError):
        cluster(tmp_path, unasked, ["1/2", "0.5"])
    monkeypatch.setattr(remembering, "describe_rules", lambda: None)
    assert cluster(tmp_path / "unknown", equivalence, ["1/2", "0.5"]) == [0, 0]
    assert not (tmp_path / "unknown").exists()


def test_the_rules_are_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = describe_rules()
    assert first is not None
    package = tmp_path / "nbest"
    (package / "answers").mkdir(parents=True)
    (package / "answers" / "reading.py").write_text("rules = 1")
    monkeypatch.setattr(remembering, "_PACKAGE", package)
    describe_rules.cache_clear()
    second = describe_rules()
    (package / "answers" / "reading.py").write_text("rules = 2")
    describe_rules.cache_clear()
    assert len({first, second, describe_rules()}) == 3
    monkeypatch.undo()
    describe_rules.cache_clear()
    assert describe_rules() == first


def test_what_could_not_be_compared_is_not_remembered(tmp_path: Path) -> None:
    with Equivalence(limit_seconds=0.3) as hurried:
        assert cluster(tmp_path, hurried, [NEVER, "1"]) == [0, 1]
    assert not (tmp_path / FOLDER).exists()
    with Unasked() as unasked, pytest.raises(AssertionError):
        cluster(tmp_path, unasked, [NEVER, "1"])


def test_work_that_is_interrupted_is_kept(tmp_path: Path, equivalence: Equivalence) -> None:
    def interrupt() -> None:
        with remember_clusters(equivalence, tmp_path) as clusterer:
            clusterer.cluster(["1/2", "0.5"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    with Unasked() as unasked:
        assert cluster(tmp_path, unasked, ["1/2", "0.5"]) == [0, 0]
