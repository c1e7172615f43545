"""`reconciler diagnose`: one archive for support, with everything but the secrets.

Each part is had or not had by itself; what can't be had is named with the reason. Every secret that
is known is masked wherever it turns up, and the finished archive is searched once more before it is
handed out: one that holds a secret all the same is not.
"""

import argparse
import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import stat
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from reconciler import __version__
from reconciler.core import redact
from reconciler.core.check import Severity
from reconciler.core.observed import Unobserved
from reconciler.core.redact import Finder
from reconciler.edges.containers import Containers
from reconciler.edges.hub_networks import read_hub_networks
from reconciler.edges.key_files import with_keys
from reconciler.edges.manifest import read_document
from reconciler.edges.recent_log import read_recent, recent_file
from reconciler.edges.vici_client import QUESTIONS, ViciClient
from reconciler.errors import (
    DiagnoseError,
    IkeUnreachable,
    ReconcilerError,
)
from reconciler.health import get
from reconciler.known_secrets import known_secrets
from reconciler.look import look
from reconciler.recall import recall
from reconciler.recent import CHARON, OWN
from reconciler.settings import Settings
from reconciler.text import action_json, size
from reconciler.wiring import real_world

_CONTENTS = "CONTENTS.txt"
# Beyond, charon's answer would not fit into one message, and would never come.
_MOST_FOR_ALL_COUNTERS = 500
_HISTORY = re.compile(r"history\.jsonl(\.\w+)?")


def diagnose_options(parser: argparse.ArgumentParser) -> None:
    """Take where the archive is to be written."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE.tar.gz",
        help="a new file, or - for standard output; default: vpn-support-<time>.tar.gz here",
    )


def diagnose(settings: Settings, options: argparse.Namespace) -> int:
    """Write the archive and say what is inside. Raises DiagnoseError."""
    began = datetime.now(UTC)
    title = f"vpn-support-{began.strftime('%Y%m%dT%H%M%SZ')}"
    output = options.output or f"{title}.tar.gz"
    if output == "-" and sys.stdout.isatty():
        sys.stderr.write("reconciler: an archive is nothing for a terminal; add > FILE.tar.gz\n")
        return 2
    with _Output(output) as out:
        finder, notes = known_secrets(settings)
        collector = Collector(settings, finder, _progress)
        collector.collect()
        archive = collector.archive(title, [*notes, f"made {began.isoformat(timespec='seconds')}"])
        refuse_secrets(archive, finder)
        out.write(archive)
    told = sys.stderr if output == "-" else sys.stdout
    if options.json:
        told.write(json.dumps(collector.told(output, len(archive)), indent=1) + "\n")
    else:
        told.write("\n".join(collector.told_lines(output, len(archive))) + "\n")
    return 0


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class _Output:
    """A new file for our eyes only, gone again if nothing is written; or standard output."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._descriptor: int | None = None
        self._written = False

    def __enter__(self) -> "_Output":
        if self._name != "-":
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._descriptor = os.open(self._name, flags, 0o600)
            except FileExistsError as error:
                raise DiagnoseError(f"{self._name}: is there already; nothing was done") from error
            except OSError as error:
                raise DiagnoseError(
                    f"{self._name}: {error.strerror}; name a file by --output, or take it from "
                    "standard output: docker exec reconciler reconciler diagnose -o - > FILE.tar.gz"
                ) from error
        return self

    def write(self, content: bytes) -> None:
        """Write the whole of it. Raises OSError."""
        if self._descriptor is None:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            return
        view = memoryview(content)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._written = True

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            if not self._written:
                Path(self._name).unlink(missing_ok=True)


def refuse_secrets(archive: bytes, finder: Finder) -> None:
    """Unpack the archive and look for every known secret. Raises DiagnoseError, naming members."""
    leaks = []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            found = finder.found_in(file.read() if file else b"")
            leaks += [f"{member.name} holds {where}" for where in found]
    if leaks:
        raise DiagnoseError(
            f"nothing was written, as there would be secrets in it: {'; '.join(leaks)}. "
            "Please report this as a bug"
        )


