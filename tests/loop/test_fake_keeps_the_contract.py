"""The fake charon keeps the port's promises; tests/real holds the real one to the same."""

import pytest

from tests.contract import IkeContract
from tests.fake_charon import FakeCharon
from tests.fake_ike import FakeIke
from tests.site_contract import SiteContract


class TestFakeIke(IkeContract):
    """Every sentence of the contract, against the fake."""

    @pytest.fixture
    def ike(self) -> FakeIke:
        return FakeIke()


class TestFakeCharon(IkeContract, SiteContract):
    """Every sentence of both contracts, against the fake with sites."""

    @pytest.fixture
    def ike(self) -> FakeCharon:
        return FakeCharon()

    @pytest.fixture
    def hub(self) -> FakeCharon:
        return FakeCharon()
