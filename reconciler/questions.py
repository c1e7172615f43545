"""Questions on a terminal, on standard error: standard output is for the answer."""

import sys
from collections.abc import Callable


def interactive() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, default: str = "", check: Callable[[str], str] = lambda _: "") -> str:
    """Ask until the answer passes the check, which returns what is wrong with it."""
    shown = f" [{default}]" if default else ""
    while True:
        sys.stderr.write(f"{question}{shown}: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt
        answer = line.strip() or default
        fault = check(answer)
        if not fault:
            return answer
        say(fault)


def say(text: str) -> None:
    """Tell why an answer won't do."""
    sys.stderr.write(f"  {text}\n")


def ask_yes_no(question: str, *, default: bool) -> bool:
    """Ask for yes or no."""

    def check(answer: str) -> str:
        return "" if answer.lower() in {"y", "yes", "n", "no"} else "write yes or no"

    return ask(question, "yes" if default else "no", check).lower().startswith("y")
