import pytest

from nbest.errors import ConfigError, UnavailableError
from nbest.records import Pool, WorkReport
from nbest.selecting.limited import LimitedSelector
from nbest.selecting.scored import LengthSelector
from nbest.selecting.voting import MajoritySelector
from tests.scoring.judges import Strings, make_pool


async def test_only_the_first_n_count():
    pool = make_pool("1: a", "2: b", "2: c", "1: d", "1: e")
    selector = LimitedSelector(MajoritySelector(Strings()), "majority", 3)
    assert selector.name == "majority@3"
    assert (await selector.select(pool)).index == 1
    assert (await MajoritySelector(Strings()).select(pool)).index == 0


async def test_the_index_is_one_of_the_whole_pool():
    pool = make_pool("1: a", "2: longest of three", "2: b", "1: longest of all of them")
    turned = Pool("p", "?", pool.trajectories[::-1])
    selection = await LimitedSelector(LengthSelector(is_longest=True), "longest", 3).select(turned)
    assert turned.trajectories[selection.index].id == "p#1"


async def test_a_smaller_pool_says_nothing_of_n():
    selector = LimitedSelector(MajoritySelector(Strings()), "majority", 3)
    with pytest.raises(UnavailableError, match=r"'p' has 2 trajectories, fewer than 3"):
        await selector.select(make_pool("1: a", "2: b"))
    assert (await selector.select(make_pool())).index is None
    with pytest.raises(ConfigError, match="at least 1"):
        LimitedSelector(MajoritySelector(Strings()), "majority", 0)


def test_it_reports_what_the_selector_does():
    class Counting(MajoritySelector):
        def report(self):
            return WorkReport(calls=3)

    assert LimitedSelector(Counting(Strings()), "majority", 3).report().calls == 3
