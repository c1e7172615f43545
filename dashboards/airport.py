"""The dashboard *Airport*: one connection in all detail."""

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
    override,
    override_of_query,
    query_variable,
    stat,
    state_timeline,
    steps,
    table,
    timeseries,
    to_dashboard,
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
    counted,
    moment,
    one,
    state,
)

IT = 'airport="$airport", connection="$connection"'


def its(metric: str, more: str = "") -> str:
    """Return a metric of this connection."""
    return f"{metric}{{{', '.join(part for part in (IT, more) if part)}}}"


def dashboard() -> Dashboard:
    """Return the whole dashboard."""
    return Dashboard(
        uid="vpn-airport",
        title="VPN airport",
        description="One airport's tunnel: its states, why, its traffic, its cameras, its keys.",
        since="now-24h",
        variables=(
            query_variable("airport", "Airport", "label_values(vpn_connection_desired, airport)"),
            query_variable(
                "connection",
                "Connection",
                'label_values(vpn_connection_desired{airport="$airport"}, connection)',
            ),
        ),
        annotations=_events(),
        links=(to_dashboard("All airports", "vpn-fleet"),),
        sections=(
            Section(
                "At a glance",
                (_now(), _since(), _uptime(), _received(), _due(), _reason(), _timeline(), _why()),
            ),
            Section("Traffic", (_traffic(), _packets())),
            Section("Probe and cameras", (_round_time(), _answers(), _cameras())),
            Section("Keys", (_renewals(), _expiry(), _rotation())),
            Section("Failures", (_failures(), _attempts(), _comings())),
        ),
    )


def _events() -> tuple[dict[str, object], ...]:
    transition = moment("vpn_connection_last_transition_timestamp_seconds", IT)
    reasons = f"max by ({ONE}, reason) ({its('vpn_connection_reason')})"
    stages, stages_before = (
        f"max by (stage) ({its('vpn_connection_key_rotation')}{offset})"
        for offset in ("", " offset $__interval")
    )
    paused, paused_before = (
        f"max by ({ONE}) ({its('vpn_connection_paused')}{offset})"
        for offset in ("", " offset $__interval")
    )
    return (
        annotation(
            "not up",
            f"{transition} * on ({ONE}) group_right () {reasons}",
            VERMILION,
            "{{connection}}: {{reason}}",
            "Its state moment, and it is not up. What the reason means is in docs/reasons.md.",
            value_is_time=True,
        ),
        annotation(
            "up",
            f"{transition} and on ({ONE}) {its('vpn_connection_up')} == 1",
            BLUE,
            "{{connection}}: up",
            "The tunnel came up.",
            value_is_time=True,
        ),
        annotation(
            "charon started",
            moment("vpn_daemon_start_timestamp_seconds", by="job"),
            ORANGE,
            "charon started",
            "All tunnels were dialled anew.",
            value_is_time=True,
        ),
        annotation(
            "key rotation",
            f"{stages} == 1 unless {stages_before} == 1",
            PURPLE,
            "key rotation: {{stage}}",
            "The rotation of the key came to this stage.",
        ),
        annotation(
            "paused",
            f"{paused} == 1 unless {paused_before} == 1",
            GREY,
            "{{connection}}: paused",
            "From here on it was left alone by order.",
        ),
    )


def _now() -> Panel:
    return stat(
        "State now",
        "The state of this moment. *degraded*: up, but not as declared. *paused*: left alone by"
        " order, and not up. *not known*: charon can't be asked.",
        Query(state(IT), instant=True),
        unit="none",
        width=4,
        mappings=[STATE_MAP],
        background=True,
        no_value="not declared",
    )


def _since() -> Panel:
    return stat(
        "For",
        "How long it has been in this state.",
        Query(
            f"time() - max({its('vpn_connection_last_transition_timestamp_seconds')} > 0)",
            instant=True,
        ),
        unit="s",
        width=4,
    )


def _uptime() -> Panel:
    return stat(
        "Up, share of the time",
        "The share of the shown time in which the tunnel was up, as far as it was looked at: time"
        " in which charon could not be asked, or nothing was scraped, does not count.",
        Query(f"max(avg_over_time({its('vpn_connection_up')}[$__range]))", instant=True),
        unit="percentunit",
        width=4,
        colors=steps((None, VERMILION), (0.95, ORANGE), (0.99, BLUE)),
    )


