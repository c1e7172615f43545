"""What airports.json says of an airport beside its tunnel: for people, never part of the mark.

These keys are other people's, too, and nobody promises what stands in them. What can't be shown is
left out without a word; the tunnel never suffers for it.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from reconciler.core.camera_url import LONGEST_URL, BadUrl, CameraUrl, parse_camera_url

_LONGEST_TEXT = 200
# What comes later is not looked at: a name of megabytes would take seconds of every round.
_LONGEST_READ = 2000
# More would keep the prober from asking those of other airports in time.
MOST_CAMERAS = 200
# Controls, halves of characters, line and paragraph separators.
_UNSHOWABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They would turn around the text that follows, on whatever page shows it.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NO_URL = BadUrl("is empty")
_PARAMETERS = re.compile("[=;:&]|%(3[abd]|26|40)", re.IGNORECASE)
# User and password in a URL, or before a host: somebody pasted it into the wrong line.
_URL_AS_NAME = re.compile(r"://|\S:\S*@\S")


# UniFi Protect serves streams at these ports, and the path is the key to the stream.
_SECRET_PATH_PORTS = frozenset({7441, 7447})


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera.

    Attributes:
        url: without anything that may be a secret; empty if that can't be told.
        link: the whole URL, for whoever is to use it.

    """

    name: str
    url: str = ""
    link: CameraUrl | BadUrl = field(default=NO_URL, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class About:
    """An airport, in words for people.

    Attributes:
        name: empty if none was given.
        time_zone: name of the IANA list; empty if none was given, or one that is not on it.

    """

    name: str = ""
    time_zone: str = ""
    cameras: tuple[Camera, ...] = ()


def about(airport: object, time_zones: Collection[str]) -> About:
    """Read what there is to read."""
    if not isinstance(airport, Mapping):
        return About()
    zone = airport.get("timezone")
    webcams = airport.get("webcams")
    return About(
        name=shown_name(airport.get("name")),
        time_zone=zone if isinstance(zone, str) and zone in time_zones else "",
        cameras=tuple(
            _camera(webcam)
            for webcam in (webcams[:MOST_CAMERAS] if isinstance(webcams, list) else ())
            if isinstance(webcam, Mapping)
        ),
    )


def _camera(webcam: Mapping[Any, Any]) -> Camera:
    url = webcam.get("url")
    link = NO_URL if url is None else parse_camera_url(url)
    return Camera(shown_name(webcam.get("name")), public_url(url), link)


def shown_name(value: object) -> str:
    """Return a name; of a URL in its place, what may be shown of it."""
    name = showable(value)
    return public_url(value) if _URL_AS_NAME.search(name) else name


def without_keys(airport: About, masked: Callable[[str], str]) -> About:
    """Cover the keys of tunnels that got into texts that people read."""
    cameras = tuple(
        replace(camera, name=masked(camera.name), url=masked(camera.url))
        for camera in airport.cameras
    )
    return replace(airport, name=masked(airport.name), cameras=cameras)


def showable(value: object) -> str:
    """Return a text in one line, without what can't be shown or would disturb its surroundings."""
    if not isinstance(value, str):
        return ""
    value = value[:_LONGEST_READ]
    text = "".join(" " if c.isspace() else c for c in value if c not in _BIDI_CONTROLS)
    text = "".join(c for c in text if unicodedata.category(c) not in _UNSHOWABLE)
    text = re.sub(" +", " ", text).strip()
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def public_url(value: object) -> str:
    """Return scheme, host, port and path of a URL; nothing if that could tell a password.

    An `@` behind the host means that a password held a character that ends the host: where the
    secret is can't be told then.
    """
    if not isinstance(value, str) or len(value) > LONGEST_URL:
        return ""
    if not value.isprintable() or "\\" in value:
        return ""
    try:
        parts = urlsplit(value.strip())
        place = _place(parts)
    except ValueError:
        return ""
    if not place or "@" in parts.path + parts.query + parts.fragment:
        return ""
    path = "/…" if parts.port in _SECRET_PATH_PORTS else _path(parts.path)
    return showable(f"{parts.scheme}://{place}{path}")


def _place(parts: SplitResult) -> str:
    """Return host and port. Raises ValueError if the port is no number."""
    if not parts.scheme or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host if parts.port is None else f"{host}:{parts.port}"


def _path(path: str) -> str:
    """Hide what looks like parameters: some cameras take user and password in the path."""
    parts = path.split("/")
    return "/".join("…" if _PARAMETERS.search(part) else part for part in parts)
