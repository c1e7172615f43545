"""A world for loop tests: a fake charon and a clock of ours, everything else real."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler.core.actions import ContainerAction
from reconciler.core.model import IpNetwork
from reconciler.core.status import ConnectionStatus, Status
from reconciler.edges.journal import Journal, journal_file
from reconciler.edges.manifest import read_document
from reconciler.edges.state import State
from reconciler.edges.status_file import write_status
from reconciler.memory import Memory
from reconciler.recall import recall, recall_history
from reconciler.round import Report, run_round
from reconciler.settings import Settings
from reconciler.world import Clock, Evidence, World
from tests.builders import document
from tests.fake_container import FakeContainer
from tests.fake_filter import FakeFilter
from tests.fake_ike import FakeIke


class FakeClock(Clock):
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.set_by_s = 0

    def now(self) -> int:
        return 1_700_000_000 + self.set_by_s + int(self.elapsed_s)

    def monotonic_s(self) -> float:
        return self.elapsed_s


@dataclass
class Bench:
    """One reconciler on its bench: edit the file, make rounds, look at what came of it."""

    directory: Path
    ike: FakeIke = field(default_factory=FakeIke)
    clock: FakeClock = field(default_factory=FakeClock)
    memory: Memory = field(default_factory=Memory)
    evidence: Evidence = field(default_factory=Evidence)
    hub_networks: Mapping[str, IpNetwork] = field(default_factory=dict)
    container: FakeContainer | None = None
    filter: FakeFilter | None = None
    journal: Journal | None = None

    def __post_init__(self) -> None:
        for name in ("config", "cache", "state", "vpn"):
            (self.directory / name).mkdir(exist_ok=True)
        self.settings = Settings(
            config_path=self.directory / "config" / "airports.json",
            status_file=self.directory / "cache" / "vpn-status.json",
            state_dir=self.directory / "state",
            swanctl_file=self.directory / "vpn" / "swanctl.conf",
        )

    @property
    def world(self) -> World:
        return World(
            settings=self.settings,
            ike=self.ike,
            state=State(self.settings.state_dir, self.settings.swanctl_file),
            read_document=lambda: read_document(self.settings.config_path),
            write_status=lambda status: write_status(self.settings.status_file, status),
            read_hub_networks=lambda: self.hub_networks,
            take_failures=self.evidence.take,
            take_ended=self.evidence.take_ended,
            why_deaf=lambda: self.evidence.deaf,
            heard_s=lambda: self.evidence.heard_s,
            observe_container=lambda: self.container.observe() if self.container else None,
            mend_container=self._mend,
            filter=self.filter,
            jitter=lambda: 0.5,
            clock=self.clock,
            journal=self.journal,
        )

    def _mend(self, action: ContainerAction) -> None:
        assert self.container is not None
        self.container.carry_out(action)

    def declare(self, **airports: dict[str, Any]) -> None:
        self.settings.config_path.write_text(json.dumps(document(**airports)))

    def round(self, reason: str = "test", *, allow_removals: bool = False) -> Report:
        """Make one round, and check that it used up what charon reported."""
        self.memory, report = run_round(
            self.world, self.memory, {reason}, allow_removals=allow_removals
        )
        return report

    def rounds(self, count: int = 4) -> Report:
        for _ in range(count):
            report = self.round()
        return report

    def restart_reconciler(self) -> None:
        """Forget everything but what is on disk."""
        if self.journal is not None:
            assert self.journal.flush()
            self.keep_journal()
        recalled = recall(self.settings.status_file, self.clock)
        self.memory = recall_history(self.journal, recalled)

    def keep_journal(self) -> None:
        """Write transitions down from now on, as who keeps the hub does."""
        self.journal = Journal(journal_file(self.settings.state_dir))

    def requests(self) -> list[str]:
        """Take the requests that charon got since the last call."""
        taken, self.ike.requests = self.ike.requests, []
        return taken

    def connection(self, name: str = "kspb_vpn") -> ConnectionStatus:
        return self.status.connections[name]

    def age(self, seconds: float) -> None:
        """Let time pass, for the SAs as well."""
        self.clock.elapsed_s += seconds
        self.ike.sas = [
            replace(sa, established_s=sa.established_s + int(seconds)) for sa in self.ike.sas
        ]

    @property
    def status(self) -> Status:
        return Status.model_validate_json(self.settings.status_file.read_bytes())
