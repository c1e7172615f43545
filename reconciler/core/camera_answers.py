"""What cameras answer over HTTP and RTSP: read, judged, and the proof that some of them ask for."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.core.reasons import printable

_PICTURES = ("image/", "video/", "multipart/x-mixed-replace")
_STREAM_LISTS = frozenset({"application/vnd.apple.mpegurl", "application/x-mpegurl"})
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"#EXTM3U")
# A name begins at its first letter only: else a long row of letters would take seconds to search.
_PARAMETER = re.compile(r'(?<![A-Za-z-])([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_STATUS = re.compile(rb"(HTTP|RTSP)/\d\.\d (\d{3})(?: |\Z)")
_LONGEST_HEADERS = 100
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HASHES: Mapping[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}


@dataclass(frozen=True, slots=True)
class Head:
    """The first line and the headers of an answer. Header names in lower case."""

    protocol: str
    status: int
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str:
        """Return the first header of that name, or nothing."""
        return next((value for have, value in self.headers if have == name), "")


def parse_head(head: bytes) -> Head | None:
    """Read the head of an answer; None if it is no answer of HTTP or RTSP."""
    first, *lines = head.split(b"\n")
    found = _STATUS.match(first.rstrip(b"\r"))
    if found is None:
        return None
    headers = []
    for line in lines[:_LONGEST_HEADERS]:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers.append((name.strip().lower(), value.strip()))
    return Head(found[1].decode(), int(found[2]), tuple(headers))


def judge_picture(head: Head, beginning: bytes) -> tuple[bool, str]:
    """Say whether an answer over HTTP is a picture or a stream."""
    if head.status != 200:
        return False, judge_status(head.status)
    kind = head.header("content-type").partition(";")[0].strip().lower()
    if kind.startswith(_PICTURES) or kind in _STREAM_LISTS:
        return True, printable(kind, 60)
    if beginning.startswith(_MAGIC):
        return True, "a picture, by its first bytes"
    return False, f"answers with {printable(kind, 60) or 'no content type'}, not with a picture"


def judge_status(status: int) -> str:
    """Say what a status other than 200 means."""
    match status:
        case 401 | 403:
            return f"refuses user and password (status {status})"
        case 404:
            return "has nothing at this path (status 404)"
        case _:
            return f"answers with status {status}"


def authorization(
    challenges: tuple[str, ...], method: str, uri: str, user: str, password: str, client_nonce: str
) -> str | None:
    """Answer a challenge: digest if that is offered, else basic; None: no known kind is offered."""
    basic = False
    for challenge in challenges:
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "digest":
            made = _digest(_parameters(rest), method, uri, user, password, client_nonce)
            if made is not None:
                return made
        basic = basic or kind.lower() == "basic"
    return basic_authorization(user, password) if basic else None


def basic_authorization(user: str, password: str) -> str:
    """Prove who we are by telling the password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _parameters(text: str) -> dict[str, str]:
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for name, quoted, plain in _PARAMETER.findall(text)
    }


def _digest(
    given: Mapping[str, str], method: str, uri: str, user: str, password: str, client_nonce: str
) -> str | None:
    """RFC 7616, without integrity of the body and sessions, which cameras don't ask for."""
    algorithm = given.get("algorithm", "MD5")
    hashed = _HASHES.get(algorithm.upper())
    if hashed is None or not {"realm", "nonce"} <= given.keys():
        return None
    realm, nonce = given["realm"], given["nonce"]
    who = hashed(f"{user}:{realm}:{password}".encode())
    what = hashed(f"{method}:{uri}".encode())
    offered = [one.strip() for one in given.get("qop", "").split(",")]
    if "auth" in offered:
        proof = hashed(f"{who}:{nonce}:00000001:{client_nonce}:auth:{what}".encode())
        more = f', qop=auth, nc=00000001, cnonce="{client_nonce}"'
    elif offered == [""]:
        proof, more = hashed(f"{who}:{nonce}:{what}".encode()), ""
    else:
        return None
    opaque = f', opaque="{_quoted(given["opaque"])}"' if "opaque" in given else ""
    named = f", algorithm={algorithm}" if "algorithm" in given else ""
    return (
        f'Digest username="{_quoted(user)}", realm="{_quoted(realm)}", nonce="{_quoted(nonce)}", '
        f'uri="{uri}", response="{proof}"{more}{opaque}{named}'
    )


def _quoted(text: str) -> str:
    """Escape for a quoted string; what can't stand in a header is left out."""
    plain = "".join(c for c in text if c.isprintable())
    return plain.replace("\\", "\\\\").replace('"', '\\"')
