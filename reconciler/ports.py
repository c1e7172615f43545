"""What the loop needs of the outside, as protocols: the tests put fakes with faults in their place.

One method is one request to charon. Every one may raise IkeUnreachable, every command IkeRefused.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from reconciler.core.observed import Observed
from reconciler.core.packet_filter import FilterRules, FilterView


class Ike(Protocol):
    """charon, as far as we command it."""

    def observe(self, *, deep: bool) -> Observed:
        """Look at everything that is ours. `deep`: at the children of every connection, too."""

    def load_connection(self, name: str, settings: Mapping[str, Any]) -> None:
        """Load or replace a connection."""

    def unload_connection(self, name: str) -> None:
        """Unload a connection; its SAs stay. One that is not loaded is not an error."""

    def load_secret(self, secret_id: str, owner: str, psk: bytes) -> None:
        """Load or replace a PSK whose only owner is the site's identity."""

    def unload_secret(self, secret_id: str) -> None:
        """Unload a PSK; one that is not loaded is not an error."""

    def start_child(self, name: str, child_name: str) -> None:
        """Ask for a CHILD_SA and return at once; the outcome is observed later."""

    def rekey_ike(self, unique_id: str) -> None:
        """Ask for new keys of one IKE_SA and return at once; the outcome is observed later."""

    def rekey_child(self, unique_id: str) -> None:
        """Ask for new keys of one CHILD_SA and return at once."""

    def end_child(self, unique_id: str) -> None:
        """Ask for the end of one CHILD_SA and return at once."""

    def end_ike(self, unique_id: str) -> None:
        """Ask for the end of one IKE_SA and return at once."""

    def end_all(self, name: str) -> None:
        """Say goodbye to every IKE_SA of the name and destroy it, answered or not."""

    def answers(self) -> bool:
        """Whether charon answers the shortest of questions, on a connection of its own."""

    def close(self) -> None:
        """Drop the connection to charon; the next call makes a new one."""


class Filter(Protocol):
    """The packet filter, as far as we command it. Both may raise FilterUnreachable."""

    def look(self) -> FilterView:
        """Look at what is in force."""

    def load(self, rules: FilterRules) -> FilterView:
        """Put the rules in force, whole and at once, and look; a refusal is in `error`."""
