"""`reconciler diagnose`: everything for support in one archive, and not one secret."""

import base64
import contextlib
import io
import json
import os
import stat
import tarfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import diagnose
from reconciler.cli import main
from reconciler.core.redact import Finder, Secret
from reconciler.core.swanctl import swanctl_text
from reconciler.edges.http import HttpServer, metrics_answer, plain
from reconciler.edges.recent_log import recent_file
from reconciler.edges.status_file import write_status
from reconciler.edges.vici_client import QUESTIONS
from reconciler.errors import DiagnoseError
from reconciler.service import http_access
from reconciler.settings import Settings
from tests.builders import connections, document, vpn
from tests.cli.conftest import Answer, Installation
from tests.edges.certificates import write_certificate
from tests.edges.docker_server import docker_server
from tests.edges.test_status_file import status
from tests.edges.vici_samples import ALGORITHMS, IKE, KSPB, STATS, VERSION
from tests.edges.vici_server import ViciServer, vici_server

PSK, NEXT, FILED = "correct-horse-bättery-0001", 'next "key" with \\ and %', "filed-key-0123456789"
ELSEWHERE, CAMERA, GONE = "elsewhere-key-0123", "camera/pass:wörd", "an-accepted-key-of-earlier"
MARK_KEY = bytes(range(200, 232))
SECRETS = [PSK, NEXT, FILED, ELSEWHERE, CAMERA, GONE]


def forms(secret: bytes) -> list[bytes]:
    """Spell a secret in the ways that matter, without the help of the code that is tested."""
    found = [secret, secret.hex().encode(), base64.b64encode(secret), repr(secret)[2:-1].encode()]
    with contextlib.suppress(UnicodeDecodeError):
        text = secret.decode()
        found += [json.dumps(text)[1:-1].encode(), urllib.parse.quote(text, safe="").encode()]
    return found


