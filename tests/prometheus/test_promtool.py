"""promtool and amtool accept our files, and find the tests of the rules true."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.edges.certificates import write_certificate
from tests.prometheus.rules import ROOT, TESTS, rule_tests

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

MANIFESTS = ROOT / "manifests" / "prometheus"
# The rules lie beside the tests, as their rule_files say.
TEST_RULES = (
    "mkdir /tmp/tests && cd /tmp/tests && cp -r /etc/prometheus/rules . && "
    "cp /tests/*.yml . && promtool test rules"
)


def inside(image: str, *command: str, volumes: dict[Path, str]) -> tuple[int, str]:
    """Run a command in one of our images without a network; return its exit code and words."""
    mounts = [part for path, at in volumes.items() for part in ("--volume", f"{path}:{at}:ro")]
    run = ("docker", "run", "--rm", "--network", "none")
    done = subprocess.run(
        [*run, *mounts, "--entrypoint", command[0], image, *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("path", rule_tests(), ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    code, words = inside(
        *("vpn-prometheus", "sh", "-c", f"{TEST_RULES} {path.name}"),
        volumes={MANIFESTS / "rules": "/etc/prometheus/rules", TESTS: "/tests"},
    )
    assert code == 0, words
    assert "SUCCESS" in words


def test_a_test_that_is_not_true_is_found_out(tmp_path: Path) -> None:
    """So that the above is known to be able to fail."""
    text = (TESTS / "reconciler.yml").read_text()
    wrong = text.replace("vpn_removals_held{", "vpn_removals_helt{")
    assert wrong != text
    (tmp_path / "wrong.yml").write_text(wrong)
    tmp_path.chmod(0o755)
    code, words = inside(
        *("vpn-prometheus", "sh", "-c", f"{TEST_RULES} wrong.yml"),
        volumes={MANIFESTS / "rules": "/etc/prometheus/rules", tmp_path: "/tests"},
    )
    assert code != 0
    assert "VpnRemovalsHeld" in words


def test_promtool_finds_no_fault_in_configuration_and_rules() -> None:
    code, words = inside(
        *("vpn-prometheus", "promtool", "check", "config", "--lint-fatal"),
        "/etc/prometheus/prometheus.yml",
        volumes={MANIFESTS: "/etc/prometheus"},
    )
    assert code == 0, words
    for path in (MANIFESTS / "rules").glob("*.yml"):
        assert f"/etc/prometheus/rules/{path.name}" in words


def test_the_image_holds_these_files() -> None:
    for path in (
        "prometheus.yml",
        *(f"rules/{one.name}" for one in (MANIFESTS / "rules").glob("*.yml")),
    ):
        code, words = inside("vpn-prometheus", "cat", f"/etc/prometheus/{path}", volumes={})
        assert (code, words) == (0, (MANIFESTS / path).read_text())


def test_amtool_finds_no_fault_in_alertmanagers_configuration() -> None:
    code, words = inside(
        *("vpn-alertmanager", "amtool", "check-config", "/a/alertmanager.yml"),
        volumes={MANIFESTS / "alertmanager": "/a"},
    )
    assert code == 0, words


def examples(language: str) -> list[str]:
    """Return the configurations that docs/monitoring.md shows."""
    text = (ROOT / "docs" / "monitoring.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_receivers_of_the_documentation_are_accepted(tmp_path: Path) -> None:
    """Each stands where the shipped file has a receiver of which nobody hears."""
    shipped = (MANIFESTS / "alertmanager" / "alertmanager.yml").read_text()
    shown = [one for one in examples("yaml") if one.startswith("receivers:")]
    assert len(shown) >= 2
    tmp_path.chmod(0o755)
    for example in shown:
        changed = re.sub(
            r"^receivers:\n.*?(?=^  - name: shown-only)",
            example,
            shipped,
            flags=re.MULTILINE | re.DOTALL,
        )
        assert changed != shipped
        (tmp_path / "alertmanager.yml").write_text(changed)
        code, words = inside(
            *("vpn-alertmanager", "amtool", "check-config", "/a/alertmanager.yml"),
            volumes={tmp_path: "/a"},
        )
        assert code == 0, words


def test_the_scrape_configuration_of_the_documentation_is_accepted(tmp_path: Path) -> None:
    shown = [one for one in examples("yaml") if "scrape_configs:" in one]
    assert shown
    tmp_path.chmod(0o755)
    shutil.copytree(MANIFESTS / "rules", tmp_path / "rules")
    token, (certificate, _) = tmp_path / "token", write_certificate(tmp_path, "vpn.example.org")
    token.touch()
    for example in shown:
        (tmp_path / "prometheus.yml").write_text(example)
        code, words = inside(
            *("vpn-prometheus", "promtool", "check", "config", "/p/prometheus.yml"),
            volumes={
                tmp_path: "/p",
                token: "/etc/prometheus/vpn-token",
                certificate: "/etc/prometheus/vpn-ca.pem",
            },
        )
        assert code == 0, words
