"""The dashboard *Fleet*: all airports at a glance."""

from dashboards.panels import (
    BLUE,
    DARK,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YES_NO,
    Dashboard,
    Panel,
    Query,
    Section,
    Word,
    annotation,
    choice_variable,
    list_variable,
    override,
    shown_by_name,
    stat,
    state_timeline,
    steps,
    table,
    timeseries,
    value_map,
)
from dashboards.queries import (
    FIX_MAP,
    ONE,
    REASON_MAP,
    RESULTS,
    SIDE_MAP,
    STATE_MAP,
    WINDOW,
    airport_link,
    airport_link_of_series,
    counted,
    moment,
    one,
    state,
    top,
)

TOP = 10
AT_END = "[$__range] @ end()"
NOT_OBSERVED = f"({one('vpn_connection_desired')} unless on ({ONE}) vpn_connection_up)"

# How much of the shown time a tunnel was not well, from 0; 1 if nobody could look at all.
TROUBLE = f"""(
    1 - {one("avg_over_time(vpn_connection_up[$__range])")}
    + on ({ONE}) {one("avg_over_time(vpn_connection_degraded[$__range])")}
    or {one("last_over_time(vpn_connection_desired[$__range])")}
)"""


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    return Dashboard(
        uid="vpn-fleet",
        title="VPN fleet",
        description="All airports at a glance: what is down, since when, why, and who must act.",
        since="now-6h",
        refresh="1m",
        variables=(
            choice_variable("show", "Timeline shows", {"with trouble": "> 0", "all": ">= 0"}),
            choice_variable("rows", "Timeline rows", {n: n for n in ("40", "100", "400")}),
            list_variable(
                "worst",
                "Tunnels in the timeline",
                f"query_result(topk($rows, {TROUBLE} ${{show:raw}}))",
                '/connection="([^"]+)"/',
            ),
        ),
        annotations=(
            annotation(
                "charon started",
                moment("vpn_daemon_start_timestamp_seconds", by="job"),
                ORANGE,
                "charon started",
                "All tunnels were dialled anew.",
                value_is_time=True,
            ),
            annotation(
                "charon does not answer",
                "max(vpn_daemon_reachable offset $__interval) - max(vpn_daemon_reachable) == 1",
                VERMILION,
                "charon does not answer",
                "Until it does, nothing is known of the tunnels.",
            ),
        ),
        links=(),
        sections=(
            Section("At a glance", (_counts(), _timeline(), _not_up(), _alerts())),
            Section("Tunnels", (_courses(), _reconnects(), _failures(), _degraded())),
            Section("Traffic", (_traffic(), _busiest())),
            Section("Probes and cameras", (_round_times(), _slowest(), _probes(), _silent())),
            Section(
                "charon and its container",
                (_switches(), _container(), _workers(), _key_exchanges(), _container_numbers()),
            ),
            Section("airports.json", (_airports(), _file())),
            Section("The reconciler", (_ages(), _rounds(), _durations(), _actions(), _wakes())),
        ),
    )


def _counts() -> Panel:
    def in_state(name: str) -> str:
        return one(f'vpn_connection_state{{state="{name}"}}')

    not_paused = f"(1 - {one('vpn_connection_paused')})"
    counts = {
        "up": (f"sum({one('vpn_connection_up')})", BLUE),
        "down": (f"sum({in_state('down')} * on ({ONE}) {not_paused})", VERMILION),
        "connecting": (f"sum({in_state('connecting')} * on ({ONE}) {not_paused})", ORANGE),
        "degraded": (f"sum({one('vpn_connection_degraded')})", PURPLE),
        "paused": (f"sum({one('vpn_connection_paused')})", GREY),
        "not known": (f"sum({NOT_OBSERVED}) or 0 * sum({one('vpn_connection_desired')})", DARK),
    }
    return stat(
        "Tunnels now",
        "How many tunnels are in which state now. *Degraded* ones are up as well, but not"
        " as declared. *Paused* ones were left alone by order; a paused tunnel counts neither as"
        " down nor as connecting. *Not known*: charon can't be asked, so nobody vouches for them;"
        " they may well work. Airports that are disabled are not counted here. Coloured if more"
        " than 0.",
        *(Query(expr, name, instant=True) for name, (expr, _) in counts.items()),
        unit="none",
        width=24,
        overrides=tuple(
            override(name, thresholds=steps((None, DARK), (1, color)))
            for name, (_, color) in counts.items()
        ),
        background=True,
    )


