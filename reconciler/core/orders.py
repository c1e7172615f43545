"""What an operator asked for by command line: wishes about single connections, kept until changed.

Each wish is a state or a time, so it can be read again and again: "renewed after", not "renew".
"""

from collections.abc import Container, Mapping

from pydantic import BaseModel, ConfigDict


class Order(BaseModel):
    """Wishes about one connection. Times are unix seconds, 0 is never.

    Attributes:
        paused_since: since when it is to be left alone.
        paused_until: when that ends by itself; 0: by `resume` only.
        retried_at: attempts before this time don't count any more.
        rekey_after: SAs established before this time are to be renewed.
        reauthenticate: renewed by a new IKE_SA, and not by new keys for the old one.

    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    paused_since: int = 0
    paused_until: int = 0
    retried_at: int = 0
    rekey_after: int = 0
    reauthenticate: bool = False

    def is_paused(self, now: int) -> bool:
        """Tell whether the connection is to be left alone at this moment."""
        return bool(self.paused_since) and (not self.paused_until or now < self.paused_until)


class Orders(BaseModel):
    """All wishes, by connection."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    connections: Mapping[str, Order] = {}

    def of(self, name: str) -> Order:
        """Return the wishes about one connection."""
        return self.connections.get(name, Order())

    def paused(self, now: int) -> frozenset[str]:
        """Name the connections that are to be left alone at this moment."""
        return frozenset(n for n, order in self.connections.items() if order.is_paused(now))

    def changed(self, name: str, **wishes: int | bool) -> "Orders":
        """Return the orders with other wishes about one connection."""
        order = self.of(name).model_copy(update=wishes)
        return Orders(connections={**self.connections, name: order})

    def restrict(self, names: Container[str]) -> "Orders":
        """Return the orders about these connections: one that comes back begins without any."""
        kept = {name: order for name, order in self.connections.items() if name in names}
        return Orders(connections=kept)
