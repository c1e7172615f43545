"""`reconciler psk`: a key that every router takes."""

import json
import string

import pytest

from reconciler.core.routers import ROUTERS
from reconciler.keys import new_key
from tests.cli.conftest import Installation


def test_it_has_letters_and_digits_only_and_begins_with_a_letter() -> None:
    for _ in range(300):
        key = new_key()
        assert set(key) <= set(string.ascii_letters + string.digits)
        assert key[0] in string.ascii_letters


def test_it_holds_256_bits_of_randomness() -> None:
    assert 52 * 62 ** (len(new_key()) - 1) >= 2**256
    assert 52 * 62 ** (len(new_key(1024)) - 1) >= 2**1024


def test_no_two_are_equal() -> None:
    assert len({new_key() for _ in range(1000)}) == 1000


def test_every_router_takes_it() -> None:
    key = new_key()
    assert not [router.name for router in ROUTERS.values() if router.key_rule.fault(key)]


def test_it_is_all_that_is_printed(installation: Installation) -> None:
    answer = installation.run("psk")
    assert (answer.code, answer.err) == (0, "")
    assert len(answer.out.strip()) == len(new_key())


def test_json_for_scripts(installation: Installation) -> None:
    found = json.loads(installation.run("psk", "--bits", "512", "--json").out)
    assert found["bits"] == 512
    assert 52 * 62 ** (len(found["psk"]) - 1) >= 2**512


@pytest.mark.parametrize("bits", ["128", "255", "1025", "many", "-256", "٢٥٦"])
def test_fewer_than_256_bits_are_refused(installation: Installation, bits: str) -> None:
    with pytest.raises(SystemExit) as ended:
        installation.run("psk", f"--bits={bits}")
    assert ended.value.code == 2