def _timeline() -> Panel:
    return state_timeline(
        "State of the tunnels",
        "One row a tunnel, at most as many as *Timeline rows* says, those with the most trouble in"
        " the shown time. *Timeline shows*: only those that were down, degraded or not known at"
        " some time of it, or all. A trouble that was shorter than a step of this picture is drawn"
        " as long as a step. *Paused* is drawn only while the tunnel is not up. Where nothing is"
        " drawn, nothing was scraped, or the airport was not declared. Click on a row for the"
        " airport's own dashboard.",
        Query(state('connection=~"${worst:regex}"', WINDOW), "{{airport}} {{connection}}"),
        mappings=[STATE_MAP],
        height=11,
        links=[airport_link_of_series()],
        no_value="No tunnel had any trouble in this time (or nothing was scraped).",
    )


def _not_up() -> Panel:
    since = one("vpn_connection_last_transition_timestamp_seconds")
    known = f"max by ({ONE}, reason) (vpn_connection_reason) * on ({ONE}) group_left () {since}"
    unknown = f"""label_replace({NOT_OBSERVED}, "reason", "charon-unreachable", "", "")
        * on () group_left () max(vpn_last_complete_round_timestamp_seconds)"""
    expr = f"1000 * ({known} or {unknown})"
    for label in ("must_act", "what_to_do"):
        expr = f'label_replace({expr}, "{label}", "$1", "reason", "(.*)")'
    return table(
        "Not up: why, since when, and who must act",
        "Every tunnel that should be up and is not, or is being set up just now. *Since* is when"
        " its state last moment; if charon can't be asked, when it last could. *Must act*: the"
        " site is whoever looks after the airport's router, the hub whoever runs this host, the"
        " network whoever looks after the lines and firewalls between. Click on an airport for its"
        " own dashboard.",
        Query(expr),
        {
            "airport": "airport",
            "connection": "connection",
            "Value": "since",
            "must_act": "must act",
            "reason": "why",
            "what_to_do": "what to do",
        },
        sort="since",
        descending=True,
        overrides=(
            override("airport", links=[airport_link()], custom__width=110),
            override("connection", custom__width=140),
            override(
                "since",
                unit="dateTimeFromNow",
                custom__width=150,
                mappings=[value_map({"0": Word("never seen")})],
            ),
            override(
                "must act",
                mappings=[SIDE_MAP],
                custom__width=100,
                custom__cellOptions={"type": "color-text"},
            ),
            override("why", mappings=[REASON_MAP]),
            override(
                "what to do",
                mappings=[FIX_MAP],
                custom__cellOptions={"type": "auto", "wrapText": True},
            ),
        ),
        no_value="Every tunnel is up (or nothing was scraped: see the counts above).",
    )


