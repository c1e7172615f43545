"""The same sentences that hold the fake hold the real charon."""

import pytest

from tests.contract import IkeContract

pytestmark = pytest.mark.real


class TestViciClient(IkeContract):
    """Every sentence of the contract, against charon; fixture `ike` is in conftest.py."""
