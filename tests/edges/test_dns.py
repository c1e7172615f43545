"""Names of cameras, against a real name server on this machine."""

import asyncio
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from reconciler.core.names import Lookup
from reconciler.edges.dns import Names, Resolver, look_up_now, read_hosts
from tests.docker import eventually
from tests.edges.dns_server import DnsServer, records, refused

PATIENCE_S = 0.8


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer().running() as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "resolv.conf").write_text(
        "search lan.example.org example.org\nnameserver 127.0.0.1\noptions ndots:1\n"
    )
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    return tmp_path


@pytest.fixture
def resolver(server: DnsServer, files: Path) -> Resolver:
    return made(server, files)


def made(server: DnsServer, files: Path, patience_s: float = PATIENCE_S) -> Resolver:
    return Resolver(files / "resolv.conf", files / "hosts", port=server.port, patience_s=patience_s)


def lookup(resolver: Resolver, name: str = "cam.example.org") -> Lookup:
    return asyncio.run(resolver.lookup(name))


def texts(found: Lookup) -> set[str]:
    return {str(address) for address in found.addresses}


def test_both_families_are_asked_for_and_the_shorter_ttl_counts(
    server: DnsServer, resolver: Resolver
) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9", "@ AAAA fd00::9", ttl=17)
    found = lookup(resolver)
    assert (texts(found), found.ttl_s) == ({"192.168.1.9", "fd00::9"}, 17)
    assert {kind for _, kind, _ in server.questions} == {"A", "AAAA"}


def test_a_name_with_ipv6_only_is_known(server: DnsServer, resolver: Resolver) -> None:
    server.answers["cam.example.org"] = records("@ AAAA fd00::9")
    assert texts(lookup(resolver)) == {"fd00::9"}


def test_sixteen_addresses_are_all_known(server: DnsServer, resolver: Resolver) -> None:
    wanted = {f"192.168.1.{n}" for n in range(1, 17)}
    server.answers["cam.example.org"] = records(*(f"@ A {one}" for one in wanted))
    assert texts(lookup(resolver)) == wanted


def test_a_chain_of_aliases_is_followed_and_its_shortest_ttl_counts(
    server: DnsServer, resolver: Resolver
) -> None:
    chain = [f"n{i}.example.org. CNAME n{i + 1}.example.org." for i in range(8)]
    every = records("@ CNAME n0.example.org.", *chain, "n8.example.org. A 192.168.1.9", ttl=40)
    server.answers["cam.example.org"] = every
    found = lookup(resolver)
    assert (texts(found), found.ttl_s) == ({"192.168.1.9"}, 40)


def test_a_chain_without_end_is_no_answer_and_ends(server: DnsServer, resolver: Resolver) -> None:
    loop = records("@ CNAME b.example.org.", "b.example.org. CNAME cam.example.org.")
    server.answers["cam.example.org"] = loop
    found = lookup(resolver)
    assert found.failure or found.absent
    assert not found.addresses


def test_an_answer_too_long_for_udp_is_fetched_over_tcp(
    server: DnsServer, resolver: Resolver
) -> None:
    wanted = {f"192.168.{n // 200}.{n % 200 + 1}" for n in range(120)}
    server.answers["cam.example.org"] = records(*(f"@ A {one}" for one in wanted))
    assert texts(lookup(resolver)) == wanted
    assert ("cam.example.org", "A", "tcp") in server.questions


def test_that_there_is_no_such_name_is_an_answer_with_the_ttl_of_the_zone(
    resolver: Resolver,
) -> None:
    assert lookup(resolver, "gone.example.net") == Lookup(absent="there is no such name", ttl_s=7)


def test_that_a_name_has_no_address_is_one_too(server: DnsServer, resolver: Resolver) -> None:
    server.answers["cam.example.org"] = records("@ MX 5 mail.example.org.")
    assert lookup(resolver) == Lookup(absent="the name has no address", ttl_s=30)


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_a_server_that_refuses_gives_no_answer(
    server: DnsServer, resolver: Resolver, code: dns.rcode.Rcode
) -> None:
    server.answers["cam.example.org"] = refused(code)
    assert lookup(resolver).failure


def test_a_silent_server_gives_no_answer_after_our_patience(
    server: DnsServer, resolver: Resolver
) -> None:
    server.silent = True
    assert lookup(resolver) == Lookup(failure="no server answers in time")


@pytest.mark.parametrize(
    "garbage", [b"", b"x", b"\x00" * 12, b"\xff" * 600, b"HTTP/1.1 200 OK\r\n\r\n"], ids=range(5)
)
def test_garbage_is_no_answer(server: DnsServer, resolver: Resolver, garbage: bytes) -> None:
    server.answers["cam.example.org"] = lambda _: garbage
    assert lookup(resolver).failure


def test_an_answer_to_another_question_is_no_answer(server: DnsServer, resolver: Resolver) -> None:
    def other(query: dns.message.Message) -> bytes:
        forged = dns.message.make_response(dns.message.make_query("evil.example.org", "A"))
        forged.id = query.id
        return forged.to_wire()

    server.answers["cam.example.org"] = other
    assert lookup(resolver).failure


def test_one_family_that_is_not_answered_does_not_hide_the_other(
    server: DnsServer, resolver: Resolver
) -> None:
    found = records("@ A 192.168.1.9", ttl=3600)
    server.answers["cam.example.org"] = lambda query: (
        found(query) if query.question[0].rdtype == 1 else None
    )
    half = lookup(resolver)
    assert texts(half) == {"192.168.1.9"}
    assert half.ttl_s <= 60, "the other family is asked for again soon"


