"""What to do, by code, as the page has it: images/web/page/fixes.js, see CONTRIBUTING.md."""

import json

from reconciler.core.reasons import MEANINGS
from tests.test_docs import rows

_SCRIPT = """\
// What to do, by code: the tables of docs/reasons.md. Generated, see CONTRIBUTING.md.

export const FIXES = {};

export const FIXES_OF_FLAWS = {};
"""


def script() -> str:
    """Make the whole file."""
    fixes = {code.value: meaning.fix for code, meaning in MEANINGS.items()}
    flaws = {row[0].strip("`"): row[-1] for row in rows("Up, but not as declared")}
    first, second, third = _SCRIPT.split("{}")
    return first + _table(fixes) + second + _table(flaws) + third


def _table(entries: dict[str, str]) -> str:
    return json.dumps(entries, indent=2, ensure_ascii=False)


if __name__ == "__main__":
    print(script(), end="")