def _received() -> Panel:
    return stat(
        "Last packet from the site",
        "How long ago the last packet came out of the tunnel. Nothing comes while nobody asks for a"
        " picture, so a long time alone is no fault.",
        Query(
            f"time() - max({its('vpn_connection_last_received_timestamp_seconds')} > 0)",
            instant=True,
        ),
        unit="s",
        width=4,
        no_value="never",
    )


def _due() -> Panel:
    return stat(
        "Next attempt of the hub in",
        "When the hub itself tries next to bring the tunnel to what is declared. Mostly nothing is"
        " due: the site dials.",
        Query(
            f"max({its('vpn_connection_next_attempt_timestamp_seconds')} > 0) - time()",
            instant=True,
        ),
        unit="s",
        width=4,
        no_value="nothing is due",
    )


def _reason() -> Panel:
    expr = f"max by (reason) ({its('vpn_connection_reason')})"
    for label in ("must_act", "what_to_do"):
        expr = f'label_replace({expr}, "{label}", "$1", "reason", "(.*)")'
    return table(
        "Why it is not up, and who must act",
        "The reason of this moment. *Must act*: the site is whoever looks after the airport's"
        " router, the hub whoever runs this host, the network whoever looks after the lines and"
        " firewalls between.",
        Query(expr),
        {"reason": "why", "must_act": "must act", "what_to_do": "what to do"},
        height=4,
        overrides=(
            override("why", mappings=[REASON_MAP]),
            override(
                "must act",
                mappings=[SIDE_MAP],
                custom__width=100,
                custom__cellOptions={"type": "color-text"},
            ),
            override(
                "what to do",
                mappings=[FIX_MAP],
                custom__cellOptions={"type": "auto", "wrapText": True},
            ),
        ),
        no_value="It is up, or charon can't be asked.",
    )


def _timeline() -> Panel:
    return state_timeline(
        "State over time",
        "The state over time. A state that was shorter than a step of this picture is drawn as long"
        " as a step; of several, the worst. Where nothing is drawn, nothing was scraped, or the"
        " airport was not declared.",
        Query(state(IT, WINDOW), "{{connection}}"),
        mappings=[STATE_MAP],
        height=5,
    )


def _why() -> Panel:
    flaws = its("vpn_connection_degraded_reason")
    return state_timeline(
        "Reasons",
        "One row for each reason why it was not up, and for each way in which it was up but not as"
        " declared; filled while that was so. What they mean is in docs/reasons.md.",
        Query(
            f"max by (reason) (max_over_time({its('vpn_connection_reason')}[{WINDOW}]))",
            "{{reason}}",
        ),
        Query(f"max by (reason) (max_over_time({flaws}[{WINDOW}]))", "{{reason}}"),
        mappings=[value_map({"1": Word("so", VERMILION)})],
        height=7,
        show_value="never",
        overrides=(override_of_query("B", mappings=[value_map({"1": Word("so", PURPLE)})]),),
        no_value="It was up and as declared all the time (or nothing was scraped).",
    )


def _traffic() -> Panel:
    return timeseries(
        "Traffic",
        "What passed through the tunnel: *received* comes from the airport, *sent* goes to it."
        " Counted inside the tunnel, without the overhead of IPsec.",
        *(
            Query(f"8 * max(rate({its(f'vpn_connection_{way}_bytes_total')}[{WINDOW}]))", way)
            for way in RESULTS
        ),
        unit="bps",
        calcs=("lastNotNull", "mean", "max"),
        colors=RESULTS,
    )


def _packets() -> Panel:
    return timeseries(
        "Packets",
        "Packets through the tunnel. Many are sent and none received: the site gets them but has no"
        " way back, or does not get them.",
        *(
            Query(f"max(rate({its(f'vpn_connection_{way}_packets_total')}[{WINDOW}]))", way)
            for way in RESULTS
        ),
        unit="pps",
        calcs=("lastNotNull", "mean", "max"),
        colors=RESULTS,
    )


