"""The contract with the web page elsewhere; tests/e2e/test_consumer.py has the same in PHP."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.observed import Unobserved
from reconciler.core.status import Status
from tests.consumer import contract
from tests.consumer.writing import Write, forget_a_key, write_in_place, writing
from tests.core.test_status import KSPB, child, ike, seen, told
from tests.page.fleets import document, fleet

READER = Path(contract.__file__)


def read_beside(file: Path, seconds: float) -> dict[str, Any]:
    """Read in a process of its own, as a web page does."""
    command = [sys.executable, str(READER), str(file), str(seconds)]
    done = subprocess.run(command, capture_output=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    "observed",
    [
        seen(),
        seen(ike(child())),
        seen(ike()),
        seen(ike(state="CONNECTING")),
        seen(ike(child("10.9.0.0/24"))),
        Unobserved("away"),
    ],
    ids=["down", "up", "no child", "negotiating", "another subnet", "not observed"],
)
def test_every_state_keeps_to_the_contract(observed: Any) -> None:
    connection = told(observed).model_dump(mode="json")
    made = document() | {"connections": {KSPB.name: connection}}
    assert contract.faults(json.loads(json.dumps(made))) == []


def test_a_large_fleet_keeps_to_it() -> None:
    made = Status.model_validate(fleet(300)).model_dump_json()
    assert contract.faults(json.loads(made)) == []


ODD: tuple[Any, ...] = (..., None, 1.0, True, [], {})


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        (key, wrong)
        for key, kind in contract.KEYS.items()
        for wrong in (*ODD, 1 if kind is str else "1")
    ],
    ids=repr,
)
def test_a_key_that_is_missing_or_of_another_type_is_noticed(key: str, wrong: Any) -> None:
    made = fleet(2)
    one = made["connections"]["k0001_vpn"]
    one[key] = wrong
    if wrong is ...:
        del one[key]
    assert contract.faults(made) != []


def test_a_reader_never_sees_half_a_file_while_it_is_written_in_a_tight_loop(
    tmp_path: Path,
) -> None:
    file = tmp_path / "vpn-status.json"
    with writing(file):
        saw = read_beside(file, 2)
    assert saw["faults"] == []
    assert saw["reads"] > 100
    assert saw["documents"] > 20


@pytest.mark.parametrize("write", [write_in_place, forget_a_key])
def test_and_would_notice_if_it_were_otherwise(tmp_path: Path, write: Write) -> None:
    file = tmp_path / "vpn-status.json"
    with writing(file, write):
        assert read_beside(file, 20)["faults"] != []