def test_the_hosts_file_goes_before_and_is_read_again_when_it_changes(
    server: DnsServer, files: Path, resolver: Resolver
) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9")
    hosts = files / "hosts"
    hosts.write_text(
        "# cameras\n192.168.1.5 other Cam.example.org # mine\nnonsense cam\n::5 cam6\n"
    )
    assert texts(lookup(resolver)) == {"192.168.1.5"}
    hosts.write_text("")
    assert texts(lookup(resolver)) == {"192.168.1.9"}
    assert read_hosts(files / "none") == {}


def test_search_domains_complete_a_short_name_and_a_dot_at_its_end_forbids_that(
    server: DnsServer, resolver: Resolver
) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9")
    assert texts(lookup(resolver, "cam")) == {"192.168.1.9"}
    assert [name for name, kind, _ in server.questions if kind == "A"] == [
        "cam.lan.example.org",
        "cam.example.org",
    ]
    assert lookup(resolver, "cam.").absent


def test_a_changed_resolv_conf_is_heeded_and_one_without_servers_is_said(
    server: DnsServer, files: Path, resolver: Resolver
) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9")
    assert lookup(resolver).addresses
    (files / "resolv.conf").unlink()
    assert "names no server" in lookup(resolver).failure
    (files / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    assert lookup(resolver).addresses


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..b", ".", "", "x" * 300, "\x00", "ä"])
def test_a_name_that_can_be_none_is_no_answer_and_no_exception(
    resolver: Resolver, name: str
) -> None:
    assert not lookup(resolver, name).addresses


# The thread that keeps them


class Kept:
    """Names that are kept, on a clock that the test moves."""

    def __init__(self, resolver: Resolver) -> None:
        self.now_s = 1000.0
        self.news = 0
        self.names = Names(resolver, self._count, lambda: self.now_s)

    def _count(self) -> None:
        self.news += 1

    def addresses(self, name: str = "cam.example.org") -> set[str]:
        known = self.names.want({name}).get(name)
        return {str(one) for one in known.addresses} if known else set()

    def eventually(self, condition: Callable[[], bool], what: str) -> None:
        eventually(condition, 5, what)


@pytest.fixture
def kept(resolver: Resolver) -> Iterator[Kept]:
    made = Kept(resolver)
    made.names.start()
    yield made
    made.names.stop()
    assert made.names.join(5)


def test_a_name_is_looked_up_when_it_is_wanted_and_again_when_its_ttl_ends_and_not_before(
    server: DnsServer, kept: Kept
) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9", ttl=20)
    kept.eventually(lambda: kept.addresses() == {"192.168.1.9"}, "it is known")
    server.answers["cam.example.org"] = records("@ A 192.168.1.10", ttl=20)
    asked = len(server.questions)
    kept.now_s += 19
    kept.names._wake()
    assert kept.addresses() == {"192.168.1.9"}
    assert len(server.questions) == asked
    kept.now_s += 2
    kept.eventually(lambda: kept.addresses() == {"192.168.1.10"}, "the change is known")
    assert kept.news == 2


def test_an_answer_that_brings_nothing_new_wakes_nobody(server: DnsServer, kept: Kept) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9", ttl=20)
    kept.eventually(lambda: bool(kept.addresses()), "it is known")
    asked = len(server.questions)
    kept.now_s += 30
    kept.eventually(lambda: len(server.questions) >= asked + 2, "it is asked again")
    kept.eventually(
        lambda: kept.names.want({"cam.example.org"})["cam.example.org"].due_s > kept.now_s,
        "and answered",
    )
    assert kept.news == 1


def test_while_the_server_is_silent_the_last_answer_stays_and_that_is_known(
    server: DnsServer, kept: Kept
) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9", ttl=20)
    kept.eventually(lambda: bool(kept.addresses()), "it is known")
    server.silent = True
    kept.now_s += 30

    def failed() -> bool:
        return bool(kept.names.want({"cam.example.org"})["cam.example.org"].failure)

    kept.eventually(failed, "the failure is known")
    assert kept.addresses() == {"192.168.1.9"}
    server.silent = False
    kept.now_s += 60
    kept.eventually(lambda: not failed(), "it is answered again")


def test_what_is_not_wanted_any_more_is_forgotten_and_not_asked(
    server: DnsServer, kept: Kept
) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9", ttl=20)
    kept.eventually(lambda: bool(kept.addresses()), "it is known")
    kept.eventually(lambda: kept.names.want(()) == {}, "it is forgotten")
    asked = len(server.questions)
    kept.now_s += 100
    kept.names._wake()
    assert len(server.questions) == asked


def test_a_server_that_is_silent_for_some_names_holds_up_no_others(
    server: DnsServer, kept: Kept
) -> None:
    slow = {f"slow{n}.example.org" for n in range(10)}
    for name in slow:
        server.answers[name] = lambda _: None
    server.answers["cam.example.org"] = records("@ A 192.168.1.9")
    kept.names.want(slow)
    kept.eventually(lambda: len(server.questions) > 10, "they are asked")
    wanted = {*slow, "cam.example.org"}
    eventually(
        lambda: "cam.example.org" in kept.names.want(wanted), 0.7, "the other is known", 0.02
    )


def test_a_command_that_ends_looks_up_once(server: DnsServer, resolver: Resolver) -> None:
    server.answers["cam.example.org"] = records("@ A 192.168.1.9")
    found = look_up_now({"cam.example.org", "gone.example.net"}, resolver)
    assert found["cam.example.org"].addresses == (ip_address("192.168.1.9"),)
    assert found["gone.example.net"].absent