def _round_time() -> Panel:
    answered = its("vpn_connection_probe_success")
    return timeseries(
        "Round time of the probe",
        "How long the probe took through the tunnel and back. Nothing is drawn while it fails.",
        Query(
            f"{one(its('vpn_connection_probe_round_trip_seconds'))} and on ({ONE}) {answered} == 1",
            "round time",
        ),
        unit="s",
        calcs=("lastNotNull", "mean", "max"),
        no_value="no probe has run",
    )


def _health(word: str) -> str:
    labels = f'health="{word}"'
    return f"max({its('vpn_connection_health', labels)})"


def _answers() -> Panel:
    return state_timeline(
        "Does it answer?",
        "*probe*: whether the last probe was answered. *packets*: the health check by what passes;"
        " *unknown* if nothing was sent.",
        Query(f"max({its('vpn_connection_probe_success')})", "probe"),
        Query(
            f"{_health('pass')} + 2 * {_health('unknown')}",
            "packets",
        ),
        mappings=[
            value_map(
                {"1": Word("yes", BLUE), "0": Word("no", VERMILION), "2": Word("unknown", DARK)}
            )
        ],
        width=12,
        no_value="no probe has run",
    )


def _cameras() -> Panel:
    return state_timeline(
        "Cameras",
        "Whether each camera answers through the tunnel.",
        Query(f"max by (camera) ({its('vpn_camera_up')})", "{{camera}}"),
        mappings=[YES_NO],
        height=6,
        no_value="no camera is probed",
    )


def _renewals() -> Panel:
    return timeseries(
        "Renewed keys",
        "How often keys were renewed: *ike* those of the key exchange, *child* those of the data"
        " tunnel. That is normal, and costs no packet.",
        Query(counted("vpn_connection_rekeys_total", "sa", IT), "{{sa}}"),
        unit="none",
        calcs=("sum",),
        bars=True,
        stacked=True,
        width=8,
        colors={"ike": BLUE, "child": SKY},
    )


def _expiry() -> Panel:
    return timeseries(
        "Time left until the data tunnel expires",
        "Keys are renewed long before. If this comes near 0, their renewal fails, and the tunnel"
        " will be cut.",
        Query(f"max({its('vpn_connection_hard_expiry_timestamp_seconds')}) - time()", "time left"),
        unit="s",
        calcs=("lastNotNull", "min"),
        width=8,
        no_value="no data tunnel",
    )


def _rotation() -> Panel:
    words = {
        "unknown": DARK,
        "old": ORANGE,
        "switching": SKY,
        "new": BLUE,
    }
    return state_timeline(
        "Rotation of the key",
        "While two keys are declared: which of them the site uses, one row for each stage. At *new*"
        " the old key can be removed from airports.json.",
        Query(f"max by (stage) ({its('vpn_connection_key_rotation')}) == 1", "{{stage}}"),
        mappings=[value_map({"1": Word("so")})],
        width=8,
        show_value="never",
        overrides=tuple(
            override(stage, color={"mode": "fixed", "fixedColor": color})
            for stage, color in words.items()
        ),
        no_value="only one key is declared",
    )


def _failures() -> Panel:
    return timeseries(
        "Failures by cause",
        "Failed attempts and losses of this tunnel, in each step of the picture. What the causes"
        " mean is in docs/reasons.md.",
        Query(f"{counted('vpn_connection_failures_total', 'reason', IT)} > 0", "{{reason}}"),
        unit="none",
        calcs=("sum",),
        bars=True,
        stacked=True,
        width=8,
        no_value="no failure",
    )


def _attempts() -> Panel:
    return timeseries(
        "Attempts of the hub",
        "What the hub itself tried so far at what is not reached yet; the pauses between grow with"
        " it. 0: nothing is tried in vain.",
        Query(f"max({its('vpn_connection_attempts')})", "attempts"),
        unit="none",
        decimals=0,
        calcs=("lastNotNull", "max"),
        width=8,
    )


def _comings() -> Panel:
    return timeseries(
        "Came up",
        "How often the tunnel came up, in each step of the picture. Once or twice is a site that"
        " restarted; many times is a line or a router that flaps.",
        Query(f"sum(increase({its('vpn_connection_establishments_total')}[{WINDOW}]))", "came up"),
        unit="none",
        calcs=("sum",),
        bars=True,
        width=8,
    )