def _alerts() -> Panel:
    labels = "alertname, severity, alertstate, airport, connection"
    return table(
        "Alerts",
        "Alerts of the rules in manifests/prometheus, as Prometheus has them: *pending* ones wait"
        " for their time, *firing* ones went to Alertmanager. Empty without these rules. What to do"
        " about an alert is in its own text, in Prometheus and Alertmanager.",
        Query(
            f'1000 * max by ({labels}) (ALERTS{{alertname=~"Vpn.*"}}'
            " * ignoring (alertstate) group_left () ALERTS_FOR_STATE)"
        ),
        {
            "alertname": "alert",
            "alertstate": "state",
            "severity": "severity",
            "airport": "airport",
            "connection": "connection",
            "Value": "since",
        },
        height=7,
        sort="state",
        overrides=(
            override("airport", links=[airport_link()]),
            override("since", unit="dateTimeFromNow"),
            override(
                "state",
                mappings=[
                    value_map(
                        {"firing": Word("firing", VERMILION), "pending": Word("pending", ORANGE)}
                    )
                ],
                custom__cellOptions={"type": "color-text"},
            ),
        ),
        no_value="No alert.",
    )


def _courses() -> Panel:
    return timeseries(
        "Tunnels by state",
        "How many tunnels were in which state. While charon could not be asked, all of them are"
        " *not known*.",
        Query(
            f"sum by (state) (max by ({ONE}, state) (vpn_connection_state))",
            "{{state}}",
        ),
        Query(f"sum({NOT_OBSERVED})", "not known"),
        unit="none",
        decimals=0,
        stacked=True,
        colors={"up": BLUE, "down": VERMILION, "connecting": ORANGE, "not known": DARK},
    )


def _reconnects() -> Panel:
    return table(
        "Came up most often",
        f"The {TOP} tunnels that came up most often in the shown time. Once or twice is a site that"
        " restarted; many times is a line or a router that flaps.",
        Query(
            f"topk({TOP}, round(sum by ({ONE})"
            " (increase(vpn_connection_establishments_total[$__range]))) > 0)"
        ),
        {"airport": "airport", "connection": "connection", "Value": "came up"},
        width=12,
        height=8,
        sort="came up",
        descending=True,
        overrides=(override("airport", links=[airport_link()]),),
        no_value="No tunnel came up anew in this time.",
    )


def _failures() -> Panel:
    return timeseries(
        "Failures by cause",
        "Failed attempts and lost tunnels of all airports, in each step of the picture. What the"
        " causes mean is in docs/reasons.md.",
        Query(counted("vpn_connection_failures_total", "reason"), "{{reason}}"),
        unit="none",
        calcs=("sum",),
        bars=True,
        stacked=True,
    )


def _degraded() -> Panel:
    return table(
        "Up, but not as declared",
        "Tunnels that work, but not quite as airports.json says. What the codes mean is in"
        " docs/reasons.md.",
        Query(f"max by ({ONE}, reason) (vpn_connection_degraded_reason)"),
        {"airport": "airport", "connection": "connection", "reason": "what differs"},
        width=12,
        height=8,
        sort="airport",
        overrides=(override("airport", links=[airport_link()]),),
        no_value="Every tunnel that is up is as declared (or nothing was scraped).",
    )


def _traffic() -> Panel:
    def total(direction: str) -> Query:
        series = f"rate(vpn_connection_{direction}_bytes_total[{WINDOW}])"
        return Query(f"8 * sum({one(series)})", direction)

    return timeseries(
        "Traffic of all tunnels",
        "What passed through all tunnels together: *received* comes from the airports, *sent* goes"
        " to them. Counted inside the tunnels, without the overhead of IPsec.",
        total("received"),
        total("sent"),
        unit="bps",
        calcs=("lastNotNull", "mean", "max"),
        colors=RESULTS,
    )


def _busiest() -> Panel:
    def both(window: str) -> str:
        return " + ".join(
            one(f"rate(vpn_connection_{direction}_bytes_total{window})")
            for direction in ("received", "sent")
        )

    return timeseries(
        "Busiest tunnels",
        f"The {TOP} tunnels with the most traffic in the shown time, both directions together.",
        Query(
            top(f"8 * ({both(f'[{WINDOW}]')})", both(AT_END), TOP),
            "{{airport}} {{connection}}",
        ),
        unit="bps",
        calcs=("lastNotNull", "mean", "max"),
    )


