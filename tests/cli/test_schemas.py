"""The JSON Schemas in manifests/: those of the models, valid, and true of what we read and write.

After a change of a model: `reconciler schema airports > manifests/airports.schema.json`, and
likewise for status.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from reconciler.cli import schemas
from reconciler.core.check import decide
from tests.builders import FACTS, document, vpn
from tests.cli.conftest import Installation
from tests.edges.test_status_file import status

MANIFESTS = Path(__file__).parents[2] / "manifests"
MISSION: dict[str, Any] = {
    "airports": {
        "kspb": {
            "name": "Scappoose",
            "vpn": {
                "enabled": True,
                "type": "ipsec",
                "connection_name": "kspb_vpn",
                "remote_subnet": "192.168.1.0/24",
                "psk": "correct-horse-battery-0001",
                "ike_version": "2",
                "encryption": "aes256gcm128",
                "dh_group": "14",
                "lifetime": "3600",
            },
            "webcams": [{"name": "North", "url": "rtsp://192.168.1.100:554/stream1"}],
        }
    }
}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schemas()[name])


def read(name: str) -> Any:
    return json.loads((MANIFESTS / name).read_text())


@pytest.mark.parametrize("name", ["airports", "status"])
def test_the_schema_is_a_valid_one(installation: Installation, name: str) -> None:
    answer = installation.run("schema", name)
    assert answer.code == 0
    printed = json.loads(answer.out)
    Draft202012Validator.check_schema(printed)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(installation.run("schema", name, "--json").out) == printed


def test_without_a_name_it_is_the_schema_of_airports(installation: Installation) -> None:
    assert json.loads(installation.run("schema").out) == schemas()["airports"]


@pytest.mark.parametrize("name", ["airports", "status"])
def test_the_schema_in_the_repository_is_that_of_the_models(name: str) -> None:
    assert read(f"{name}.schema.json") == schemas()[name]


def test_the_example_has_no_fault_and_fits_the_schema() -> None:
    example = read("airports.example.json")
    validator("airports").validate(example)
    decision = decide(example, {}, FACTS)
    assert decision.faults == ()
    assert len(decision.sites) > 1


def test_the_example_shows_every_key() -> None:
    example = read("airports.example.json")
    shown = {key for a in example["airports"].values() for key in a.get("vpn") or {}}
    assert shown == set(schemas()["airports"]["$defs"]["Vpn"]["properties"])


def test_an_existing_file_with_text_for_numbers_fits_the_schema() -> None:
    assert decide(MISSION, {}, FACTS).faults == ()
    validator("airports").validate(MISSION)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"enabled": "true", "lifetime": 3600, "dh_group": 14, "ike_version": 2},
        {
            "remote_subnet": ["192.168.1.0/24", "fd00::/64"],
            "local_subnet": ["10.0.0.0/8", "fd01::/64"],
        },
        {"dh_group": "modp2048", "encryption": "aes256-sha256"},
        {"remote_address": "198.51.100.7", "remote_id": "kspb.site", "connection_name": "kspb"},
        {"local_subnet": None, "remote_address": None, "connection_name": None, "remote_id": None},
    ],
    ids=repr,
)
def test_what_is_taken_fits_the_schema(changes: dict[str, Any]) -> None:
    content = document(kspb=vpn(**changes))
    assert decide(content, {}, FACTS).faults == ()
    validator("airports").validate(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"airports": []},
        document(kspb=vpn(psk=...)),
        document(kspb=vpn(remote_subnet=...)),
        document(kspb=vpn(remote_subnet=[])),
        document(kspb=vpn(type="wireguard")),
        document(kspb=vpn(dhgroup=14)),
        document(kspb=vpn(connection_name="a b")),
        document(kspb=vpn(ike_version=1)),
    ],
    ids=range(9),
)
def test_what_the_schema_can_tell_to_be_wrong_is_refused_by_it(content: Any) -> None:
    assert decide(content, {}, FACTS).errors
    with pytest.raises(ValidationError):
        validator("airports").validate(content)


def test_what_is_not_ours_fits_the_schema() -> None:
    content = document(kspb=vpn())
    content["airports"]["kspb"] |= {"runways": [1], "services": {"fuel": True}}
    content |= {"version": 7}
    validator("airports").validate(content)


def test_a_status_document_fits_the_schema() -> None:
    validator("status").validate(json.loads(status(tunnels=3).model_dump_json()))


def test_the_schema_of_the_status_demands_the_contract() -> None:
    tunnel = schemas()["status"]["$defs"]["ConnectionStatus"]
    assert set(tunnel["required"]) >= {
        "airport_id",
        "connection_name",
        "status",
        "last_connected",
        "last_disconnected",
        "uptime_seconds",
        "health_check",
    }
    assert tunnel["properties"]["status"]["enum"] == ["up", "down", "connecting"]
    assert tunnel["properties"]["health_check"]["enum"] == ["pass", "fail", "unknown"]
