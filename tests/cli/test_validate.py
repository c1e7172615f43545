"""`reconciler validate`: one line a fault, and a code that a script can use."""

import json
from typing import Any

import pytest

from tests.builders import document, vpn
from tests.cli.conftest import Installation


def write(installation: Installation, content: Any) -> None:
    installation.config.write_text(json.dumps(content))


def test_a_file_without_faults_is_0(installation: Installation) -> None:
    write(installation, document(kspb=vpn(1), kczk=vpn(2)))
    answer = installation.run("validate")
    assert (answer.code, answer.out) == (0, f"{installation.config}: no faults\n")


def test_each_fault_is_one_line_that_begins_with_its_path(installation: Installation) -> None:
    write(installation, document(kspb=vpn(remote_subnet="192.168.1.7/24", psk=""), kczk=vpn(2)))
    answer = installation.run("validate")
    assert answer.code == 1
    assert sorted(answer.out.splitlines()) == [
        "airports.kspb.vpn.psk: missing or empty; write the site's pre-shared key",
        "airports.kspb.vpn.remote_subnet: '192.168.1.7/24' has host bits set; "
        "write 192.168.1.0/24 if that subnet is meant",
    ]


def test_a_warning_is_told_and_is_no_error(installation: Installation) -> None:
    write(installation, document(kspb=vpn(psk="short")))
    answer = installation.run("validate")
    assert answer.code == 0
    assert answer.out == (
        "warning: airports.kspb.vpn.psk: is weak; use at least 20 random characters\n"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("{}", "airports: is missing; write an object of airports by id"),
        ("[]", "airports: is missing"),
        ('{"airports": []}', "airports: is not an object"),
    ],
)
def test_a_file_that_can_not_be_used_is_1(
    installation: Installation, content: str, words: str
) -> None:
    installation.config.write_text(content)
    answer = installation.run("validate")
    assert answer.code == 1
    assert words in answer.out
    assert answer.out.count("\n") == 1


def test_a_missing_file_is_1_and_named(installation: Installation) -> None:
    answer = installation.run("validate")
    assert (answer.code, answer.out) == (1, f"{installation.config}: does not exist\n")


def test_another_file_can_be_named(installation: Installation) -> None:
    write(installation, document(kspb=vpn(psk="")))
    other = installation.config.with_name("other.json")
    other.write_text(json.dumps(document(kspb=vpn())))
    assert installation.run("validate", str(other)).code == 0


def test_json_for_scripts(installation: Installation) -> None:
    write(installation, document(kspb=vpn(type="wireguard"), kczk=vpn(2, psk="short")))
    answer = installation.run("validate", "--json")
    assert answer.code == 1
    assert json.loads(answer.out) == {
        "valid": False,
        "faults": [
            {
                "path": "airports.kspb.vpn.type",
                "message": "'wireguard' is not supported; write \"ipsec\"",
                "severity": "error",
            },
            {
                "path": "airports.kczk.vpn.psk",
                "message": "is weak; use at least 20 random characters",
                "severity": "warning",
            },
        ],
    }


def test_away_from_the_hub_it_says_what_it_could_not_check(installation: Installation) -> None:
    write(installation, document(kspb=vpn()))
    assert "charon is not reachable from here" in installation.run("validate").err


@pytest.mark.parametrize("airport_id", ["k\\ud800", "k\\nspb", "k\\u001b[2J"])
def test_an_airport_of_any_name_is_one_line(installation: Installation, airport_id: str) -> None:
    installation.config.write_text(
        f'{{"airports": {{"{airport_id}": {{"vpn": {{"enabled": true, "psk": "x"}}}}}}}}'
    )
    answer = installation.run("validate")
    assert answer.code == 1
    assert answer.out.endswith("\n")
    assert answer.out.encode()
    assert all(line.startswith("airports.k") for line in answer.out.splitlines())


def test_no_psk_is_printed(installation: Installation) -> None:
    body = vpn(psk="hush-hush-hush\n", remote_subnet="x", unknown="hush-hush-hush")
    write(installation, document(kspb=body))
    for arguments in ([], ["--json"]):
        answer = installation.run("validate", *arguments)
        assert "hush" not in answer.out + answer.err