ANSWERED = f"({one('vpn_connection_probe_round_trip_seconds')} and on ({ONE}) " + (
    "vpn_connection_probe_success == 1)"
)


def _round_times() -> Panel:
    return timeseries(
        "Round times of the probes",
        "How long the probes of all tunnels took there and back: half of the tunnels"
        " were faster than the *median*, 19 of 20 faster than *95 %*. Probes that failed don't"
        " count.",
        Query(f"quantile(0.5, {ANSWERED})", "median"),
        Query(f"quantile(0.95, {ANSWERED})", "95 %"),
        Query(f"max({ANSWERED})", "slowest"),
        unit="s",
        colors={"median": BLUE, "95 %": ORANGE, "slowest": VERMILION},
        no_value="no probe has run",
    )


def _slowest() -> Panel:
    return timeseries(
        "Slowest tunnels",
        f"The {TOP} tunnels whose probes took longest on average in the shown time.",
        Query(
            top(
                ANSWERED,
                one(f"avg_over_time(vpn_connection_probe_round_trip_seconds{AT_END})"),
                TOP,
            ),
            "{{airport}} {{connection}}",
        ),
        unit="s",
        no_value="no probe has run",
    )


def _probes() -> Panel:
    return timeseries(
        "Probes by result",
        "How many probes a second were answered, and how many were not. A camera that is switched"
        " off fails its probe; the tunnel may be well.",
        Query(f"sum by (result) (rate(vpn_probes_total[{WINDOW}]))", "{{result}}"),
        unit="ops",
        stacked=True,
        colors={"ok": BLUE, "failed": VERMILION},
    )


def _silent() -> Panel:
    labels = f"{ONE}, camera"
    return table(
        "Up, but silent",
        "Tunnels that are up, whose probe or whose cameras don't answer: look at the camera and at"
        " the airport's network before you look at the tunnel. A row without a camera is the probe"
        " of the tunnel itself.",
        Query(
            f"(max by ({labels}) (vpn_camera_up == 0)"
            f" or max by ({labels}) (vpn_connection_probe_success == 0))"
            f" and on ({ONE}) vpn_connection_up == 1"
        ),
        {"airport": "airport", "connection": "connection", "camera": "camera"},
        width=12,
        height=8,
        sort="airport",
        overrides=(
            override("airport", links=[airport_link()]),
            override("camera", mappings=[value_map({"": Word("(the tunnel's probe)")})]),
        ),
        no_value="Everything that was probed answers (or nothing was probed).",
    )


def _switches() -> Panel:
    questions = {
        "charon answers": "vpn_daemon_reachable",
        "charon is heard": "vpn_log_listening",
        "container is healthy": 'vpn_container_health{health="healthy"}',
        "airports.json is valid": "vpn_configuration_valid",
        "keeps the hub": "vpn_leading",
    }
    return state_timeline(
        "What everything depends on",
        "*charon answers*: else nothing is known of the tunnels. *charon is heard*: its log says"
        " why tunnels fail; in a flood of packets it is not listened to for a minute. *Container is"
        " healthy*: Docker's own check. *airports.json is valid*: else what was last valid stays in"
        " force. *Keeps the hub*: else another reconciler does, and this one stands by.",
        *(Query(f"max({series})", name) for name, series in questions.items()),
        mappings=[YES_NO],
        width=12,
    )


def _container() -> Panel:
    colors = {
        "running": BLUE,
        "paused": GREY,
        "restarting": ORANGE,
        "created": SKY,
        "unknown": DARK,
    }
    return state_timeline(
        "State of charon's container",
        "Docker's word for the state of the container, one row for each state that it was in."
        " *unknown*: the Docker API could not be asked; *missing*: there is no such container.",
        Query("max by (state) (vpn_container_state) == 1", "{{state}}"),
        mappings=[value_map({"1": Word("yes")})],
        width=12,
        show_value="never",
        overrides=tuple(
            override(name, color={"mode": "fixed", "fixedColor": color})
            for name, color in colors.items()
        ),
        no_value="no Docker API is configured",
    )


