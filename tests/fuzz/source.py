"""Values made from bytes: whoever changes a byte changes one choice."""

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# What has broken other programs: quotes of every language, paths, formats, odd Unicode.
HOSTILE = (
    "",
    " ",
    "kspb",
    "kspb_vpn",
    "by",
    "by_vpn",
    "by.remote",
    "../../etc/passwd",
    "/proc/self/environ",
    "/no/such/file",
    "/tmp",  # noqa: S108 - a path that a file may name
    "%s%n%x{0}{psk}",
    'a"} 1\nvpn_connection_up{x="y',
    'x"\n  }\n}\nsecrets {\n  ike-x { secret = "y" }',
    "x#y",
    "x\\",
    "include /etc/*",
    "$(id)`id`${HOME}",
    "<script>alert(1)</script>",
    "\x00",
    "\x1b[2J\x07",
    "a\r\nb",
    "\ud800",
    "\u202e\u2066",
    "\u2028",
    "é\u0301",
    "\u0130\u0131\u017f\u212a",  # letters that change their length or kind in other cases
    "\uff11\uff19\uff12.168.1.0/24",  # digits of another kind
    "192.168.1.0/24",
    "192.168.7.0/24",
    "0.0.0.0/0",
    "::/0",
    "fd00:1::/64",
    "fe80::1%eth0",
    "999999999999999999999999",
    "-1",
    "1e999",
    "nan",
    "true",
    "yes",
    "__proto__",
    "up",
    "ikesa-name",
    "secrets",
    "2026-11-25T12:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "http://user:pa@ss@192.168.1.100/x?key=1",
    "http://[::1%25eth0]:99999/",
    "aes256gcm128",
    "aes256-sha256",
    "192.168.1.100:80",
    "A" * 300,
    "A" * 5000,
    "\U0001d4b3" * 64,
    "correct-horse-battery-staple",
)
NUMBERS = (0, 1, -1, 2, 14, 3600, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("inf"))


class Source:
    """Hands out choices until the bytes are used up; then it is always the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left to choose by."""
        return self._at >= len(self._data)

    def byte(self) -> int:
        """Return the next byte."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def take(self, most: int) -> bytes:
        """Return as many bytes as the next one says."""
        size = self.byte() % (most + 1)
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        """Return all that is left."""
        taken, self._at = self._data[self._at :], len(self._data)
        return taken

    def pick(self, choices: Sequence[T]) -> T:
        """Choose one."""
        return choices[self.byte() % len(choices)]

    def text(self) -> str:
        """Return a text: one that is known to be awkward, or any other."""
        if self.byte() % 3:
            return self.pick(HOSTILE)
        return self.take(40).decode("utf-8", "surrogateescape" if self.byte() % 2 else "replace")

    def value(self, depth: int = 3) -> Any:
        """Return any value that JSON can have."""
        match self.byte() % (8 if depth else 6):
            case 0 | 1:
                return self.text()
            case 2:
                return self.pick(NUMBERS)
            case 3:
                return self.pick((None, True, False))
            case 4:
                return self.byte()
            case 5:
                return nested(self.byte() * 2)
            case 6:
                return [self.value(depth - 1) for _ in range(self.byte() % 4)]
            case _:
                return {self.text(): self.value(depth - 1) for _ in range(self.byte() % 4)}


def nested(depth: int) -> Any:
    """Return lists in one another."""
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found
