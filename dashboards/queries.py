"""PromQL and words that both dashboards need."""

from dashboards.panels import (
    BLUE,
    DARK,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Json,
    Word,
    value_map,
)
from reconciler.core.reasons import MEANINGS, Side

ONE = "airport, connection"

# The state of a tunnel as one number, for timelines and colours.
DOWN, CONNECTING, UP, DEGRADED, PAUSED, UNKNOWN = range(1, 7)
STATES = {
    DOWN: Word("down", VERMILION),
    CONNECTING: Word("connecting", ORANGE),
    UP: Word("up", BLUE),
    DEGRADED: Word("degraded", PURPLE),
    PAUSED: Word("paused", GREY),
    UNKNOWN: Word("not known", DARK),
}
STATE_MAP = value_map({str(number): word for number, word in STATES.items()})

_SIDES = {
    Side.SITE: Word("site", VERMILION),
    Side.HUB: Word("hub", PURPLE),
    Side.NETWORK: Word("network", ORANGE),
    Side.NOBODY: Word("nobody", GREY),
}
REASON_MAP = value_map({code: Word(meaning.sentence) for code, meaning in MEANINGS.items()})
SIDE_MAP = value_map({code: _SIDES[meaning.side] for code, meaning in MEANINGS.items()})
FIX_MAP = value_map(
    {code: Word(meaning.fix.replace("`", "")) for code, meaning in MEANINGS.items()}
)

RESULTS = {"received": SKY, "sent": ORANGE}

# The window of what a step of a graph stands for. It is never shorter than four scrapes, so that
# something that lasted for less than a step of the graph is drawn all the same.
WINDOW = "$__rate_interval"


def one(expr: str) -> str:
    """Keep one series a connection, whichever reconciler was scraped under whichever address."""
    return f"max by ({ONE}) ({expr})"


def state(selector: str = "", window: str = "") -> str:
    """Return the state of each connection as a number of STATES.

    With a `window`, of several states in it the worst; else the state of this moment.
    """

    def most(metric: str, labels: str = "") -> str:
        return _over("max", metric, ",".join(part for part in (selector, labels) if part), window)

    least_up = _over("min", "vpn_connection_up", selector, window)
    return f"""
        {PAUSED} * ({one(most("vpn_connection_paused"))} == 1
          and on ({ONE}) {one(least_up)} == 0)
        or {DOWN} * ({one(most("vpn_connection_state", 'state="down"'))} == 1)
        or {CONNECTING} * ({one(most("vpn_connection_state", 'state="connecting"'))} == 1)
        or {DEGRADED} * ({one(most("vpn_connection_degraded"))} == 1)
        or {UP} * ({one(least_up)} == 1)
        or {UNKNOWN} * {one(most("vpn_connection_desired"))}
    """


def _over(how: str, metric: str, labels: str, window: str) -> str:
    series = metric + (f"{{{labels}}}" if labels else "")
    return f"{how}_over_time({series}[{window}])" if window else series


def top(expr: str, rank: str, count: int) -> str:
    """Draw the courses of the few that rank highest over the whole range.

    `topk` alone would choose anew at every step, and so draw many more.
    """
    return f"{expr} and on ({ONE}) topk({count}, {rank})"


def counted(metric: str, by: str, selector: str = "") -> str:
    """Count events in each step of a graph."""
    labels = f"{{{selector}}}" if selector else ""
    return f"sum by ({by}) (increase({metric}{labels}[{WINDOW}]))"


def moment(metric: str, selector: str = "", by: str = ONE) -> str:
    """Return a point in time in ms, once: in the step of the graph after which it became known.

    It must be recent, because a series that is back after a gap tells of nothing new. The minute
    is for what lies between a change and the scrape that tells of it.
    """
    labels = f"{{{selector}}}" if selector else ""
    now, before = (
        f"max by ({by}) ({metric}{labels}{offset})" for offset in ("", " offset $__interval")
    )
    return f"1000 * ({now} > time() - $__interval_ms / 1000 - 60 unless {now} == {before})"


def airport_link() -> Json:
    """Lead from a row of a table to the connection's own dashboard."""
    return _link('${__data.fields["airport"]}', '${__data.fields["connection"]}')


def airport_link_of_series() -> Json:
    """Lead from a row of a timeline to the connection's own dashboard."""
    return _link("${__field.labels.airport}", "${__field.labels.connection}")


def _link(airport: str, connection: str) -> Json:
    query = f"${{datasource:queryparam}}&var-airport={airport}&var-connection={connection}"
    return {
        "title": "Look at this airport",
        "url": f"/d/vpn-airport?{query}&${{__url_time_range}}",
        "targetBlank": False,
    }
