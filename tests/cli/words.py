"""Words of command lines that several tests use."""


def named(*names: str) -> list[str]:
    """`-s A -s B` for selectors or scorers A and B."""
    return [word for name in names for word in ("-s", name)]
