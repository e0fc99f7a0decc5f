"""The former name of the package, bestofn: files that were written under it can still be opened.

Files carry a stamp that says who wrote them (`nbest.states/1`, `nbest combined selector`, `nbest-trajselector`). A
stamp with the former name means the same as the stamp with today's name.
"""

NAME, FORMER = "nbest", "bestofn"


def renew(stamp: str) -> str:
    """Return `stamp` with today's name. A stamp that does not begin with the former name is returned unchanged."""
    return NAME + stamp.removeprefix(FORMER) if stamp.startswith(FORMER) else stamp
