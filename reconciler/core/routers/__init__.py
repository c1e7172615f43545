"""One template a router, by the name on the command line, in the order in which they are listed."""

from reconciler.core.routers.base import Router
from reconciler.core.routers.cisco import CISCO
from reconciler.core.routers.fortigate import FORTIGATE
from reconciler.core.routers.libreswan import LIBRESWAN
from reconciler.core.routers.mikrotik import MIKROTIK
from reconciler.core.routers.openbsd import OPENBSD
from reconciler.core.routers.steps import GENERIC, OPNSENSE, OPNSENSE_FILE, PFSENSE, UNIFI
from reconciler.core.routers.strongswan import IPSEC_CONF, SWANCTL
from reconciler.core.routers.vyos import EDGEROUTER, VYOS, VYOS_13

_ALL = (
    *(SWANCTL, IPSEC_CONF, LIBRESWAN, UNIFI, PFSENSE, OPNSENSE, OPNSENSE_FILE, MIKROTIK),
    *(VYOS, VYOS_13, EDGEROUTER, CISCO, FORTIGATE, OPENBSD, GENERIC),
)
ROUTERS: dict[str, Router] = {router.name: router for router in _ALL}
