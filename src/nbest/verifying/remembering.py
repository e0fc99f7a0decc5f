"""An equivalence that remembers, in the folder of a run, which answers of a pool were equal.

A pool's partition depends on its distinct answers, the kind of its problem and the rules alone, and these are the key;
the rules are named by a hash of the code that reads and compares answers and by the versions of the packages it uses. A
partition in which a comparison failed (out of time or memory) is not stored, because it may succeed the next time.
"""

import hashlib
import platform
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nbest.protocols import Clusterer
from nbest.records import Kind
from nbest.storage.cluster_files import ClusterFiles
from nbest.verifying.equivalence import Equivalence

SAVE_SECONDS = 20.0
"""How much work is lost at most if the process is killed."""

_PACKAGE = Path(__file__).parents[1]
_MODULES = ("answers/*.py", "verifying/equivalence.py", "verifying/math_worker.py")
_LIBRARIES = ("math-verify", "latex2sympy2_extended", "sympy", "mpmath", "antlr4-python3-runtime")


@contextmanager
def remember_clusters(equivalence: Clusterer, run: Path) -> Generator[Clusterer]:
    """Yield a `Clusterer` that asks `equivalence` only for what the run does not remember, and stores the replies.

    Another kind of `Clusterer` than `Equivalence` is yielded as it is.
    """
    rules = describe_rules()
    if not isinstance(equivalence, Equivalence) or rules is None:
        yield equivalence
        return
    memory = _RememberingEquivalence(equivalence, ClusterFiles(run, rules))
    try:
        yield memory
    finally:
        memory.save()


@cache
def describe_rules() -> str | None:
    """Return a text that changes whenever answers may be read or compared in another way; None if it is unknown."""
    digest = hashlib.blake2b(digest_size=16)
    # What is a letter or a digit depends on the version of Python.
    _add(digest, platform.python_version())
    try:
        for pattern in _MODULES:
            for path in sorted(_PACKAGE.glob(pattern)):
                _add(digest, path.relative_to(_PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
    except OSError:
        return None
    for library in _LIBRARIES:
        try:
            _add(digest, library, version(library))
        except PackageNotFoundError:
            _add(digest, library, "")
    return digest.hexdigest()


class _RememberingEquivalence:
    def __init__(self, equivalence: Equivalence, files: ClusterFiles):
        self._equivalence = equivalence
        self._files = files
        self._saved_time = time.monotonic()

    def same(self, a: str, b: str, kind: Kind = "math") -> bool:
        return self._equivalence.same(a, b, kind)

    def cluster(self, answers: Sequence[str | None], kind: Kind = "math") -> list[int | None]:
        """Return what `Equivalence.cluster` returns."""
        distinct = sorted({answer for answer in answers if answer is not None})
        if len(distinct) < 2:
            return self._equivalence.cluster(answers, kind)
        key = _make_key(distinct, kind)
        partition = self._files.entries.get(key)
        if partition is None or len(partition) != len(distinct):
            reply, is_certain = self._equivalence.cluster_with_certainty(distinct, kind)
            partition = tuple(-1 if number is None else number for number in reply)
            if is_certain:
                self._files.add(key, partition)
                self._save_sometimes()
        index = dict(zip(distinct, partition, strict=True))
        numbers: dict[int, int] = {}
        clusters: list[int | None] = []
        for answer in answers:
            cluster = -1 if answer is None else index[answer]
            clusters.append(None if cluster < 0 else numbers.setdefault(cluster, len(numbers)))
        return clusters

    def save(self) -> None:
        self._files.save()

    def _save_sometimes(self) -> None:
        if time.monotonic() - self._saved_time >= SAVE_SECONDS:
            self.save()
            self._saved_time = time.monotonic()


def _make_key(distinct: Iterable[str], kind: Kind) -> str:
    digest = hashlib.blake2b(digest_size=20)
    _add(digest, kind, *distinct)
    return digest.hexdigest()


def _add(digest: "hashlib.blake2b", *texts: str) -> None:
    """Add texts with their lengths, so that no two lists of texts add the same bytes."""
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
