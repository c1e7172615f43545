"""What airports.json declares. Frozen: a changed file makes new values, nothing edits old ones.

Only `airports.<id>.vpn` is ours alone. Of an airport's other keys `name`, `timezone` and
`webcams[].{name,url}` are shown, see about.py; everything else in the file is ignored.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from reconciler.core.allow_inbound import (
    ALLOW_INBOUND_SCHEMA,
    Allowed,
    parse_allow_inbound,
)
from reconciler.core.crypto import Suite, parse_cipher_and_hash, parse_group
from reconciler.core.health_check import HEALTH_CHECK_SCHEMA, HealthCheck, parse_health_check
from reconciler.core.mask import shown

IpNetwork = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address

# Keys that share a message's root with the connection's name in VICI's events.
VICI_EVENT_KEYS = frozenset(
    {"up", "type", "local-host", "local-port", "remote-host", "remote-port", "ike-sa"}
    | {"success", "errmsg", "group", "level", "thread", "ikesa-name", "ikesa-uniqueid", "msg"}
)
# charon takes messages of 512 KiB; and RFC 7296 has one byte for how many selectors there are.
MOST_SUBNETS = 100
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
_FQDN = re.compile(r"^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\Z")
_TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_SUBNET_SCHEMA = {"type": "string", "examples": ["192.168.1.0/24"]}


def parse_subnet(value: object) -> IpNetwork:
    """Read one subnet in CIDR notation. Raises ValueError for bad syntax or host bits."""
    if not isinstance(value, str) or "/" not in value or "%" in value:
        raise ValueError(f"{shown(value)} is not a subnet; write it like 192.168.1.0/24")
    try:
        loose = ip_network(value.strip(), strict=False)
    except ValueError as error:
        raise ValueError(f"{shown(value)} is not a subnet; write it like 192.168.1.0/24") from error
    if str(loose.network_address) != str(ip_address(value.strip().split("/")[0])):
        raise ValueError(f"{shown(value)} has host bits set; write {loose} if that subnet is meant")
    return loose


def _parse_subnets(value: object) -> tuple[IpNetwork, ...]:
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("the list is empty; name at least one subnet")
        if len(value) > MOST_SUBNETS:
            raise ValueError(f"are {len(value)} subnets; at most {MOST_SUBNETS} can be negotiated")
        return _parse_each(value)
    return (parse_subnet(value),)


def _parse_each(values: Iterable[object]) -> tuple[IpNetwork, ...]:
    """Read every member, so that all the bad ones are named at once."""
    found, wrong = [], []
    for value in values:
        try:
            found.append(parse_subnet(value))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(found)


def check_identity(text: str) -> str:
    """Return the identity if charon will read it as FQDN. Raises ValueError.

    charon reads wildcards, `=`, `:`, `@` and addresses as other types, and types must match.
    """
    try:
        ip_address(text)
    except ValueError:
        if _FQDN.match(text) and not re.fullmatch(r"[0-9.-]+", text):
            return text
    raise ValueError(
        f"{shown(text)} is not a plain domain-style identity (charon would read a wildcard or "
        "another type); write one like kspb.remote"
    )


def _parse_identity(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("write a domain-style identity like kspb.remote")  # noqa: TRY004
    return check_identity(value.strip())


def _parse_bool(value: object) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f"{shown(value)} is neither true nor false")


def _parse_int(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{shown(value)} is not a whole number")
    return int(text)


def _parse_time(value: object) -> int:
    """Read unix seconds, or an ISO 8601 time with its zone. Raises ValueError."""
    text = str(value).strip()
    if not isinstance(value, bool) and re.fullmatch(r"[0-9]{1,10}", text):
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{shown(value)} is not a time; write it like 2026-11-22T18:00:00Z"
        ) from error
    if found.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; write {text}Z if it is UTC")
    return max(0, int(found.timestamp()))


def _parse_address(value: object) -> IpAddress:
    try:
        address = ip_address(str(value).strip())
    except ValueError as error:
        raise ValueError(
            f"{shown(value)} is not an IP address; host names are not accepted here, because "
            "charon would resolve them at every lookup"
        ) from error
    mapped = getattr(address, "ipv4_mapped", None) is not None or "%" in str(value)
    elsewhere = address.is_unspecified or address.is_multicast or address.is_loopback
    if mapped or elsewhere or address.is_link_local:
        raise ValueError(
            f"{shown(value)} is not the address of a site; write one like 198.51.100.7"
        )
    return address


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"}


Subnets = Annotated[
    tuple[IpNetwork, ...],
    BeforeValidator(_parse_subnets),
    WithJsonSchema(
        {"anyOf": [_SUBNET_SCHEMA, {"type": "array", "items": _SUBNET_SCHEMA, "minItems": 1}]}
    ),
]
_NUMBER_SCHEMA = {"type": ["integer", "string"]}


@dataclass(frozen=True, slots=True)
class UnreadableKey:
    """Stands where the key should be whose file could not be read."""

    why: str


class Vpn(BaseModel):
    """`airports.<id>.vpn`: the tunnel that should exist to this airport."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    enabled: Annotated[
        bool,
        BeforeValidator(_parse_bool),
        WithJsonSchema({"type": ["boolean", "string"], "default": False}),
    ] = Field(False, description="Whether the tunnel should exist.")
    type: Literal["ipsec"] = Field("ipsec", description="The only kind of tunnel there is.")
    connection_name: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        description="Name in charon and in the status file; default: <airport id>_vpn.",
    )
    remote_subnet: Subnets = Field(description="The airport's LAN: one subnet or a list.")
    local_subnet: Subnets | None = Field(
        None, description="The hub's side of the tunnel; default: everything the site asks for."
    )
    psk: SecretStr = Field(description="The pre-shared key of this site, and of no other.")
    psk_file: str | None = Field(
        None,
        description="File with the key instead of psk: an absolute path, like a Docker secret.",
    )
    next_psk: SecretStr | None = Field(
        None,
        description="The key that is to replace psk: the site may use either until psk is it.",
    )
    next_psk_file: str | None = Field(None, description="File with the key instead of next_psk.")
    rekey_after: Annotated[
        int, BeforeValidator(_parse_time), WithJsonSchema({"type": ["integer", "string"]})
    ] = Field(
        0,
        description="SAs established before this time are renewed: unix seconds, or a time like "
        "2026-11-22T18:00:00Z.",
    )
    remote_id: Annotated[
        str | None,
        BeforeValidator(lambda value: None if value is None else _parse_identity(value)),
    ] = Field(None, description="IKE identity of the site; default: <airport id>.remote.")
    remote_address: Annotated[
        IpAddress | None,
        BeforeValidator(lambda value: None if value is None else _parse_address(value)),
    ] = Field(
        None,
        description="The site's fixed address, if it has one: the hub then dials it. "
        "Without it the site dials in.",
    )
    ike_version: Annotated[int, BeforeValidator(_parse_int), WithJsonSchema({"enum": [2, "2"]})] = (
        Field(2, description="Only 2: IKEv1 picks the key by address, before the site is known.")
    )
    encryption: str = Field(
        "aes256gcm128", description="Cipher, or cipher and hash: aes256gcm128, aes256-sha256."
    )
    dh_group: Annotated[int | str, WithJsonSchema(_NUMBER_SCHEMA)] = Field(
        14, description="Diffie-Hellman group, by number or name."
    )
    lifetime: Annotated[int, BeforeValidator(_parse_int), WithJsonSchema(_NUMBER_SCHEMA)] = Field(
        3600, description="Hard lifetime of a CHILD_SA in seconds, 300 to 86400."
    )
    health_check: Annotated[
        HealthCheck | None,
        BeforeValidator(parse_health_check),
        WithJsonSchema(HEALTH_CHECK_SCHEMA),
    ] = Field(
        None,
        description="What is asked through the tunnel to know that it works: an address (ping), "
        "address:port (tcp), or an object; default: the first camera behind the tunnel.",
    )
    allow_inbound: Annotated[
        tuple[Allowed, ...],
        BeforeValidator(parse_allow_inbound),
        WithJsonSchema(ALLOW_INBOUND_SCHEMA),
    ] = Field(
        (),
        description="What the site may open towards the hub's side: tcp/21, udp/5000-5010, icmp, "
        "or objects; default: nothing.",
    )

    @field_validator("type", mode="before")
    @classmethod
    def _type_is_ipsec(cls, value: object) -> object:
        if value != "ipsec":
            raise ValueError(f'{shown(value)} is not supported; write "ipsec"')
        return value

    @field_validator("connection_name", mode="before")
    @classmethod
    def _name_is_plain(cls, value: object) -> object:
        if value is not None:
            check_connection_name(value)
        return value

    @field_validator("psk", "next_psk", mode="before")
    @classmethod
    def _psk_is_usable(cls, value: object, info: ValidationInfo) -> object:
        """Never mention the value: this text reaches logs and the status file."""
        if value is None and info.field_name == "next_psk":
            return None
        if isinstance(value, UnreadableKey):
            raise ValueError(value.why)  # noqa: TRY004 - pydantic's way to say it
        if not isinstance(value, str) or not value.strip():
            raise ValueError("missing or empty; write the site's pre-shared key")
        if any(_is_control(character) for character in value):
            raise ValueError("has a control character (a line break or tab?); remove it")
        if len(value.encode()) > 1024:
            raise ValueError("is longer than 1024 bytes; 64 characters are plenty")
        return value

    @field_validator("psk_file", "next_psk_file")
    @classmethod
    def _only_one_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Complain of both: whoever reads the document has put the file's content in its place."""
        if value is not None:
            raise ValueError(
                f"stands beside {str(info.field_name).removesuffix('_file')}; keep one"
            )
        return value

    @field_validator("ike_version")
    @classmethod
    def _version_is_two(cls, value: int) -> int:
        if value != 2:
            raise ValueError(f"{value} is not supported; write 2")
        return value

    @field_validator("encryption", mode="before")
    @classmethod
    def _cipher_is_known(cls, value: object) -> object:
        parse_cipher_and_hash(str(value))
        return value

    @field_validator("dh_group", mode="before")
    @classmethod
    def _group_is_known(cls, value: object) -> object:
        parse_group(str(value))
        return value

    @field_validator("lifetime")
    @classmethod
    def _lifetime_is_sane(cls, value: int) -> int:
        if not 300 <= value <= 86_400:
            raise ValueError(f"{value} s is out of range; write 300 to 86400")
        return value


