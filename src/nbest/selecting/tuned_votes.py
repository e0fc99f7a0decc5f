"""The file that `nbest train vote` writes and `vote(file=...):SCORER` reads: the vote that was tuned for each scorer.

This module does not know how votes are tuned (`measuring/vote_tuning.py`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nbest.errors import ConfigError
from nbest.specs import did_you_mean
from nbest.storage.outputs import write_file

KIND = "nbest-tuned-votes"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TunedVotes:
    """`votes` are the rule ("vote" or "borda") and its power by the name of stored scores; `about` is a record."""

    votes: Mapping[str, tuple[str, float]]
    about: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write the file. Raises StorageError."""
        votes = {name: {"rule": rule, "power": power} for name, (rule, power) in self.votes.items()}
        content = {"kind": KIND, "format": FORMAT, "votes": votes, "about": dict(self.about)}
        write_file(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> "TunedVotes":
        """Read the file. Raises ConfigError if it cannot be read or holds no tuned votes of this version."""
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            fields = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
            if fields.get("kind") != KIND:
                raise ValueError("it holds no tuned votes")
            if fields["format"] != FORMAT:
                raise ValueError(f"format {fields['format']!r} is not known here, only {FORMAT}")
            votes = {str(name): (str(vote["rule"]), float(vote["power"])) for name, vote in fields["votes"].items()}
            return cls(votes, dict(fields["about"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"file: {str(path)!r} cannot be used ({error}); name the file that `nbest train vote` wrote"
            ) from error


def load_power(path: Path, scorer: str) -> float:
    """Return the power that was tuned for `vote:SCORER`. Raises ConfigError if the file has none."""
    votes = TunedVotes.load(path).votes
    if scorer not in votes:
        raise ConfigError(
            f"file: {str(path)!r} has no vote of the scorer {scorer!r}; it has {', '.join(votes) or 'none'}."
            f"{did_you_mean(scorer, votes)}"
        )
    rule, power = votes[scorer]
    if rule != "vote":
        raise ConfigError(
            f"file: {str(path)!r} has {rule}(power={power:g}) for {scorer!r}, whose scores cannot be weights of a sum; "
            f"select by {rule}(power={power:g}):{scorer}"
        )
    return power