def unpacked(archive: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    folders = set()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            folder, _, name = member.name.partition("/")
            folders.add(folder)
            file = tar.extractfile(member)
            found[name] = file.read() if file else b""
    assert len(folders) == 1
    return found


def assert_no_secret(members: dict[str, bytes]) -> None:
    for name, content in members.items():
        for secret in (*(one.encode() for one in SECRETS), MARK_KEY):
            for form in forms(secret):
                assert form not in content, (name, form)


@pytest.fixture
def site(installation: Installation) -> Installation:
    """Make an installation with secrets wherever one can think of."""
    state = installation.state
    (state / "kczk.psk").write_text(f"{FILED}\n")
    camera = urllib.parse.quote(CAMERA, safe="")
    made = document(
        kspb=vpn(1, psk=PSK, next_psk=NEXT, pksk=ELSEWHERE, comment=PSK),
        kczk=vpn(2, psk=..., psk_file=str(state / "kczk.psk")),
    )
    made["airports"]["kspb"] |= {
        "name": "Scappoose",
        "webcams": [
            {"name": f"North {PSK}", "url": f"rtsp://admin:{camera}@192.168.1.100/s?key={PSK}"}
        ],
    }
    made["weather_api_key"] = ELSEWHERE
    installation.config.write_text(json.dumps(made))
    (state / "accepted.json").write_text(json.dumps({"kold": vpn(3, psk=GONE)}))
    (state / "mark.key").write_bytes(MARK_KEY)
    (state / "orders.json").write_text('{"connections": {}}')
    (state / "history.jsonl").write_text(json.dumps({"reason": f"it said {PSK}"}) + "\n")
    fleet = connections(kspb=vpn(1, psk=PSK), kczk=vpn(2, psk=FILED))
    (state / "swanctl.conf").write_text(swanctl_text(fleet.values()))
    everything = [form for one in SECRETS for form in forms(one.encode())]
    for name in ("reconciler", "charon"):
        lines = b"\n".join([b"line one", *everything, *forms(MARK_KEY), b""])
        recent_file(state, name).write_bytes(lines)
    found = status()
    leaky = found.reconciler.model_copy(update={"errors": tuple(SECRETS)})
    write_status(installation.status, found.model_copy(update={"reconciler": leaky}))
    return installation


@pytest.fixture
def charon(site: Installation) -> Iterator[ViciServer]:
    with vici_server(site.config.parent / "no.vici") as server:
        server.answers = {
            "version": lambda _: VERSION,
            "stats": lambda _: STATS,
            "get-algorithms": lambda _: ALGORITHMS,
            "get-shared": lambda _: {"keys": [KSPB.secret_id, f"of {PSK}"]},
            "get-counters": lambda _: {"counters": {}},
        }
        server.streams = {
            "list-conns": ("list-conn", lambda _: [{KSPB.name: {"children": {"x": {}}}}]),
            "list-sas": ("list-sa", lambda _: [{KSPB.name: {**IKE, "remote-id": NEXT}}]),
            "list-policies": ("list-policy", lambda _: []),
        }
        yield server


def archive(site: Installation, *arguments: str) -> tuple[Answer, dict[str, bytes]]:
    path = site.config.parent / "support.tar.gz"
    path.unlink(missing_ok=True)
    answer = site.run("diagnose", f"--output={path}", *arguments)
    return answer, unpacked(path.read_bytes()) if path.exists() else {}


def test_no_secret_is_anywhere_in_the_archive_nor_in_what_is_printed(
    site: Installation, charon: ViciServer, tmp_path: Path
) -> None:
    with docker_server(tmp_path / "docker.sock") as docker:
        docker.container = {
            "State": {"Status": "running", "Health": {"Log": [{"Output": PSK}]}},
            "Config": {"Image": "vpn-charon", "Env": [f"KEY={PSK}", "DATAPLANE=auto"]},
            "HostConfig": {"NetworkMode": "host", "LogConfig": {"Config": {"token": FILED}}},
        }
        answer, members = archive(site, f"--docker-host={docker.host}")
    assert answer.code == 0
    assert_no_secret(members)
    assert_no_secret({"printed": (answer.out + answer.err).encode()})
    contents = members["CONTENTS.txt"].decode()
    assert "Secrets stood here, and were masked" in contents
    assert "logs/charon.log: accepted.json.kold.psk, airports.json.airports.kczk.vpn" in contents
    container = json.loads(members["container.json"])
    assert container["variables"] == ["DATAPLANE", "KEY"]
    assert container["HostConfig"] == {"NetworkMode": "host"}


def test_where_metrics_ask_for_a_token_it_is_sent_and_stands_nowhere_in_the_archive(
    site: Installation, tmp_path: Path
) -> None:
    token, path = "c0ffee5ec2e7c0ffee5ec2e7", tmp_path / "token"
    path.write_text(token)
    certificate, key = write_certificate(tmp_path, "hub.example")
    flags = (
        f"--http-token-file={path}",
        f"--http-tls-certificate={certificate}",
        f"--http-tls-key={key}",
    )
    settings = Settings(
        http_token_file=str(path),
        http_tls_certificate=str(certificate),
        http_tls_key=str(key),
    )
    # A page that tells it, to see that it would be found.
    told = f"vpn_up 1\n# {token}\n".encode()
    server = HttpServer(
        ("127.0.0.1", 0), {"/metrics": lambda: metrics_answer(told)}, http_access(settings)
    )
    server.start()
    try:
        _, members = archive(site, f"--listen=127.0.0.1:{server.port}", *flags)
    finally:
        server.stop()
    assert members["metrics.txt"].startswith(b"vpn_up 1\n")
    assert not [name for name, content in members.items() if token.encode() in content]


def test_what_matters_is_in_it(site: Installation, charon: ViciServer) -> None:
    def pages(name: str) -> bytes:
        return f"vpn_{name} 1\n".encode()

    server = HttpServer(
        ("127.0.0.1", 0),
        {
            "/metrics": lambda: metrics_answer(pages("up")),
            "/healthz": lambda: plain(True, "the loop turns"),
            "/readyz": lambda: plain(False, "no round yet"),
        },
    )
    server.start()
    try:
        answer, members = archive(site, f"--listen=127.0.0.1:{server.port}")
    finally:
        server.stop()
    assert members["metrics.txt"] == b"vpn_up 1\n"
    assert members["readyz.txt"] == b"503 no round yet\n"
    assert {f"charon/{question}.json" for question in QUESTIONS} <= members.keys()
    assert json.loads(members["charon/list-sas.json"])[0]["kspb_vpn"]["state"] == "ESTABLISHED"
    assert json.loads(members["charon/version.json"])["version"] == "6.0.1"
    versions = json.loads(members["versions.json"])
    assert {"docker", "pydantic", "vici"} <= versions["packages"].keys()
    assert versions["docker_engine"] == "no Docker API is configured (DOCKER_HOST)"
    assert json.loads(members["settings.json"])["HUB_ID"] == "vpn.aviationwx.org"
    shown = json.loads(members["airports.json"])["airports"]["kspb"]
    assert shown["vpn"]["remote_subnet"] == "192.168.1.0/24"
    assert shown["vpn"]["psk"] == "(removed)"
    assert shown["webcams"][0]["url"] == "rtsp://192.168.1.100/s"
    assert json.loads(members["accepted.json"])["kold"]["psk"] == "(removed)"
    assert members["swanctl.conf"].count(b'secret = "(removed)"') == 2
    assert json.loads(members["plan.json"])["changes"]
    assert b"line one" in members["logs/reconciler.log"]
    assert "history/history.jsonl" in members
    files = json.loads(members["files.json"])
    assert files[str(site.state)]["entries"]["mark.key"].startswith("-rw")
    assert json.loads(members["status.json"])["timestamp"]
    assert answer.out.startswith(str(site.config.parent / "support.tar.gz"))
    assert "charon/list-sas.json" in answer.out


def test_what_can_not_be_had_is_named_with_the_reason_and_costs_nothing_else(
    installation: Installation,
) -> None:
    """Nothing is there at all: no file, no status, no charon, no Docker, no reconciler."""
    answer, members = archive(installation)
    assert answer.code == 0
    contents = members["CONTENTS.txt"].decode()
    for words in (
        "status.json: does not exist",
        "airports.json: does not exist",
        "charon/list-sas.json: VICI at",
        "container.json: no Docker API is configured",
        "metrics.txt: Connection refused",
        "logs/charon.log: does not exist",
    ):
        assert words in contents
        assert words in answer.out
    assert {"versions.json", "settings.json", "plan.json", "files.json"} <= members.keys()


def test_a_bug_in_one_part_does_not_cost_the_others(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError(f"with {PSK}")

    monkeypatch.setattr(diagnose, "_plan", broken)
    answer, members = archive(site)
    assert answer.code == 0
    assert "plan.json: ZeroDivisionError: with ***" in members["CONTENTS.txt"].decode()
    assert "files.json" in members


def test_a_silent_charon_is_asked_once(site: Installation, charon: ViciServer) -> None:
    del charon.answers["get-counters"]
    _, members = archive(site)
    assert "charon/list-policies.json" in members, "one unknown question is no silence"
    assert "charon/get-counters.json" not in members
    charon.close()
    _, members = archive(site)
    assert not any(name.startswith("charon/") for name in members)


def test_an_archive_that_would_hold_a_secret_is_not_left(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last search is there for what the masking overlooks; here it overlooks all."""
    monkeypatch.setattr(Finder, "masked", lambda _self, content: (content, []))
    answer, members = archive(site)
    assert (answer.code, members) == (1, {})
    assert "nothing was written, as there would be secrets in it" in answer.err
    assert "logs/reconciler.log holds airports.json.airports.kspb.vpn.psk" in answer.err
    assert_no_secret({"err": answer.err.replace("FILE", "").encode()[-2000:]})
    assert not list(site.config.parent.glob("*.tar.gz"))


def test_every_member_is_searched() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in (("a/good", b"x" * 100), ("a/bad", base64.b64encode(PSK.encode()))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    finder = Finder([Secret("there", PSK.encode())])
    with pytest.raises(DiagnoseError, match="a/bad holds there"):
        diagnose.refuse_secrets(packed.getvalue(), finder)


def test_secrets_of_a_broken_file_are_known_as_well(site: Installation) -> None:
    site.config.write_text(site.config.read_text()[:-1])
    _, members = archive(site)
    assert_no_secret(members)
    assert b"is not JSON" in members["CONTENTS.txt"]


def test_a_key_that_is_too_short_to_search_for_is_named(installation: Installation) -> None:
    installation.config.write_text(json.dumps(document(kspb=vpn(1, psk="abc"))))
    _, members = archive(installation)
    assert b"airports.json.airports.kspb.vpn.psk: too short" in members["CONTENTS.txt"]
    assert b"abc" not in members["airports.json"]


def test_the_file_is_ours_alone_and_an_old_one_is_not_overwritten(site: Installation) -> None:
    path = site.config.parent / "support.tar.gz"
    before = os.umask(0)
    try:
        archive(site)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    again = site.run("diagnose", "-o", str(path))
    assert (again.code, again.out) == (1, "")
    assert "is there already; nothing was done" in again.err
    assert path.read_bytes() == content


def test_where_nothing_can_be_written_the_way_out_is_told(
    site: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    answer = site.run("diagnose", f"--output={away / 'x.tar.gz'}")
    assert answer.code == 1
    assert "docker exec reconciler reconciler diagnose -o - > FILE.tar.gz" in answer.err
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert site.run("diagnose").code == 0
    (made,) = (tmp_path / "here").iterdir()
    assert made.name.startswith("vpn-support-")


class _Out(io.TextIOWrapper):
    """Standard output, to a file or on a terminal."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def diagnosed_to_standard_output(
    site: Installation, monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> tuple[int, bytes]:
    written = io.BytesIO()
    out = _Out(written, write_through=True)
    out.terminal = terminal
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", out)
        code = main(["diagnose", *site.flags, "--output=-"])
    return code, written.getvalue()


def test_it_can_be_taken_from_standard_output(
    site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, content = diagnosed_to_standard_output(site, monkeypatch, terminal=False)
    assert code == 0
    assert "airports.json" in unpacked(content)


def test_a_terminal_gets_no_archive(site: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert diagnosed_to_standard_output(site, monkeypatch, terminal=True) == (2, b"")


def test_json_tells_programs_the_same(site: Installation) -> None:
    answer, members = archive(site, "--json")
    told = json.loads(answer.out)
    assert told["members"].keys() | {"CONTENTS.txt"} == members.keys()
    assert "metrics.txt" in told["missing"]
    assert told["bytes"] == (site.config.parent / "support.tar.gz").stat().st_size
