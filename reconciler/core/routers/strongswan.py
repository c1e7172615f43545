"""strongSwan: swanctl.conf, and ipsec.conf for the old daemon set.

Syntax: swanctl.conf(5), https://docs.strongswan.org/docs/latest/swanctl/swanctlConf.html (6.0);
ipsec.conf(5) and ipsec.secrets(5) of strongSwan 6.0,
https://wiki.strongswan.org/projects/strongswan/wiki/IpsecConf.
The key is written in base64 (0s…), so no character of it needs escaping.
"""

from base64 import b64encode
from collections.abc import Iterable

from reconciler.core.far_side import PLACEHOLDER, FarSide
from reconciler.core.routers.base import Router

# Of the time until an SA ends; the rest is left for renewing it.
_RENEW_AT = 0.9


def _secret(key: str) -> str:
    return key if key == PLACEHOLDER else f"0s{b64encode(key.encode()).decode()}"


def _listed(networks: Iterable[object]) -> str:
    return ",".join(map(str, networks))


def swanctl(far: FarSide, key: str) -> Iterable[str]:
    """Write swanctl.conf."""
    start, again = ("none", "clear") if far.hub_dials else ("start", "restart")
    suite = far.suite
    yield f"""\
connections {{
  {far.name} {{
    version = 2
    remote_addrs = {far.hub_address or "%any"}
    proposals = {suite.ike_proposal}
    rekey_time = {round(far.ike_lifetime_s * _RENEW_AT)}s
    over_time = {far.ike_lifetime_s - round(far.ike_lifetime_s * _RENEW_AT)}s
    dpd_delay = {far.dpd_s}s
    keyingtries = 0
    mobike = no
    send_certreq = no
    local {{
      auth = psk
      id = fqdn:{far.site_id}
    }}
    remote {{
      auth = psk
      id = fqdn:{far.hub_id}
    }}
    children {{
      {far.name} {{
        local_ts = {_listed(far.lan)}
        remote_ts = {_listed(far.hub_networks)}
        esp_proposals = {_listed(suite.esp_proposals)}
        rekey_time = {round(far.child_lifetime_s * _RENEW_AT)}s
        life_time = {far.child_lifetime_s}s
        start_action = {start}
        close_action = {start}
        dpd_action = {again}
      }}"""
    if far.whole_world:
        yield from _swanctl_bypass(far)
    yield f"""\
    }}
  }}
}}
secrets {{
  ike-{far.name} {{
    id = fqdn:{far.hub_id}
    secret = "{_secret(key)}"
  }}
}}"""


def _swanctl_bypass(far: FarSide) -> Iterable[str]:
    yield f"""\
      {far.name}-lan {{   # what stays on the LAN does not enter the tunnel
        local_ts = {_listed(far.lan)}
        remote_ts = {_listed(far.lan)}
        mode = pass
        start_action = trap
      }}"""


SWANCTL = Router(
    name="strongswan",
    title="strongSwan with swanctl",
    versions="strongSwan 5.8 and later, swanctl.conf",
    sources=(
        "swanctl.conf(5), https://docs.strongswan.org/docs/latest/swanctl/swanctlConf.html (6.0)",
    ),
    where=(
        "1. Save it as /etc/swanctl/conf.d/hub.conf, owner root, mode 600.",
        "2. swanctl --load-all",
        "3. strongSwan does not dial again when the hub has refused it. So let cron try, as root:",
        "   * * * * * swanctl --list-sas | grep -q INSTALLED || swanctl --initiate --child NAME",
        "4. Exempt the tunnel from NAT: iptables -t nat -I POSTROUTING -m policy --dir out "
        "--pol ipsec -j ACCEPT",
    ),
    body=swanctl,
    needs_address=False,
)


def _ipsec_conf(far: FarSide, key: str) -> Iterable[str]:
    auto, again = ("add", "clear") if far.hub_dials else ("start", "restart")
    close = "none" if far.hub_dials else "restart"
    suite = far.suite
    margin_s = far.child_lifetime_s // 10
    yield f"""\
# ---- /etc/ipsec.conf
conn {far.name}
  keyexchange=ikev2
  type=tunnel
  authby=secret
  left=%defaultroute
  leftid=fqdn:{far.site_id}
  leftsubnet={_listed(far.lan)}
  right={far.hub_address or "%any"}
  rightid=fqdn:{far.hub_id}
  rightsubnet={_listed(far.hub_networks)}
  ike={suite.ike_proposal}!
  esp={_listed(suite.esp_proposals)}!
  ikelifetime={far.ike_lifetime_s}s
  lifetime={far.child_lifetime_s}s
  margintime={margin_s}s
  rekeyfuzz=0%
  reauth=no
  keyingtries=%forever
  mobike=no
  dpddelay={far.dpd_s}s
  dpdaction={again}
  closeaction={close}
  auto={auto}"""
    if far.whole_world:
        lan = _listed(far.lan)
        yield f"""
# What stays on the LAN does not enter the tunnel.
conn {far.name}-lan
  type=passthrough
  left=127.0.0.1
  leftsubnet={lan}
  right=127.0.0.1
  rightsubnet={lan}
  auto=route"""
    yield f"""
# ---- /etc/ipsec.secrets
@{far.site_id} @{far.hub_id} : PSK {_secret(key)}"""


IPSEC_CONF = Router(
    name="strongswan-ipsec",
    title="strongSwan with ipsec.conf",
    versions="strongSwan 5.2 to 6.0 with its starter, ipsec.conf and ipsec.secrets",
    sources=(
        "ipsec.conf(5), ipsec.secrets(5) of strongSwan 6.0, "
        "https://wiki.strongswan.org/projects/strongswan/wiki/IpsecConf",
    ),
    where=(
        "1. Add the first part to /etc/ipsec.conf, the second to /etc/ipsec.secrets (mode 600).",
        "2. ipsec rereadsecrets; ipsec update",
        "3. strongSwan does not dial again when the hub has refused it. So let cron try, as root:",
        "   * * * * * ipsec status | grep -q INSTALLED || timeout 50 ipsec up NAME",
        "4. Exempt the tunnel from NAT: iptables -t nat -I POSTROUTING -m policy --dir out "
        "--pol ipsec -j ACCEPT",
    ),
    body=_ipsec_conf,
    needs_address=False,
)
