"""scripts/release: what it refuses, and what it makes. Docker and make are stand-ins here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler import __version__

ROOT = Path(__file__).parents[1]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-11-25\n\n### Added\n\n- Much.\n"
STAND_IN = """#!/bin/sh
echo "{name} $*" >> "$CALLS"
[ "$*" != "$FAILING" ] || exit 1
case "$*" in *--version*) echo "$TOLD";; esac
"""


class Release:
    """A small repository with the script, and a note of what it called."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.calls = folder / "tree", folder / "calls"
        programs = folder / "bin"
        programs.mkdir()
        for name in ("make", "docker"):
            (programs / name).write_text(STAND_IN.format(name=name))
            (programs / name).chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLS": str(self.calls),
            "TOLD": "1.2.3",
            "FAILING": "nothing",
            "GIT_CONFIG_GLOBAL": str(folder / "git"),
        }
        (folder / "git").write_text("[user]\nname = a\nemail = a@b.example\n")
        self.write("reconciler/__init__.py", '__version__ = "1.2.3"\n')
        self.write("CHANGELOG.md", CHANGELOG)
        self.write("scripts/build", "#!/bin/sh\necho built >> $CALLS\n")
        shutil.copy(ROOT / "scripts" / "release", self.tree / "scripts")
        (self.tree / "scripts/build").chmod(0o755)
        self.git("init", "--quiet")
        self.commit()

    def write(self, path: str, text: str) -> None:
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_text(text)

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.tree,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A commit")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["scripts/release", *arguments],
            cwd=self.tree,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def test_a_release_is_tested_then_built_then_tagged(release: Release) -> None:
    done = release.run("1.2.3")
    assert done.returncode == 0, done.stderr
    assert release.called()[:3] == ["make check", "make test", "built"]
    assert "docker tag vpn-charon:latest vpn-charon:1.2.3" in release.called()
    assert "docker tag vpn-alertmanager:latest vpn-alertmanager:1.2.3" in release.called()
    assert release.git("cat-file", "-t", "v1.2.3") == "tag\n"
    assert release.git("rev-parse", "v1.2.3^{commit}") == release.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("reconciler/__init__.py", '__version__ = "1.2.2"\n', "__init__.py says 1.2.2"),
        ("CHANGELOG.md", CHANGELOG.replace("1.2.3", "1.2.30"), "## [1.2.3] - 20"),
        ("CHANGELOG.md", CHANGELOG.replace(" - 2026-11-25", ""), "has no line: ## [1.2.3]"),
        (
            "CHANGELOG.md",
            CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"),
            "entries under Unreleased",
        ),
    ],
)
def test_what_does_not_say_the_version_is_refused_before_any_test(
    release: Release, path: str, text: str, words: str
) -> None:
    release.write(path, text)
    release.commit()
    assert_refused(release, words)


def assert_refused(release: Release, words: str, *arguments: str) -> None:
    done = release.run(*(arguments or ("1.2.3",)))
    assert done.returncode == 1
    assert words in done.stderr
    assert release.called() == []


def test_a_tree_that_is_not_clean_is_refused(release: Release) -> None:
    release.write("more", "")
    assert_refused(release, "not clean")


def test_a_version_that_is_there_is_refused(release: Release) -> None:
    release.git("tag", "v1.2.3")
    assert_refused(release, "a tag v1.2.3 already")


@pytest.mark.parametrize("version", ["", "v1.2.3", "1.2", "1.2.3; true"])
def test_what_is_no_version_is_refused(release: Release, version: str) -> None:
    assert_refused(release, "like 0.2.0", version)


@pytest.mark.parametrize("failing", ["check", "test"])
def test_nothing_is_made_if_a_test_fails(release: Release, failing: str) -> None:
    release.environment["FAILING"] = failing
    assert release.run("1.2.3").returncode != 0
    assert "built" not in release.called()
    assert release.git("tag") == ""


def test_an_image_of_another_version_is_not_tagged_in_git(release: Release) -> None:
    release.environment["TOLD"] = "1.2.2"
    done = release.run("1.2.3")
    assert done.returncode == 1
    assert "says that it is 1.2.2" in done.stderr
    assert release.git("tag") == ""


def test_the_version_stands_in_one_place() -> None:
    assert f'__version__ = "{__version__}"' in (ROOT / "reconciler/__init__.py").read_text()
    assert __version__ not in (ROOT / "pyproject.toml").read_text()
