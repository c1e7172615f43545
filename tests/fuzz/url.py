"""URLs of cameras: understood or refused, and no password is ever shown."""

from collections.abc import Iterator

from reconciler.core.about import about, public_url
from reconciler.core.camera_url import BadUrl, parse_camera_url
from tests.fuzz import oracles
from tests.fuzz.source import Source

_PARTS = (
    *("http", "rtsp", "//", "/", ":", "@", "?", "#", "[", "]", "%", "\\", ".", "192.168.1.100"),
    *("[fd00::1]", "0xC0A8010A", "010.0.0.1", "камера.example", "user", ":80", ":99999", "a=b"),
    *("://", "%40", "%00", "\u3002", "ß", "\u200d", "xn--", "-", "/axis-cgi/jpg/image.cgi"),
)


def one_input(data: bytes) -> None:
    """Read a URL that is made of parts; then one with a password, of which nothing is shown."""
    source = Source(data)
    made = ""
    while not source.empty and len(made) < 5000:
        made += source.pick(_PARTS) if source.byte() % 4 else source.text()
    found = parse_camera_url(made)
    if isinstance(found, BadUrl):
        assert oracles.is_one_line(found.reason)
    else:
        assert found.host.isascii()
        assert found.port is None or 0 < found.port < 65536
        assert found.target.isascii()
        assert found.target.isprintable()
        assert " " not in found.target
    assert oracles.is_harmless(public_url(made))
    with_password = f"http://user:{oracles.SECRET}@{made}"
    named = {"name": with_password, "webcams": [{"name": with_password, "url": with_password}]}
    airport = about(named, ())
    for text in (airport.name, airport.cameras[0].name, airport.cameras[0].url):
        oracles.assert_untold(text)
        assert oracles.is_harmless(text)
    parsed = parse_camera_url(with_password)
    oracles.assert_untold(repr(parsed))


def seeds() -> Iterator[bytes]:
    """Yield URLs as people write them."""
    yield bytes([1, 0, 1, 26, 1, 7, 1, 15, 1, 27])
    yield bytes([1, 0, 1, 26, 1, 14, 1, 5, 1, 18, 1, 4])
    yield from (bytes((5 * i + 11 * j) % 256 for j in range(40)) for i in range(16))