class Webcam(BaseModel):
    """`airports.<id>.webcams[]`: a camera, of which only name and URL are ours."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = ""
    url: str = ""


class Airport(BaseModel):
    """`airports.<id>`: the part of an airport that is ours."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    name: str = ""
    timezone: str = Field("", description="Name of the IANA list, like America/Los_Angeles.")
    vpn: Vpn | None = None
    webcams: tuple[Webcam, ...] = ()


class Manifest(BaseModel):
    """airports.json: the one file in which the operator says which tunnels should exist."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    airports: dict[str, Airport]


@dataclass(frozen=True, slots=True)
class Site:
    """One airport's tunnel with every default filled in: what the diff works with.

    Attributes:
        next_psk: while the key is being replaced, the new one; sites may use either.
        same_next_psk: the new one was declared, and is no other than the present one.
        rekey_after: SAs established before (unix seconds) are renewed; 0: none.
        health_check: what is asked through the tunnel, if that is declared.
        allow_inbound: what the site may open towards the hub's side.

    """

    airport_id: str
    connection_name: str
    remote_id: str
    remote_subnets: tuple[IpNetwork, ...]
    local_subnets: tuple[IpNetwork, ...]
    psk: SecretStr
    suite: Suite
    lifetime_s: int
    remote_address: IpAddress | None
    next_psk: SecretStr | None = None
    same_next_psk: bool = False
    rekey_after: int = 0
    health_check: HealthCheck | None = None
    allow_inbound: tuple[Allowed, ...] = ()


def check_connection_name(value: object) -> None:
    """Raise ValueError unless the value can name a connection in charon, swanctl and VICI."""
    if not isinstance(value, str) or not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            f"{shown(value)} can't name a connection; use letters, digits, '_' and '-', "
            "at most 63, beginning with a letter or digit"
        )
    if value in VICI_EVENT_KEYS or value == "include":
        raise ValueError(f"{shown(value)} is a word of charon's own; choose another name")


def site_of(airport_id: str, vpn: Vpn) -> Site:
    """Fill in the defaults. Raises ValueError if the airport's id can't give them."""
    name = vpn.connection_name or f"{airport_id}_vpn"
    check_connection_name(name)
    cipher, hash_ = parse_cipher_and_hash(vpn.encryption)
    return Site(
        airport_id=airport_id,
        connection_name=name,
        remote_id=vpn.remote_id or check_identity(f"{airport_id}.remote"),
        remote_subnets=vpn.remote_subnet,
        local_subnets=vpn.local_subnet or _everything(vpn.remote_subnet),
        psk=vpn.psk,
        suite=Suite(cipher, hash_, parse_group(vpn.dh_group)),
        lifetime_s=vpn.lifetime,
        remote_address=vpn.remote_address,
        next_psk=None if vpn.next_psk == vpn.psk else vpn.next_psk,
        same_next_psk=vpn.next_psk == vpn.psk,
        rekey_after=vpn.rekey_after,
        health_check=vpn.health_check,
        allow_inbound=vpn.allow_inbound,
    )


def _everything(subnets: Iterable[IpNetwork]) -> tuple[IpNetwork, ...]:
    """0.0.0.0/0 and ::/0, as far as the other side's families ask for them."""
    versions = sorted({subnet.version for subnet in subnets})
    return tuple(ip_network("0.0.0.0/0" if version == 4 else "::/0") for version in versions)


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema of airports.json, from the models above."""
    schema = Manifest.model_json_schema()
    # A tunnel that is switched off may be a draft.
    vpn = schema["$defs"]["Vpn"]
    on = {"properties": {"enabled": {"enum": [True, *_TRUE]}}, "required": ["enabled"]}
    keys = [{"required": ["psk"]}, {"required": ["psk_file"]}]
    needed = [key for key in vpn.pop("required") if key != "psk"]
    vpn |= {"if": on, "then": {"required": needed, "oneOf": keys}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
