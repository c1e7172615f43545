"""The same sentences that hold the fake hold the real charon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import IkeContract
from tests.real.real_charon import RealCharon
from tests.site_contract import SiteContract

pytestmark = pytest.mark.real


class TestViciClient(IkeContract):
    """Every sentence of the contract, against charon; fixture `ike` is in conftest.py."""


class TestRealCharon(SiteContract):
    """Every sentence about sites, against a charon that others dial."""

    @pytest.fixture
    def hub(self, real_hub: tuple[RealCharon, Path]) -> Iterator[RealCharon]:
        hub, _ = real_hub
        hub.empty()
        yield hub
        hub.empty()
