"""A name server for tests, over UDP and TCP, whose answers the test chooses."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Answer = Callable[[dns.message.Message], dns.message.Message | bytes | None]


def _both_on_one_port() -> tuple[socket.socket, socket.socket]:
    """Open TCP and UDP; a port that is free for one may be taken for the other."""
    for _ in range(50):
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
        else:
            return tcp, udp
    raise AssertionError("no port is free for both")


class DnsServer:
    """Answers with what `answers` gives for the question's name; NXDOMAIN for any other.

    None: no answer at all. Bytes: exactly these.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.questions: list[tuple[str, str, str]] = []
        self.silent = False
        self._tcp, self._udp = _both_on_one_port()
        self.port = int(self._udp.getsockname()[1])
        self._threads = [
            threading.Thread(target=self._serve_udp, daemon=True),
            threading.Thread(target=self._serve_tcp, daemon=True),
        ]
        self._stopping = False

    @contextlib.contextmanager
    def running(self) -> Iterator["DnsServer"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping = True
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as goodbye:
                goodbye.sendto(b"", ("127.0.0.1", self.port))
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            for thread in self._threads:
                thread.join(5)
            self._udp.close()
            self._tcp.close()

    def _serve_udp(self) -> None:
        while True:
            data, peer = self._udp.recvfrom(4096)
            if self._stopping:
                return
            answer = self._answer(data, "udp")
            if answer is not None:
                self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                if self._stopping:
                    return
                connection.settimeout(5)
                with contextlib.suppress(OSError):
                    length = int.from_bytes(connection.recv(2), "big")
                    answer = self._answer(connection.recv(length), "tcp")
                    if answer is not None:
                        connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def _answer(self, data: bytes, way: str) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, kind, way))
        if self.silent:
            return None
        made = self.answers.get(name, nothing)(query)
        if not isinstance(made, dns.message.Message):
            return made
        if way == "udp" and len(made.to_wire()) > 1232:
            made = dns.message.make_response(query)
            made.flags |= dns.flags.TC
        return made.to_wire()


def records(*texts: str, ttl: int = 60) -> Answer:
    """Answer with these; `name TYPE value`, `@` being the question's name. Others: no data."""

    def answer(query: dns.message.Message) -> dns.message.Message:
        made = dns.message.make_response(query)
        question = query.question[0]
        of_kind = []
        for text in texts:
            name, kind, value = text.split(" ", 2)
            owner = question.name.to_text() if name == "@" else name
            one = dns.rrset.from_text(owner, ttl, "IN", kind, value)
            if one.rdtype in (question.rdtype, dns.rdatatype.CNAME):
                of_kind.append(one)
        for one in of_kind:
            found = made.find_rrset(made.answer, one.name, one.rdclass, one.rdtype, create=True)
            for record in one:
                found.add(record, one.ttl)
        if not any(one.rdtype == question.rdtype for one in of_kind):
            made.authority.append(_soa(30))
        return made

    return answer


def nothing(query: dns.message.Message) -> dns.message.Message:
    """Answer that there is no such name."""
    made = dns.message.make_response(query)
    made.set_rcode(dns.rcode.NXDOMAIN)
    made.authority.append(_soa(7))
    return made


def refused(code: dns.rcode.Rcode) -> Answer:
    """Answer with an error."""

    def answer(query: dns.message.Message) -> dns.message.Message:
        made = dns.message.make_response(query)
        made.set_rcode(code)
        return made

    return answer


def _soa(minimum: int) -> dns.rrset.RRset:
    return dns.rrset.from_text("example.org.", 900, "IN", "SOA", f"ns. admin. 1 2 3 4 {minimum}")