class Collector:
    """Gathers the parts, each by itself."""

    def __init__(self, settings: Settings, finder: Finder, progress: Callable[[str], None]) -> None:
        self._settings = settings
        self._finder = finder
        self._progress = progress
        self._silent = ""
        self._members: dict[str, bytes] = {}
        self._missing: dict[str, str] = {}
        self._masked: dict[str, list[str]] = {}

    def collect(self) -> None:
        """Get all that can be had. Never raises for what can't."""
        settings, state = self._settings, self._settings.state_dir
        charon = ViciClient(str(settings.vici_socket))
        containers = Containers(settings.docker_host, settings.charon_container)
        self._add("versions.json", lambda: _versions(containers))
        self._add("settings.json", lambda: _settings(settings))
        self._add("status.json", settings.status_file.read_bytes)
        self._add("airports.json", lambda: _airports(settings.config_path))
        self._add("accepted.json", lambda: _accepted(state / "accepted.json"))
        self._add("orders.json", (state / "orders.json").read_bytes)
        self._add("swanctl.conf", lambda: _swanctl(settings.swanctl_file))
        self._add("plan.json", lambda: _plan(settings))
        for question in QUESTIONS:
            self._add(f"charon/{question}.json", lambda q=question: self._ask(charon, q))  # type: ignore[misc]
        self._add("container.json", containers.inspect)
        for page in ("metrics", "healthz", "readyz"):
            self._add(f"{page}.txt", lambda p=page: _page(settings, p))  # type: ignore[misc]
        for name in (OWN, CHARON):
            path = recent_file(state, name)
            self._add(f"logs/{name}.log", lambda p=path: read_recent(p))  # type: ignore[misc]
        for path in _history(state):
            self._add(f"history/{path.name}", path.read_bytes)
        self._add("files.json", lambda: _files(settings))
        self._add("network.json", lambda: {k: str(v) for k, v in read_hub_networks().items()})
        charon.close()
        containers.close()

    def _ask(self, charon: ViciClient, question: str) -> object:
        """Ask charon; one that was silent once is not asked again, as each time takes seconds."""
        if self._silent:
            raise IkeUnreachable(self._silent)
        criteria = {}
        if question == "get-counters":
            many = len(charon.read("list-conns")) > _MOST_FOR_ALL_COUNTERS
            criteria = {} if many else {"all": "yes"}
        try:
            found = charon.read(question, **criteria)
        except IkeUnreachable as error:
            # An older charon, or one without a plugin, hangs up on a question it does not know.
            self._silent = "" if charon.answers() else str(error)
            raise
        return found if QUESTIONS[question] else found[0]

    def _add(self, name: str, make: Callable[[], object]) -> None:
        try:
            made = make()
            content = made if isinstance(made, bytes) else _json(made)
        except Exception as error:  # noqa: BLE001 - no fault of one part may cost the others
            self._missing[name] = self._finder.masked(_why(error).encode())[0].decode()
            self._progress(f"  {name}: not to be had: {self._missing[name]}")
            return
        self._members[name], masked = self._finder.masked(content)
        if masked:
            self._masked[name] = masked
        self._progress(f"  {name}: {size(len(self._members[name]))}")

    def archive(self, title: str, notes: Iterable[str]) -> bytes:
        """Pack what was gathered, with a list of it."""
        contents, _ = self._finder.masked("\n".join(self._contents(title, notes)).encode() + b"\n")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
            for name, content in {_CONTENTS: contents, **self._members}.items():
                member = tarfile.TarInfo(f"{title}/{name}")
                member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
                tar.addfile(member, io.BytesIO(content))
        return packed.getvalue()

    def _contents(self, title: str, notes: Iterable[str]) -> Iterator[str]:
        yield title
        yield from notes
        yield "\nKeys and passwords are left out. Addresses, names and subnets are not."
        yield "\nInside:"
        yield from (f"  {name}: {len(content)} bytes" for name, content in self._members.items())
        yield "\nNot to be had:" if self._missing else "\nEverything could be had."
        yield from (f"  {name}: {why}" for name, why in self._missing.items())
        if self._masked:
            yield "\nSecrets stood here, and were masked by ***:"
            yield from (f"  {name}: {', '.join(found)}" for name, found in self._masked.items())

    def told(self, output: str, length: int) -> dict[str, object]:
        """Tell programs what was done."""
        return {
            "output": output,
            "bytes": length,
            "members": {name: len(content) for name, content in self._members.items()},
            "missing": self._missing,
            "masked": self._masked,
        }

    def told_lines(self, output: str, length: int) -> Iterator[str]:
        """Tell people what was done."""
        where = "standard output" if output == "-" else str(Path(output).absolute())
        yield f"{where}: {size(length)}, {len(self._members)} parts: {', '.join(self._members)}"
        for name, why in self._missing.items():
            yield f"not to be had: {name}: {why}"
        for name, found in self._masked.items():
            yield f"masked in {name}: {', '.join(found)}"
        yield "Keys and passwords are left out; addresses and names of your airports are in it."


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    known = isinstance(error, ReconcilerError)
    return " ".join((str(error) if known else f"{type(error).__name__}: {error}").split())


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, default=str).encode() + b"\n"


