"""The fake charon keeps the port's promises; tests/real holds the real one to the same."""

import pytest

from tests.contract import IkeContract
from tests.fake_ike import FakeIke


class TestFakeIke(IkeContract):
    """Every sentence of the contract, against the fake."""

    @pytest.fixture
    def ike(self) -> FakeIke:
        return FakeIke()