def _workers() -> Panel:
    return timeseries(
        "Threads and queue of charon",
        "*busy* of *all* threads of charon; *queued* are jobs that wait for a free one. A queue"
        " that stays means that the hub is overloaded.",
        Query("max(vpn_daemon_workers - vpn_daemon_workers_idle)", "busy"),
        Query("max(vpn_daemon_workers)", "all"),
        Query("max(vpn_daemon_queued_jobs)", "queued"),
        unit="none",
        decimals=0,
        width=8,
        colors={"busy": BLUE, "all": GREY, "queued": VERMILION},
    )


def _key_exchanges() -> Panel:
    return timeseries(
        "Key exchanges in charon",
        "*all* IKE_SAs, those of others included, and the unfinished ones among them. Many"
        " unfinished ones are sites whose packets get lost on the way, or somebody who tries doors."
        " *Strangers* are peers of the last day that fit no declared tunnel.",
        Query("max(vpn_daemon_ike_sas)", "all"),
        Query("max(vpn_daemon_half_open_ike_sas)", "unfinished"),
        Query("max(vpn_strangers)", "strangers"),
        unit="none",
        decimals=0,
        width=8,
        colors={"all": BLUE, "unfinished": ORANGE, "strangers": PURPLE},
    )


def _container_numbers() -> Panel:
    def during(metric: str) -> str:
        return f"round(max(increase({metric}[$__range])))"

    alarm = steps((None, BLUE), (1, ORANGE))
    return stat(
        "charon's restarts",
        "In the shown time: restarts of the container by the reconciler, and by Docker itself since"
        " the container was made. *Given up*: the container is ill, and the reconciler has used up"
        " its restarts of this hour. *Runs for*: since charon's own start. Beside it stand its"
        " version, and where packets are encrypted: in the kernel, or in charon (userspace).",
        Query(during("vpn_container_restarts_total"), "by the reconciler", instant=True),
        Query("max(vpn_container_docker_restarts)", "by Docker", instant=True),
        Query("max(vpn_container_healing_held)", "given up", instant=True),
        Query("time() - max(vpn_daemon_start_timestamp_seconds)", "runs for", instant=True),
        Query(
            "max by (version, data_plane) (vpn_daemon_info)",
            "charon {{version}} {{data_plane}}",
            instant=True,
        ),
        unit="none",
        width=8,
        height=8,
        colors=alarm,
        overrides=(
            override(
                "given up",
                mappings=[value_map({"1": Word("yes", VERMILION), "0": Word("no", BLUE)})],
            ),
            shown_by_name("charon"),
            override(
                "runs for",
                unit="s",
                decimals=0,
                thresholds=steps((None, ORANGE), (300, BLUE)),
            ),
        ),
    )


def _airports() -> Panel:
    names = {"declared": BLUE, "disabled": GREY, "invalid": VERMILION}
    return timeseries(
        "Airports in airports.json",
        "*declared*: tunnels that should exist. *disabled*: switched off in the file, so no tunnel"
        " is wanted, and none is down. *invalid*: with an error; what was last valid of them stays"
        " in force.",
        Query("max by (state) (vpn_airports)", "{{state}}"),
        unit="none",
        decimals=0,
        colors=names,
    )


def _file() -> Panel:
    return stat(
        "The file now",
        "*Valid since*: when the file last had no error; it is read in every round, so this is a"
        " moment ago unless something is wrong. *Removals held*: so many airports vanished from the"
        " file at once that their removal waits for a yes. *Readings with an error* in the shown"
        " time.",
        Query(
            "time() - max(vpn_configuration_last_valid_timestamp_seconds > 0)",
            "last valid",
            instant=True,
        ),
        Query("max(vpn_removals_held)", "removals held", instant=True),
        Query(
            'round(max(increase(vpn_configuration_reads_total{result="invalid"}[$__range])))',
            "readings with an error",
            instant=True,
        ),
        unit="none",
        width=12,
        height=8,
        colors=steps((None, BLUE), (1, ORANGE)),
        overrides=(
            override(
                "last valid", unit="s", decimals=0, thresholds=steps((None, BLUE), (120, VERMILION))
            ),
        ),
    )


