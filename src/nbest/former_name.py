"""The package was called bestofn before: what it wrote under that name still opens.

Files carry a stamp that says who wrote them (`nbest.states/1`, `nbest combined selector`, `nbest-trajselector`). A
stamp of the former name means the same as one of today's.
"""

NAME, FORMER = "nbest", "bestofn"


def renew(stamp: str) -> str:
    """Return `stamp` as it is written today. A stamp that does not begin with the former name comes back unchanged."""
    return NAME + stamp.removeprefix(FORMER) if stamp.startswith(FORMER) else stamp
