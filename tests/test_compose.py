"""The compose files are one thing in several surroundings: what is in one is in all."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


class Loader(yaml.SafeLoader):
    """Reads over what only Compose knows: `!reset` and `!override`."""


def _untagged(loader: Loader, _tag: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    return loader.construct_mapping(node) if isinstance(node, yaml.MappingNode) else None


Loader.add_multi_constructor("!", _untagged)


def read(name: str) -> dict[str, Any]:
    return dict(yaml.load((ROOT / name).read_text(), Loader))  # noqa: S506 - a SafeLoader


HOST, BRIDGE, DEMO = map(read, ("compose.yaml", "compose.bridge.yaml", "compose.demo.yaml"))
OWN = {"pause", "starter"}  # what only a network of one's own needs


@pytest.mark.parametrize(
    ("file", "base", "of"), [(BRIDGE, HOST, "compose.yaml"), (DEMO, BRIDGE, "compose.bridge.yaml")]
)
def test_every_service_and_volume_of_one_is_in_the_next(
    file: dict[str, Any], base: dict[str, Any], of: str
) -> None:
    for name in base["services"]:
        assert file["services"][name]["extends"] == {"file": of, "service": name}
    assert set(base["volumes"]) <= set(file["volumes"])


def test_in_the_bridge_variant_nothing_is_left_on_the_hosts_network() -> None:
    assert set(BRIDGE["services"]) == {*HOST["services"], *OWN}
    for name, service in HOST["services"].items():
        if service.get("network_mode") == "host":
            mode = BRIDGE["services"][name].get("network_mode", "host")
            assert mode in ("service:pause", None), name


def test_what_shares_the_network_of_pause_is_started_again_when_it_came_too_early() -> None:
    sharing = [
        name
        for name, service in BRIDGE["services"].items()
        if service.get("network_mode") == "service:pause"
    ]
    named = BRIDGE["services"]["starter"]["environment"]["CONTAINERS"].split()
    assert sorted(named) == sorted(f"${{NAME_PREFIX:-}}{name}" for name in sharing)
