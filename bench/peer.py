"""strongSwan's own tool, swanctl, as a user would type it in charon's container.

The clock is bash's and is read inside the container, directly before and after swanctl, so what
the docker command needs is not in the figure; the start of the swanctl process is, as a user pays
it every time. Its output goes to /dev/null, which is faster than any terminal.
"""

from bench.stage import HUB, SHARED_INSIDE
from tests.docker import docker

URI = "unix:///run/vici/charon.vici"
SWANCTL_FILE = SHARED_INSIDE / "peer" / "swanctl.conf"
_SCRIPT = """
export LC_ALL=C
begin=$EPOCHREALTIME
for command; do
  # shellcheck disable=SC2086
  swanctl $command >/dev/null 2>/tmp/swanctl.stderr || { cat /tmp/swanctl.stderr >&2; exit 1; }
done
end=$EPOCHREALTIME
echo "$begin $end"
"""


def swanctl(*commands: str) -> float:
    """Run swanctl once a command, one after the other; return the seconds from first to last."""
    complete = [f"{command} --uri {URI}" for command in commands]
    begin, end = docker("exec", HUB, "bash", "-c", _SCRIPT, "swanctl", *complete).split()
    return float(end) - float(begin)


def load_all() -> float:
    """Load the whole file, connections and secrets."""
    return swanctl(f"--load-all --noprompt --file {SWANCTL_FILE}")