def _versions(containers: Containers) -> dict[str, object]:
    try:
        engine: object = containers.engine()
    except ReconcilerError as error:
        engine = str(error)
    needed = importlib.metadata.requires("reconciler") or []
    packages = sorted({re.split(r"[^\w.-]", one)[0] for one in needed if "extra ==" not in one})
    return {
        "reconciler": __version__,
        "python": sys.version,
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "kernel": " ".join(platform.uname()[2:5]),
        "operating_system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "docker_engine": engine,
        "strongswan": "see charon/version.json",
    }


def _settings(settings: Settings) -> dict[str, str]:
    return {
        field.name.upper(): redact.without_user_info(str(getattr(settings, field.name)))
        for field in fields(settings)
    }


def _airports(path: Path) -> object:
    return redact.shown_document(with_keys(read_document(path)))


def _accepted(path: Path) -> object:
    found = json.loads(path.read_bytes())
    return {airport_id: redact.shown_vpn(vpn) for airport_id, vpn in found.items()}


def _swanctl(path: Path) -> bytes:
    return redact.swanctl_without_secrets(path.read_text(errors="replace")).encode()


def _plan(settings: Settings) -> dict[str, object]:
    world = real_world(settings, read_only=True)
    try:
        seen = look(world, recall(settings.status_file, world.clock), deep=True)
    finally:
        world.ike.close()
    decision = seen.decision
    unseen = seen.observed.reason if isinstance(seen.observed, Unobserved) else ""
    return {
        "charon_not_asked": unseen,
        "changes": [action_json(action) for action in seen.planned],
        "errors": list(seen.errors),
        "faults": [
            {"severity": f.severity.value, "path": f.path, "message": f.message}
            for f in sorted(decision.faults, key=lambda f: f.severity is not Severity.ERROR)
        ],
        "removals_held": list(decision.held),
        "kept": sorted(decision.kept),
        "disabled": list(decision.disabled),
    }


def _page(settings: Settings, name: str) -> bytes:
    code, body = get(
        settings.listen,
        f"/{name}",
        tls=bool(settings.http_tls_certificate),
        token_file=settings.http_token_file if name == "metrics" else "",
    )
    return body if name == "metrics" else f"{code} ".encode() + body


def _history(state: Path) -> list[Path]:
    try:
        return sorted(path for path in state.iterdir() if _HISTORY.fullmatch(path.name))
    except OSError:
        return []


def _files(settings: Settings) -> dict[str, object]:
    """Tell who may read and write what, and whether there is room: the usual suspects."""
    places = {
        settings.config_path.parent,
        settings.status_file.parent,
        settings.state_dir,
        settings.swanctl_file.parent,
        settings.vici_socket.parent,
    }
    return {
        "we_are": f"{os.getuid()}:{os.getgid()}",
        **{str(place): _directory(place) for place in sorted(places)},
    }


def _directory(place: Path) -> object:
    try:
        usage = shutil.disk_usage(place)
        entries = [place, *sorted(place.iterdir())]
    except OSError as error:
        return error.strerror
    return {
        "free_bytes": usage.free,
        "total_bytes": usage.total,
        "entries": {
            entry.name if entry != place else ".": _entry(entry) for entry in entries[:200]
        },
    }


def _entry(path: Path) -> str:
    try:
        found = path.lstat()
    except OSError as error:
        return str(error.strerror)
    changed = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds")
    mode = stat.filemode(found.st_mode)
    return f"{mode} {found.st_uid}:{found.st_gid} {found.st_size} bytes, changed {changed}"
