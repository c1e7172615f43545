"""Prometheus and Alertmanager beside the stack: what they see of it, and what they say."""

import pytest

from tests.e2e.monitoring import prometheus
from tests.e2e.stack import SITES, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_prometheus_scrapes_the_reconciler(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with prometheus(tmp_path_factory.mktemp("scraped")) as seen:
        assert [target["health"] for target in seen.targets()] == ["up"]
        assert {one["metric"]["airport"] for one in seen.query("vpn_connection_up == 1")} == set(
            SITES
        )
