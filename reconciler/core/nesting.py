"""How deep a document of others may be nested. Whoever walks through it later need not count.

A parser gives up at about 1,000 levels. What it lets pass may be too much for whoever calls
himself for each level, and stands deeper in calls already.
"""

from itertools import chain

DEEPEST = 100


def is_too_deep(document: object) -> bool:
    """Tell whether dicts and lists stand in one another more than DEEPEST levels deep."""
    level = [document]
    for _ in range(DEEPEST + 1):
        inner = (
            one.values() if isinstance(one, dict) else one
            for one in level
            if isinstance(one, dict | list)
        )
        level = [*chain.from_iterable(inner)]
        if not level:
            return False
    return True
