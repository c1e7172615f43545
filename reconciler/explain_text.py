"""An explanation as a page to read: sections, the answer first."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from reconciler.core.explain import (
    ChildView,
    Declaration,
    Explanation,
    IkeView,
    Loaded,
)
from reconciler.core.reasons import Side
from reconciler.layout import indented, paint, width
from reconciler.text import STAGES, duration, size

_WHO = {
    Side.SITE: "the site: whoever looks after the airport's router",
    Side.HUB: "the hub: whoever runs this host",
    Side.NETWORK: "the network: whoever looks after the lines and firewalls between",
    Side.NOBODY: "nobody",
}
_CONDITIONS = {
    "no-vpn": "not declared",
    "disabled": "switched off",
    "invalid": "not to be had",
    "undeclared": "not declared",
    "unknown": "in an unknown state",
}
_COLOURS = {"up": "32", "down": "31", "connecting": "33", "invalid": "31", "unknown": "35"}
_BOLD, _FAINT = "1", "2"
_INDENT = "  "
_MOST_TRANSITIONS = 10

Field = tuple[str, str]
Section = tuple[str, list[Field]]


def page(found: Explanation, columns: int = 0, *, colour: bool = False) -> str:
    """Write it for a terminal of so many columns; 0: lines may be of any length."""
    lines = [*_answer(found, columns, colour=colour)]
    for title, fields in _sections(found):
        lines += ["", paint(title, _BOLD if colour else "")]
        lines += _fields(fields, columns)
    return "\n".join(lines)


def _answer(found: Explanation, columns: int, *, colour: bool) -> Iterator[str]:
    verdict = found.verdict
    sentence = _sentence(found)
    first, *more = indented(sentence, columns, "", "")
    yield from (
        paint(line, _COLOURS.get(verdict.condition, _BOLD) if colour else "")
        for line in (first, *more)
    )
    answer = [
        ("who must act", _WHO[verdict.who_must_act] if verdict.who_must_act else ""),
        ("what to do", _plain(verdict.fix)),
        *(("but", note) for note in found.notes),
        *(("in the file", fault) for fault in found.faults),
    ]
    yield from _fields([field for field in answer if field[1]], columns)


def _sentence(found: Explanation) -> str:
    """Say in one sentence which, how, since when and why."""
    verdict = found.verdict
    airport = f"{found.airport_id} {found.airport_name}".strip()
    who = f"{found.name} ({airport})" if airport else found.name
    how = _CONDITIONS.get(verdict.condition, verdict.condition)
    # Since when the state is not known, nobody knows.
    known = verdict.since and verdict.condition != "unknown"
    since = f" since {_at(verdict.since, found.at)}" if known else ""
    reason = verdict.reason.removeprefix("not known: ")
    if verdict.condition == "up":
        return f"{who} is up{since}" + (f", but not as declared: {reason}" if reason else "")
    return f"{who} is {how}{since}: {reason}"


def _plain(fix: str) -> str:
    return fix.replace("*", "")


def _sections(found: Explanation) -> Iterator[Section]:
    if found.declaration is not None:
        yield "Declared", [*_declared(found.declaration, found.at)]
    yield "Loaded in charon", [*_loaded(found.loaded)]
    if found.loaded.known:
        yield "Negotiated", [*_negotiated(found.negotiated, found.at)] or [("", "nothing")]
    if found.deviations:
        yield (
            "Negotiated, but not as declared",
            [(one.code, f"{one.text}. {_plain(one.fix)}") for one in found.deviations],
        )
    yield "Failures", [*_failures(found)] or [("", "none that is known")]
    if found.charon_said:
        yield (
            "charon's log",
            [
                (f"{one.time[:19].replace('T', ' ')} <{one.ike_sa}>", one.words)
                for one in found.charon_said
            ],
        )
    yield "What the hub does next", [*_next(found)] or [("", _nothing_to_do(found))]
    if found.transitions:
        yield "History", [*_history(found)]
    if found.lookalikes:
        yield "Strangers that may be this site", [*_lookalikes(found)]


def _declared(declared: Declaration, now: int) -> Iterator[Field]:
    if declared.in_force:
        yield "in force", declared.in_force
    if declared.paused:
        until = f"until {_at(declared.paused_until, now)}" if declared.paused_until else ""
        yield "paused", until or "until resumed by command line"
    yield "behind the site", ", ".join(declared.remote_subnets)
    yield "behind the hub", ", ".join(declared.local_subnets)
    yield "the site is called", declared.site_id
    yield "the hub is called", declared.hub_id
    address = declared.remote_address
    yield "address", f"{address}; the hub dials" if address else "any; the site dials in"
    yield "IKE proposal", declared.ike_proposal
    if declared.hub_ike_proposals != (declared.ike_proposal,):
        yield "the hub accepts", ", ".join(declared.hub_ike_proposals)
    yield "ESP proposals", ", ".join(declared.esp_proposals)
    yield "timers", ", ".join(f"{what} {time}" for what, time in declared.timers.items())
    yield "key", declared.key or "from nowhere that is known"
    if declared.next_key:
        yield "next key", declared.next_key
    if declared.key_rotation:
        yield "rotation", STAGES[declared.key_rotation]
    if declared.rekey_after:
        yield "renewed if older than", _at(declared.rekey_after, now)


def _loaded(loaded: Loaded) -> Iterator[Field]:
    if not loaded.known:
        yield "there", "not known: charon can't be asked"
        return
    if not loaded.loaded:
        yield "there", f"no{f': {loaded.drift}' if loaded.drift else ''}"
        return
    if not loaded.ours:
        yield "there", "yes, but somebody else loaded it"
    elif loaded.drift:
        yield "there", f"yes, and to be loaded anew: {loaded.drift}"
    else:
        yield "there", "yes, as declared" if loaded.mark else "yes"
    settings = loaded.settings
    for label, key in (("charon's address", "local_addrs"), ("site's address", "remote_addrs")):
        if isinstance(settings.get(key), list):
            yield label, ", ".join(map(str, settings[key]))
    if loaded.secret_ids:
        yield "keys, by id", ", ".join(loaded.secret_ids)
    if loaded.children:
        yield "data tunnel", ", ".join(loaded.children)


def _negotiated(sas: Sequence[IkeView], now: int) -> Iterator[Field]:
    for sa in sas:
        ends = f"{sa.local_host}:{sa.local_port} to {sa.remote_host}:{sa.remote_port}"
        nat = f"NAT before the {' and the '.join(sa.nat)}" if sa.nat else "no NAT"
        yield f"IKE_SA {sa.unique_id}", f"{sa.state}, dialled by the {sa.dialled_by}; {ends}; {nat}"
        yield "  identities", f"{sa.local_id} to {sa.remote_id}"
        if sa.algorithms:
            yield "  algorithms", sa.algorithms
        yield "  times", _times(now, established=sa.established_at, renewed=sa.rekey_at)
        if sa.tasks:
            yield "  busy with", ", ".join(sa.tasks)
        for child in sa.children:
            yield from _child(child, now)


def _child(child: ChildView, now: int) -> Iterator[Field]:
    wrapped = "ESP in UDP" if child.udp_encapsulated else "ESP"
    mark = "" if child.as_declared else "; made under an earlier declaration, or somebody else's"
    yield f"  CHILD_SA {child.unique_id}", f"{child.state}, {wrapped} {child.mode.lower()}{mark}"
    subnets = f"{', '.join(child.local_subnets)} to {', '.join(child.remote_subnets)}"
    yield "    subnets", subnets
    yield "    algorithms", child.algorithms or "not told"
    yield (
        "    times",
        _times(now, installed=child.installed_at, renewed=child.rekey_at, ends=child.expires_at),
    )
    yield (
        "    received",
        _traffic(child.received_bytes, child.received_packets, child.last_received_at, now),
    )
    yield "    sent", _traffic(child.sent_bytes, child.sent_packets, child.last_sent_at, now)


def _traffic(count: int, packets: int, last: int, now: int) -> str:
    ago = f", the last {duration(max(0, now - last))} ago" if last else ""
    return f"{size(count)} in {packets} packet{'' if packets == 1 else 's'}{ago}"


def _times(now: int, **moments: int) -> str:
    said = []
    for what, at in moments.items():
        if at:
            said.append(
                f"{what} {duration(now - at)} ago"
                if at <= now
                else f"{what} in {duration(at - now)}"
            )
    return ", ".join(said) or "not told"


def _failures(found: Explanation) -> Iterator[Field]:
    last = found.last_failure
    if last is not None:
        origin = f" from {last.remote_address}" if last.remote_address else ""
        doubt = "" if last.certain else "; only its address says that it was this site"
        yield "the last", f"{_at(last.at, found.at)}{origin}: {found.last_failure_sentence}{doubt}"
        if last.claimed_id:
            asked = f", and calls the hub {last.asked_id}" if last.asked_id else ""
            yield "it calls itself", f"{last.claimed_id}{asked}"
        yield "charon's words", last.words
    elif found.last_error:
        yield "charon's words", found.last_error
    for one in found.failures:
        times = f"{one.count} time{'' if one.count == 1 else 's'}"
        yield one.code, f"{times}: {one.sentence}"


def _next(found: Explanation) -> Iterator[Field]:
    for step in found.plan:
        wait = f"; not before {_at(step.not_before, found.at)}" if step.not_before else ""
        yield step.action, f"{step.cause}; {step.impact}{wait}"
    for made in found.attempts:
        times = f"{made.count} time{'' if made.count == 1 else 's'}"
        last = f", last {_at(made.last_attempt, found.at)}" if made.last_attempt else ""
        yield f"tried: {made.goal}", f"{times}{last}"
    if found.next_attempt:
        yield "next attempt", _at(found.next_attempt, found.at)


def _nothing_to_do(found: Explanation) -> str:
    if not found.loaded.known:
        return "not known: charon can't be asked"
    waits = found.verdict.condition in ("down", "connecting")
    return "nothing: it waits for the site" if waits else "nothing is to be done"


def _history(found: Explanation) -> Iterator[Field]:
    for one in found.transitions[-_MOST_TRANSITIONS:]:
        change = f"{one.from_status or 'first seen'} to {one.to_status}"
        change = f"still {one.to_status}" if one.from_status == one.to_status else change
        yield _at(one.at, found.at), f"{change}{f': {one.reason}' if one.reason else ''}"


def _lookalikes(found: Explanation) -> Iterator[Field]:
    for one in found.lookalikes:
        stranger = one.stranger
        claims = f" calls itself {stranger.claimed_id!r}" if stranger.claimed_id else ""
        times = f"{stranger.count} time{'' if stranger.count == 1 else 's'}"
        seen = f"{stranger.code}, {times}, last {_at(stranger.last_seen, found.at)}"
        yield stranger.remote_address, f"{one.why}; it{claims or ' says nothing of itself'}: {seen}"


def _at(moment: int, now: int) -> str:
    """Write a time for people: in UTC, and how far it is from now."""
    try:
        text = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return str(moment)
    if moment > now:
        return f"{text} (in {duration(moment - now)})"
    return f"{text} ({duration(now - moment)} ago)"


def _fields(fields: Iterable[Field], columns: int) -> Iterator[str]:
    """Write labels and values below each other, values wrapped in a column of their own."""
    fields = list(fields)
    labels = max((width(label) for label, _ in fields), default=0)
    if columns and labels > columns // 2:
        labels = 0
    for label, value in fields:
        beginning = label + " " * (labels - width(label)) + ("  " if labels else " ")
        first = _INDENT + (beginning if labels or label else "")
        later = _INDENT + " " * (labels + 2)
        yield from (line.rstrip() for line in indented(value, columns, first, later))
