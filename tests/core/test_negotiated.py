"""A tunnel that is up, held against its declaration."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from reconciler.core.negotiated import Flaw, compare
from reconciler.core.observed import Algorithms, ChildSa, IkeSa
from reconciler.core.render import Connection
from tests.builders import connection

KSPB = connection()
CBC = connection(encryption="aes256-sha256", dh_group=15)
CHACHA = connection(encryption="chacha20poly1305", dh_group=31)
# As charon 6.0.1 tells them; a CHILD_SA made within IKE_AUTH has no group.
IKE_GCM = Algorithms("AES_GCM_16", 256, "", "PRF_HMAC_SHA2_256", "MODP_2048")
ESP_GCM = Algorithms("AES_GCM_16", 256)
IKE_CBC = Algorithms("AES_CBC", 256, "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "MODP_3072")
ESP_CBC = Algorithms("AES_CBC", 256, "HMAC_SHA2_256_128")


def child(algorithms: Algorithms = ESP_GCM, **changes: Any) -> ChildSa:
    subnets = (ip_network("0.0.0.0/0"),), (ip_network("192.168.1.0/24"),)
    made = ChildSa("lan", "1", "INSTALLED", *subnets, installed_s=60, algorithms=algorithms)
    return replace(made, **changes)


def ike(*children: ChildSa, algorithms: Algorithms = IKE_GCM, **changes: Any) -> IkeSa:
    made = IkeSa("kspb_vpn", "1", "ESTABLISHED", "198.51.100.7", 4500, established_s=60)
    return replace(made, children=children, algorithms=algorithms, nat_seen=True, **changes)


def flaws(wanted: Connection, *sas: IkeSa) -> list[tuple[Flaw, str]]:
    return [(found.code, found.text) for found in compare(wanted, sas)]


@pytest.mark.parametrize(
    ("wanted", "sa"),
    [
        pytest.param(KSPB, ike(child()), id="no group within IKE_AUTH"),
        pytest.param(KSPB, ike(child(replace(ESP_GCM, group="MODP_2048"))), id="rekeyed, PFS"),
        pytest.param(KSPB, ike(child(), initiator=True), id="the hub dialled"),
        pytest.param(CBC, ike(child(ESP_CBC), algorithms=IKE_CBC), id="CBC"),
        pytest.param(
            CHACHA,
            ike(
                child(Algorithms("CHACHA20_POLY1305")),
                algorithms=Algorithms(
                    "CHACHA20_POLY1305", 0, "", "PRF_HMAC_SHA2_256", "CURVE_25519"
                ),
            ),
            id="of this cipher charon tells no key size",
        ),
        pytest.param(KSPB, ike(child(Algorithms()), algorithms=Algorithms()), id="nothing told"),
    ],
)
def test_a_tunnel_as_declared_has_no_flaw(wanted: Connection, sa: IkeSa) -> None:
    assert flaws(wanted, sa) == []


def test_the_ike_algorithms_of_another_airport_are_named() -> None:
    """The hub has one list for all, so a site can choose what another one declares."""
    assert flaws(KSPB, ike(child(), algorithms=IKE_CBC)) == [
        (
            Flaw.OTHER_IKE_ALGORITHMS,
            "IKE uses AES_CBC_256, MODP_3072 instead of aes256gcm16-prfsha256-modp2048",
        )
    ]


@pytest.mark.parametrize(
    ("wanted", "used", "named"),
    [
        (KSPB, replace(ESP_GCM, key_bits=128), "AES_GCM_16_128"),
        (KSPB, ESP_CBC, "AES_CBC_256"),
        (KSPB, replace(ESP_GCM, group="ECP_384"), "ECP_384"),
        (CBC, replace(ESP_CBC, integrity="HMAC_SHA1_96"), "HMAC_SHA1_96"),
    ],
)
def test_other_esp_algorithms_are_named(wanted: Connection, used: Algorithms, named: str) -> None:
    ((code, text),) = flaws(wanted, ike(child(used), algorithms=Algorithms()))
    assert code is Flaw.OTHER_ESP_ALGORITHMS
    assert text.startswith(f"ESP uses {named} instead of {wanted.suite.esp_proposals[0]}")


def test_a_hubs_side_that_the_site_narrowed_is_named() -> None:
    wanted = connection(local_subnet=["10.1.0.0/16", "10.2.0.0/16"])
    narrow = ike(child(local_subnets=(ip_network("10.1.0.0/16"),)))
    assert flaws(wanted, narrow) == [
        (
            Flaw.NARROWED_SELECTORS,
            "the site's selectors leave out 10.2.0.0/16 on the hub's side",
        )
    ]
    second = child(local_subnets=(ip_network("10.2.0.0/16"),), unique_id="2")
    assert flaws(wanted, ike(*narrow.children, second)) == []


def test_by_default_the_hubs_side_is_what_the_site_asks_for() -> None:
    assert flaws(KSPB, ike(child(local_subnets=(ip_network("10.1.0.0/16"),)))) == []


def test_duplicates_that_last_are_named() -> None:
    twin = ike(child(), unique_id="2")
    assert flaws(KSPB, ike(child()), twin) == [
        (Flaw.DUPLICATE_IKE_SAS, "2 IKE_SAs carry it at the same time: 1, 2")
    ]
    assert flaws(KSPB, ike(child()), replace(twin, established_s=5)) == []
    assert flaws(KSPB, ike(child(), child(unique_id="2"))) == [
        (Flaw.DUPLICATE_CHILD_SAS, "IKE_SA 1 holds several CHILD_SAs for the same subnets")
    ]
    assert flaws(KSPB, ike(child(), child(unique_id="2", installed_s=3))) == []
    assert flaws(KSPB, ike(child(), child(unique_id="2", state="DELETED"))) == []


def test_nat_without_udp_around_the_packets_is_named() -> None:
    assert flaws(KSPB, ike(child(udp_encapsulated=False))) == [
        (Flaw.NO_NAT_TRAVERSAL, "there is NAT on the way, but ESP is not wrapped in UDP")
    ]
    direct = replace(ike(child(udp_encapsulated=False)), nat_seen=False)
    assert flaws(KSPB, direct) == []
