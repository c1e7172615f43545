"""The figures of all faults, as JSON, and as the page for people."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faults.fault import Fault, Run, ping_every_s
from tests.e2e.stack import ROOT, SITES

FIGURES = ROOT / "faults" / "figures.json"
PAGE = ROOT / "docs" / "faults.md"
_INTRODUCTION = Path(__file__).parent / "introduction.md"


def sentence(run: Run) -> str:
    """Tell one run in a line."""
    if run.failure:
        return f"FAILED: {run.failure}"
    lost = ", ".join(_losses(run))
    healed = (
        f"{run.healed_s[0]:.1f} s"
        if len(run.healed_s) == 1
        else f"{max(run.healed_s):.1f} s at worst of {len(run.healed_s)}"
    )
    noticed = f"{run.noticed.sign} after {run.noticed.after_s:.1f} s" if run.noticed else "nothing"
    return f"as declared after {healed}; lost: {lost or 'nothing'}; noticed: {noticed}"


def _losses(run: Run) -> list[str]:
    seconds = {a: n * ping_every_s(a) for a, n in run.lost.items() if n}
    told = [f"{a} {seconds.pop(a):.1f} s" for a in SITES if a in seconds]
    if seconds:
        told.append(f"{len(seconds)} more up to {max(seconds.values()):.1f} s")
    return told


def note(fault: Fault, runs: Sequence[Run], machine: dict[str, object]) -> None:
    """Replace the figures of one fault; all others stay."""
    now = datetime.now(UTC)
    _replace(
        fault.name,
        {
            "title": fault.title,
            "date": f"{now:%Y-%m-%d}",
            "deadline_s": fault.deadline_s,
            "counted_from": fault.counted_from,
            "hits": list(fault.hits),
            "machine": machine,
            "runs": [run.as_json() for run in runs],
        },
    )


def note_skipped(fault: Fault, reason: str) -> None:
    """Keep older figures, if there are any."""
    if not _figures().get(fault.name, {}).get("runs"):
        _replace(fault.name, {"title": fault.title, "skipped": reason, "runs": []})


def add(path: Path) -> None:
    """Take over the rows of another file of figures, measured elsewhere by the same harness."""
    for name, figures in json.loads(path.read_text()).items():
        _replace(name, figures)


def _figures() -> dict[str, Any]:
    return dict(json.loads(FIGURES.read_text())) if FIGURES.exists() else {}


def _replace(name: str, figures: dict[str, Any]) -> None:
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**_figures(), name: figures}, indent=1) + "\n")


def write(faults: Sequence[Fault]) -> None:
    """Write the page: every fault has a row, measured or not."""
    figures = _figures()
    rows = [_row(fault, figures.get(fault.name)) for fault in faults]
    head = (
        "| fault | lost by the sites it hits | lost by the others | as declared again | noticed by "
        "| runs |\n|---|---|---|---|---|---|"
    )
    text = _INTRODUCTION.read_text().replace("{table}", "\n".join([head, *rows]))
    PAGE.write_text(text.replace("{machines}", _machines(figures)))


def _row(fault: Fault, figures: dict[str, Any] | None) -> str:
    name = f"`{fault.name}`: {fault.title}"
    if not figures or not figures["runs"]:
        reason = (figures or {}).get("skipped", "not measured yet")
        return f"| {name} | | | {reason} | | 0 |"
    runs = figures["runs"]
    good = [run for run in runs if not run["failure"]]
    cells = [name, _hit(figures, good), _others(figures, runs), _healed(figures, good, runs)]
    return "| " + " | ".join([*cells, _noticed(runs), _count(runs)]) + " |"


def _hit(figures: dict[str, Any], good: list[dict[str, Any]]) -> str:
    if not figures["hits"]:
        return "hits none"
    lost = [max(run["lost_pings"][a] * ping_every_s(a) for a in figures["hits"]) for run in good]
    if not lost:
        return "?"
    if not max(lost):
        return "nothing"
    return f"{_s(statistics.median(lost))}, at worst {_s(max(lost))}"


def _others(figures: dict[str, Any], runs: list[dict[str, Any]]) -> str:
    lost = [n for run in runs for a, n in run["lost_pings"].items() if a not in figures["hits"]]
    if not lost:
        return "there are none"
    return f"**{sum(lost)} pings**" if sum(lost) else "nothing"


def _healed(figures: dict[str, Any], good: list[dict[str, Any]], runs: list[dict[str, Any]]) -> str:
    times = [seconds for run in good for seconds in run["healed_s"]]
    text = ""
    if times:
        text = f"{_s(statistics.median(times))}, at worst {_s(max(times))}"
        if figures["counted_from"] != "the fault":
            text += f", from {figures['counted_from']}"
    bad = Counter(_first_line(run["failure"]) for run in runs if run["failure"])
    failures = "; ".join(f"**failed in {n}**: {words}" for words, n in bad.items())
    return "; ".join(filter(None, [text, failures]))


def _noticed(runs: list[dict[str, Any]]) -> str:
    signs = Counter(run["noticed"] for run in runs if run["noticed"])
    if not signs:
        return "nothing changed"
    sign, _ = signs.most_common(1)[0]
    after = [run["noticed_after_s"] for run in runs if run["noticed"] == sign]
    return f"{_cell(sign)}, after {_s(statistics.median(after))}"


def _count(runs: list[dict[str, Any]]) -> str:
    points = max(len(run["healed_s"]) for run in runs)
    return f"{len(runs)} of {points} points" if points > 2 else str(len(runs))


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _cell(text: str) -> str:
    return text.replace("|", "/")


def _first_line(text: str) -> str:
    line = text.splitlines()[0]
    return _cell(line if len(line) <= 200 else line[:199] + "…")


def _machines(figures: dict[str, Any]) -> str:
    """Say in general words what was measured on."""
    kinds = Counter(
        (m["cores"], round(m["memory_mib"] / 1024), m["kernel"], m["strongswan"])
        for row in figures.values()
        if (m := row.get("machine"))
    )
    return "; ".join(
        f"{cores} virtual cores, {gib} GiB, Linux {kernel}, strongSwan {strongswan}"
        for cores, gib, kernel, strongswan in kinds
    )
