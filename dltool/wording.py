"""Words that messages of all kinds have in common. Imports nothing."""


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "epoch"), counted(2000, "row")
    ('1 epoch', '2,000 rows')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
