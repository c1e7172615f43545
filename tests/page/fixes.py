"""What to do, by code, as the page has it: images/web/page/fixes.js, see CONTRIBUTING.md."""

import json

from reconciler.core.negotiated import FIXES
from reconciler.core.reasons import MEANINGS

_SCRIPT = """\
// What to do, by code: from reconciler/core. Generated, see CONTRIBUTING.md.

export const FIXES = {};

export const FIXES_OF_FLAWS = {};
"""


def script() -> str:
    """Make the whole file."""
    fixes = {code.value: meaning.fix for code, meaning in MEANINGS.items()}
    flaws = {code.value: fix for code, fix in FIXES.items()}
    first, second, third = _SCRIPT.split("{}")
    return first + _table(fixes) + second + _table(flaws) + third


def _table(entries: dict[str, str]) -> str:
    return json.dumps(entries, indent=2, ensure_ascii=False)


if __name__ == "__main__":
    print(script(), end="")
