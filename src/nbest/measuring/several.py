"""The comparison of several runs, benchmarks side by side as papers print them. Plain values and table cells.

This module does not know runs, estimators or charts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbest.measuring.cells import UNDEFINED, TextTable, show_interval, show_percent
from nbest.measuring.comparison import Comparison

MACRO, POOLED = "macro average", "pooled"


@dataclass(frozen=True, slots=True)
class SeveralRuns:
    """The comparisons of `runs` by name, all at the same n, and two averages over them.

    `macro` weighs each run alike, `pooled` each problem. The averages hold the selectors that every run has, and are
    undefined at an n that one of the runs lacks.
    """

    runs: Mapping[str, Comparison]
    macro: Comparison
    pooled: Comparison

    @property
    def selectors(self) -> list[str]:
        """The selectors of all runs, in the order of the first run that has them; bounds last."""
        roles = {name: run.role(name) for run in self.runs.values() for name in run.selectors}
        return sorted(roles, key=lambda name: roles[name] == "bound")

    @property
    def largest_n(self) -> int:
        """The largest n that has an average; else the largest of all."""
        defined = [row.n for row in self.macro.rows if row.accuracy is not None]
        return max(defined or self.macro.ns or [0])

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `json.dumps`: each comparison as `Comparison.to_json`."""
        return {
            "runs": {name: run.to_json() for name, run in self.runs.items()},
            "macro": self.macro.to_json(),
            "pooled": self.pooled.to_json(),
        }

    def accuracy_table(self, n: int) -> TextTable:
        """Return one row per selector: accuracy in percent on each run at `n`, and the averages."""
        columns = [self._accuracies(run, n) for run in self.runs.values()]
        macro = {row.selector: row for row in self.macro.rows if row.n == n}
        pooled = self._accuracies(self.pooled, n)
        table = TextTable(["selector", *self.runs, MACRO, f"{self.macro.level:.0%} interval", POOLED], [])
        for name in self.selectors:
            row = macro.get(name)
            averages = [UNDEFINED, UNDEFINED]
            if row is not None:
                averages = [show_percent(row.accuracy), show_interval(*self.macro.bounds(row))]
            cells = [show_percent(column.get(name)) for column in columns]
            table.rows.append([name, *cells, *averages, show_percent(pooled.get(name))])
        return table

    @staticmethod
    def _accuracies(comparison: Comparison, n: int) -> dict[str, float | None]:
        return {row.selector: row.accuracy for row in comparison.rows if row.n == n}
