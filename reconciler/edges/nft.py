"""The kernel's packet filter, by the program `nft`: our own table and nothing else."""

import json
import subprocess
from collections.abc import Sequence

from reconciler.core.nft_script import TABLE
from reconciler.errors import FilterRefused

_WITHIN_S = 20.0
_LONGEST_SHOWN = 300
_ABSENT = "No such file or directory"
_REMOVAL = f"add table {TABLE}\ndelete table {TABLE}\n"
_NO_RIGHT = "start the container with --cap-add NET_ADMIN, and without no-new-privileges"
_HINTS = (
    ("not permitted", _NO_RIGHT),
    (
        "not supported",
        "the kernel lacks nf_tables; on the host: modprobe nf_tables, or set PACKET_FILTER=no",
    ),
    (
        _ABSENT,
        "the kernel lacks a part of nf_tables; on the host: "
        "modprobe -a nf_tables nft_ct nft_fib_inet nft_xfrm, or set PACKET_FILTER=no",
    ),
)


class Nft:
    """Runs `nft`. Every method raises FilterRefused, with one clear sentence."""

    def __init__(self, command: Sequence[str] = ("nft",), within_s: float = _WITHIN_S) -> None:
        self._command = tuple(command)
        self._within_s = within_s

    def load(self, script: str) -> None:
        """Do all of a script at once, or nothing."""
        done = self._run("--file", "-", stdin=script)
        if done.returncode != 0:
            raise FilterRefused(_sentence(done.stderr))

    def remove(self) -> None:
        """Take our table away; it may be gone already."""
        self.load(_REMOVAL)

    def listing(self) -> str | None:
        """Return our table as it is, without what counts; None: there is none."""
        done = self._run("--stateless", "list", "table", *TABLE.split())
        if done.returncode == 0:
            return done.stdout
        if f"Error: {_ABSENT}" in done.stderr:
            return None
        raise FilterRefused(_sentence(done.stderr))

    def counters(self) -> dict[str, int]:
        """Return the packets by counter; empty without our table."""
        done = self._run("--json", "list", "counters", "table", *TABLE.split())
        if done.returncode != 0:
            return {}
        found = [one.get("counter") for one in json.loads(done.stdout)["nftables"]]
        return {str(one["name"]): int(one["packets"]) for one in found if one}

    def _run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - no argument is of others
                [*self._command, *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=self._within_s,
                check=False,
            )
        except FileNotFoundError as error:
            raise FilterRefused("there is no program nft here; install nftables") from error
        except PermissionError as error:
            raise FilterRefused(f"nft may not be run; {_NO_RIGHT}") from error
        except subprocess.TimeoutExpired as error:
            raise FilterRefused(f"nft did not end within {self._within_s:g} s") from error


def _sentence(printed: str) -> str:
    """Return what nft complained of, as one line, and what helps if that is known."""
    lines = [line.strip() for line in printed.splitlines() if "rror" in line or "not " in line]
    said = (lines or [printed.strip() or "no word"])[0][:_LONGEST_SHOWN]
    helps = next((f"; {hint}" for words, hint in _HINTS if words in printed), "")
    return f"nft: {said}{helps}"
