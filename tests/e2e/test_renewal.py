"""Keys that are renewed or replaced, with real charons at both ends; packets must not stop."""

import base64
import json
from collections.abc import Callable

import pytest

from tests.docker import docker, eventually
from tests.e2e.stack import (
    PREFIX,
    RECONCILER,
    SITES,
    Airports,
    Stack,
    assert_nothing_lost,
    declaration,
    new_psk,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
URI = ("--uri", "unix:///run/vici/charon.vici")
KSPB, S51 = "kspb_vpn", "s51_vpn"


def children(stack: Stack, name: str) -> set[str]:
    return {child.unique_id for sa in stack.sas(name) for child in sa.carrying_children}


def ike_sas(stack: Stack, name: str) -> set[str]:
    return {sa.unique_id for sa in stack.sas(name)}


def youngest_s(stack: Stack, name: str) -> int:
    sas = stack.sas(name)
    ages_s = [child.installed_s for sa in sas for child in sa.carrying_children]
    return min([*ages_s, *(sa.established_s for sa in sas)], default=0)


def ask(*arguments: str) -> str:
    return docker("exec", RECONCILER, "reconciler", *arguments)


def learn(site: str, psk: str) -> None:
    """Give a running router another key; its tunnel stays as it is until it dials anew."""
    secret = base64.b64encode(psk.encode()).decode()
    file = "/etc/vpn/swanctl.conf"
    docker("exec", site, "sed", "-i", f"s#secret = .*#secret = 0s{secret}#", file)
    docker("exec", site, "swanctl", "--load-creds", "--clear", "--noprompt", "--file", file, *URI)


def dial_anew(site: str) -> None:
    docker("exec", site, "swanctl", "--terminate", "--ike", "hub", *URI, check=False)


@pytest.mark.parametrize("name", [KSPB, S51], ids=["direct", "behind NAT"])
def test_rekey_renews_both_sas_of_one_site_and_no_packet_is_lost(stack: Stack, name: str) -> None:
    # What is two seconds old or younger is as new as what is asked for.
    eventually(lambda: youngest_s(stack, name) > 3, 20, "its SAs are old enough")
    before, kept = (ike_sas(stack, name), children(stack, name)), stack.ike_ids()
    with stack.pinging(*SITES.values()) as losses:
        answer = json.loads(ask("rekey", name, "--json"))
        assert answer == {"connection": name, "renewed": True}
        assert not ike_sas(stack, name) & before[0]
        eventually(lambda: not children(stack, name) & before[1], 10, "only the new child")
    assert_nothing_lost(losses)
    assert {n: i for n, i in stack.ike_ids().items() if n != name} == {
        n: i for n, i in kept.items() if n != name
    }


@pytest.mark.parametrize("name", [KSPB, S51], ids=["direct", "behind NAT"])
def test_reauthentication_makes_a_new_ike_sa_before_the_old_one_ends(
    stack: Stack, name: str
) -> None:
    eventually(lambda: youngest_s(stack, name) > 3, 20, "its SAs are old enough")
    before = ike_sas(stack, name)
    with stack.pinging(*SITES.values()) as losses:
        ask("rekey", name, "--reauth")
        eventually(lambda: not ike_sas(stack, name) & before, 20, "the old one has ended")
        assert len(ike_sas(stack, name)) == 1
        assert [sa.initiator for sa in stack.sas(name)] == [True]
    assert_nothing_lost(losses, replaced=SITES[name.removesuffix("_vpn")])


def test_what_was_established_before_rekey_after_is_renewed(stack: Stack) -> None:
    eventually(lambda: youngest_s(stack, KSPB) > 3, 20, "its SAs are old enough")
    before = ike_sas(stack, KSPB)

    def renew(airports: Airports) -> None:
        airports["kspb"]["vpn"]["rekey_after"] = stack.status().timestamp

    with stack.pinging(*SITES.values()) as losses, stack.edited(renew):
        eventually(lambda: not ike_sas(stack, KSPB) & before, 10, "renewed")
    assert_nothing_lost(losses)


def test_a_key_that_the_site_knows_already_is_replaced_without_losing_a_packet(
    stack: Stack,
) -> None:
    before, old, new = ike_sas(stack, KSPB), stack.airports()["kspb"]["vpn"]["psk"], new_psk()
    site = f"{PREFIX}site-kspb"
    learn(site, new)

    def replace_key(airports: Airports) -> None:
        airports["kspb"]["vpn"]["psk"] = new

    try:
        with stack.pinging(*SITES.values()) as losses:
            airports = stack.airports()
            replace_key(airports)
            stack.declare(airports)
            eventually(lambda: not ike_sas(stack, KSPB) & before, 20, "a new IKE_SA only")
            assert stack.is_up(KSPB)
        assert_nothing_lost(losses, replaced=SITES["kspb"])
    finally:
        learn(site, old)
        airports = stack.airports()
        airports["kspb"]["vpn"]["psk"] = old
        stack.declare(airports)
        stack.wait_until_all_up()


def test_changed_algorithms_come_into_force_without_losing_a_packet(stack: Stack) -> None:
    """The router knows both, and prefers the new one when it is dialled."""
    psk, lan, camera = new_psk(), "192.168.77.0/24", "192.168.77.100"
    proposals = {
        "IKE_PROPOSAL": "aes256gcm128-sha256-modp3072,aes256gcm128-sha256-modp2048",
        "ESP_PROPOSAL": "aes256gcm128-modp3072,aes256gcm128-modp2048",
    }

    def add(airports: Airports) -> None:
        airports["kxyz"] = declaration("kxyz", psk, lan)

    def strengthen(airports: Airports) -> None:
        airports["kxyz"]["vpn"]["dh_group"] = 15

    def group() -> set[str]:
        return {sa.algorithms.group for sa in stack.sas("kxyz_vpn")}

    with stack.site("kxyz", psk, lan, camera, **proposals), stack.edited(add):
        eventually(lambda: stack.is_up("kxyz_vpn"), 20, "kxyz is up")
        assert group() == {"MODP_2048"}
        with stack.pinging(camera, *SITES.values()) as losses, stack.edited(strengthen):
            eventually(lambda: group() == {"MODP_3072"}, 30, "the new group is used")
        assert_nothing_lost(losses, replaced=camera)


def stage(stack: Stack) -> str:
    connection = stack.connection(KSPB)
    return connection.key_rotation if connection else ""


def declare_keys(stack: Stack, **keys: str) -> None:
    airports = stack.airports()
    vpn = {k: v for k, v in airports["kspb"]["vpn"].items() if k not in ("psk", "next_psk")}
    airports["kspb"]["vpn"] = {**vpn, **keys}
    stack.declare(airports)


def test_a_key_is_rotated_in_stages_and_the_site_is_followed_there_and_back(stack: Stack) -> None:
    """The others lose nothing; kspb only what its own redialling costs."""
    old, new, site = stack.airports()["kspb"]["vpn"]["psk"], new_psk(), f"{PREFIX}site-kspb"
    before = ike_sas(stack, KSPB)

    def switched_to(psk: str, expected: str) -> None:
        learn(site, psk)
        dial_anew(site)
        eventually(lambda: stage(stack) == expected and stack.is_up(KSPB), 30, f"it is {expected}")

    try:
        with stack.pinging(SITES["kczk"], SITES["s51"]) as losses:
            declare_keys(stack, psk=old, next_psk=new)
            eventually(lambda: stage(stack) == "old", 5, "the rotation is told")
            assert ike_sas(stack, KSPB) == before, "nobody was cut by its beginning"
            switched_to(new, "new")
            switched_to(old, "old")
            switched_to(new, "new")
            ids = ike_sas(stack, KSPB)
            declare_keys(stack, psk=new)
            eventually(lambda: stage(stack) == "", 5, "the end is told")
            eventually(lambda: one_key(stack), 10, "the old key is gone")
            assert ike_sas(stack, KSPB) == ids, "nobody was cut by its end"
        assert_nothing_lost(losses)
    finally:
        learn(site, old)
        declare_keys(stack, psk=old)
        dial_anew(site)
        stack.wait_until_all_up()


def one_key(stack: Stack) -> bool:
    return len([id_ for id_ in stack.observe().secret_ids if KSPB in id_]) == 1


def test_in_a_rotation_a_restart_of_charon_and_reconciler_keeps_the_choice(stack: Stack) -> None:
    old, new, site = stack.airports()["kspb"]["vpn"]["psk"], new_psk(), f"{PREFIX}site-kspb"
    try:
        declare_keys(stack, psk=old, next_psk=new)
        learn(site, new)
        dial_anew(site)
        eventually(lambda: stage(stack) == "new", 30, "the site has switched")
        eventually(lambda: uptime_s(stack) > 5, 45, "for good")
        failures = refusals(stack)
        docker("restart", "--time", "2", f"{PREFIX}gateway", RECONCILER)
        stack.wait_until_ready()
        stack.wait_until_all_up(60)
        eventually(lambda: stage(stack) == "new", 10, "and still has")
        assert refusals(stack) == failures, "the site was answered with its key at once"
    finally:
        learn(site, old)
        declare_keys(stack, psk=old)
        dial_anew(site)
        stack.wait_until_all_up()


def uptime_s(stack: Stack) -> int:
    connection = stack.connection(KSPB)
    return connection.uptime_seconds if connection else 0


def refusals(stack: Stack) -> int:
    connection = stack.connection(KSPB)
    assert connection is not None
    return sum(
        count
        for code, count in connection.failures.items()
        if code in ("refused-by-site", "closed-at-once")
    )


def test_a_paused_connection_is_left_alone_until_it_is_resumed(stack: Stack) -> None:
    def reload_lifetime(airports: Airports) -> None:
        airports["kspb"]["vpn"]["lifetime"] = 1800

    def names() -> set[str]:
        return {child.name for sa in stack.sas(KSPB) for child in sa.carrying_children}

    before = eventually(names, 20, "its site has dialled in after the test before")
    ask("pause", "kspb", "--for", "10m")
    try:
        rounds: Callable[[], int] = lambda: stack.status().reconciler.round  # noqa: E731
        with stack.edited(reload_lifetime):
            first = rounds()
            eventually(lambda: rounds() > first + 1, 60, "two more rounds")
            assert names() == before
            connection = stack.connection(KSPB)
            assert connection is not None
            assert connection.paused
            ask("resume", "kspb")
            eventually(lambda: names() and not names() & before, 10, "brought in line")
    finally:
        ask("resume", "kspb")
