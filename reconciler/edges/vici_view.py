"""charon's list-sas, for a reader: every age becomes a time. Pure; knows no socket.

Field names: strongSwan's vici/README.md and what charon 6.0 was seen to send.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from reconciler.core.explain import ChildView, IkeView

Plain = Mapping[str, Any]
_ALGORITHMS = ("encr-alg", "encr-keysize", "integ-alg", "prf-alg", "dh-group")


def ike_view(
    message: Plain, now: int, is_as_declared: Callable[[str], bool] = lambda _: False
) -> IkeView:
    """Translate one IKE_SA. `now`: unix seconds; `is_as_declared`: judges a child by its name."""
    tasks = [task for kind in ("active", "queued") for task in message.get(f"tasks-{kind}", ())]
    return IkeView(
        unique_id=_text(message, "uniqueid"),
        state=_text(message, "state"),
        dialled_by="hub" if _text(message, "initiator") == "yes" else "site",
        local_host=_text(message, "local-host"),
        local_port=_number(message, "local-port"),
        local_id=_text(message, "local-id"),
        remote_host=_text(message, "remote-host"),
        remote_port=_number(message, "remote-port"),
        remote_id=_text(message, "remote-id"),
        nat=_nat(message),
        algorithms=_algorithms(message),
        established_at=_ago(message, "established", now),
        rekey_at=_ahead(message, "rekey-time", now),
        reauthentication_at=_ahead(message, "reauth-time", now),
        tasks=tuple(map(str, tasks)),
        children=tuple(
            _child_view(child, now, is_as_declared) for child in _sections(message.get("child-sas"))
        ),
    )


def _child_view(message: Plain, now: int, is_as_declared: Callable[[str], bool]) -> ChildView:
    return ChildView(
        name=_text(message, "name"),
        unique_id=_text(message, "uniqueid"),
        state=_text(message, "state"),
        as_declared=is_as_declared(_text(message, "name")),
        mode=_text(message, "mode"),
        udp_encapsulated=_text(message, "encap") == "yes",
        spi_in=_text(message, "spi-in"),
        spi_out=_text(message, "spi-out"),
        algorithms=_algorithms(message),
        local_subnets=tuple(map(str, message.get("local-ts", ()))),
        remote_subnets=tuple(map(str, message.get("remote-ts", ()))),
        installed_at=_ago(message, "install-time", now),
        rekey_at=_ahead(message, "rekey-time", now),
        expires_at=_ahead(message, "life-time", now),
        received_bytes=_number(message, "bytes-in"),
        received_packets=_number(message, "packets-in"),
        last_received_at=_ago(message, "use-in", now),
        sent_bytes=_number(message, "bytes-out"),
        sent_packets=_number(message, "packets-out"),
        last_sent_at=_ago(message, "use-out", now),
    )


def _sections(value: object) -> list[Plain]:
    inner = value.values() if isinstance(value, Mapping) else ()
    return [one for one in inner if isinstance(one, Mapping)]


def _text(message: Plain, key: str) -> str:
    return str(message.get(key, ""))


def _number(message: Plain, key: str) -> int:
    """Read a whole number; charon writes a time that is past as a negative one."""
    text = _text(message, key)
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else 0


def _ago(message: Plain, key: str, now: int) -> int:
    return now - _number(message, key) if key in message else 0


def _ahead(message: Plain, key: str, now: int) -> int:
    return now + _number(message, key) if key in message else 0


def _algorithms(message: Plain) -> str:
    """Write them as charon does: AES_GCM_16-256/PRF_HMAC_SHA2_256/MODP_2048."""
    encryption, bits, *others = (_text(message, key) for key in _ALGORITHMS)
    return "/".join(filter(None, [f"{encryption}-{bits}" if bits else encryption, *others]))


def _nat(message: Plain) -> tuple[Literal["hub", "site"], ...]:
    sides: tuple[tuple[str, Literal["hub", "site"]], ...] = (("local", "hub"), ("remote", "site"))
    return tuple(side for key, side in sides if _text(message, f"nat-{key}") == "yes")