def _ages() -> Panel:
    late = steps((None, BLUE), (60, ORANGE), (120, VERMILION))
    return stat(
        "The reconciler now",
        "How long ago a round with charon was last complete, and how old the status file is: a"
        " round is made at least every 30 seconds. *Failed writings* of the status file in the"
        " shown time. *Errors*: what else failed in rounds, see the log. *Prober*: when the"
        " probes last took their turn.",
        Query(
            "time() - max(vpn_last_complete_round_timestamp_seconds > 0)",
            "complete round",
            instant=True,
        ),
        Query("time() - max(vpn_status_timestamp_seconds)", "status", instant=True),
        Query("time() - max(vpn_prober_last_turn_timestamp_seconds > 0)", "prober", instant=True),
        Query(
            "round(max(increase(vpn_status_write_errors_total[$__range])))",
            "failed writings",
            instant=True,
        ),
        Query("round(max(increase(vpn_round_errors_total[$__range])))", "errors", instant=True),
        Query("max by (version) (vpn_build_info)", "version {{version}}", instant=True),
        unit="s",
        width=24,
        colors=late,
        overrides=(
            *(
                override(name, unit="none", thresholds=steps((None, BLUE), (1, ORANGE)))
                for name in ("failed writings", "errors")
            ),
            shown_by_name("version"),
        ),
    )


def _rounds() -> Panel:
    return timeseries(
        "Rounds by result",
        "Rounds a second. *charon_unreachable*: nothing could be seen, so nothing was done."
        " *failed*: ended in an unexpected error, see the log.",
        Query(f"sum by (result) (rate(vpn_rounds_total[{WINDOW}]))", "{{result}}"),
        unit="ops",
        stacked=True,
        colors={"ok": BLUE, "charon_unreachable": ORANGE, "failed": VERMILION},
    )


def _durations() -> Panel:
    buckets = f"sum by (le) (rate(vpn_round_duration_seconds_bucket[{WINDOW}]))"
    mean = " / ".join(
        f"sum(rate(vpn_round_duration_seconds_{part}[{WINDOW}]))" for part in ("sum", "count")
    )
    return timeseries(
        "How long a round takes",
        "From the look at the file and at charon to the written status. The median and the 95 % are"
        " estimated from buckets.",
        Query(mean, "mean"),
        Query(f"histogram_quantile(0.5, {buckets})", "median"),
        Query(f"histogram_quantile(0.95, {buckets})", "95 %"),
        unit="s",
        colors={"mean": BLUE, "median": SKY, "95 %": ORANGE},
    )


def _actions() -> Panel:
    return timeseries(
        "Actions",
        "What the reconciler did, in each step of the picture. *failed*: charon or Docker refused."
        " Nothing is drawn while nothing had to be done. What the actions are is in"
        " docs/metrics.md.",
        Query(
            f"{counted('vpn_actions_total', 'action, result')} > 0",
            "{{action}} {{result}}",
        ),
        unit="none",
        calcs=("sum",),
        bars=True,
        stacked=True,
        no_value="nothing had to be done",
    )


def _wakes() -> Panel:
    return timeseries(
        "What woke the reconciler",
        "Why rounds were made, each second. A change is acted upon at once; the *timer* is for what"
        " nobody tells.",
        Query(f"sum by (reason) (rate(vpn_round_wakes_total[{WINDOW}]))", "{{reason}}"),
        unit="ops",
        stacked=True,
        calcs=("mean", "max"),
    )
