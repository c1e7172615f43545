"""The command line. Exit codes are a contract: see the epilogue of each command."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from reconciler import (
    __version__,
    diagnose,
    explain,
    filter_agent,
    history,
    orders,
    preflight,
    proxy,
    routes,
    show,
)
from reconciler.core.actions import Outcome
from reconciler.core.check import Decision, Fault, HubFacts, Severity, decide
from reconciler.core.model import manifest_schema
from reconciler.core.observed import Unobserved
from reconciler.core.status import Status
from reconciler.edges.logs import configure_logging, masked, tell_uncaught
from reconciler.errors import ManifestError, ReconcilerError, UsageError
from reconciler.filtering import planned_load
from reconciler.healing import remedy
from reconciler.health import ask
from reconciler.keys import psk, psk_options
from reconciler.look import look
from reconciler.onboard import offboard, offboard_options, onboard, onboard_options
from reconciler.recall import recall
from reconciler.report import describe
from reconciler.round import run_round
from reconciler.service import serve
from reconciler.settings import HELP, Settings, SettingsError, read_settings
from reconciler.site_config import site_config_command, site_config_options
from reconciler.text import action_json, plan_text
from reconciler.wiring import hub_facts, mount_faults, read_manifest, real_world
from reconciler.world import World


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run one command, return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = read_settings(os.environ, vars(options))
    except SettingsError as error:
        return _fail(2, str(error))
    # One-shot commands answer on standard output; their log is for what goes wrong.
    level = settings.log_level if options.command in ("run", "proxy", "filter") else "error"
    configure_logging(settings.log_format, level)
    sys.excepthook = tell_uncaught
    run: Callable[[Settings, argparse.Namespace], int] = options.run
    try:
        return run(settings, options)
    except UsageError as error:
        return _fail(2, str(error))
    except (ReconcilerError, OSError) as error:
        return _fail(1, str(error))
    except KeyboardInterrupt:
        return 130


def _fail(code: int, text: str) -> int:
    sys.stderr.write(f"reconciler: {masked(text)}\n")
    return code


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _print_json(value: object) -> None:
    _print(json.dumps(value, indent=1))


def _run(settings: Settings, _options: argparse.Namespace) -> int:
    return serve(settings)


def _plan(settings: Settings, options: argparse.Namespace) -> int:
    world = real_world(settings, read_only=True)
    # With the memory of the running one: it tells which rung of the ladder comes next.
    memory = recall(settings.status_file, world.clock)
    seen = look(world, memory, deep=True, allow_removals=options.allow_removals)
    if isinstance(seen.observed, Unobserved):
        _fail(1, f"charon can't be asked, so nothing can be planned: {seen.observed.reason}")
        return _plan_container(world, seen.observed, options)
    if not seen.decided.keyed:
        return _fail(1, f"nothing can be planned: {'; '.join(seen.errors)}")
    for error in seen.errors:
        _fail(1, error)
    changes = [*seen.planned, *planned_load(world, seen)]
    if options.json:
        _print_json({"changes": [action_json(a) for a in changes], **_notes(seen.decision)})
    else:
        _print(plan_text(changes, _note_lines(seen.decision)))
    return 3 if changes else 0


def _plan_container(world: World, observed: Unobserved, options: argparse.Namespace) -> int:
    """Without charon only its container can be acted upon."""
    healing = recall(world.settings.status_file, world.clock).healing
    actions, words = remedy(world, healing, observed)
    if words:
        _fail(1, words)
    if not actions:
        return 1
    if options.json:
        _print_json({"changes": [action_json(action) for action in actions]})
    else:
        _print(plan_text(actions))
    return 3


def _notes(decision: Decision) -> dict[str, Any]:
    return {"faults": [_fault_json(f) for f in decision.faults], "removals_held": decision.held}


def _note_lines(decision: Decision) -> list[str]:
    lines = [f"{fault.severity.value}: {fault}" for fault in decision.faults]
    if decision.held:
        lines.append(f"held until confirmed (--allow-removals): {', '.join(decision.held)}")
    return lines


def _apply(settings: Settings, options: argparse.Namespace) -> int:
    world = real_world(settings)
    if options.new_mark_key:
        world.state.make_new_key()
    memory, more, good = recall(settings.status_file, world.clock), True, True
    outcomes: list[Outcome] = []
    while more:
        memory, report = run_round(world, memory, {"apply"}, allow_removals=options.allow_removals)
        outcomes += report.outcomes
        if report.status.reconciler.errors:
            _fail(1, "; ".join(report.status.reconciler.errors))
            good = False
        more, good = report.more, good and all(o.error is None for o in report.outcomes)
        if isinstance(report.observed, Unobserved):
            return _fail(1, f"charon can't be asked: {report.observed.reason}")
    found = report.status.configuration
    if options.json:
        _print_json([{**action_json(o.action), "error": o.error} for o in outcomes])
    else:
        notes = [f"{fault.severity}: {fault.path}: {fault.message}" for fault in found.faults]
        _print("\n".join([*(map(describe, outcomes) if outcomes else ["nothing to do"]), *notes]))
    if found.removals_held:
        names = ", ".join(found.removals_held)
        return _fail(1, f"held until confirmed with --allow-removals: removal of {names}")
    return 0 if good and found.valid else 1


def _validate(settings: Settings, options: argparse.Namespace) -> int:
    path = options.file or settings.config_path
    try:
        document = read_manifest(path)
    except ManifestError as error:
        faults: tuple[Fault, ...] = (Fault(str(path), str(error)),)
    else:
        decision = decide(document, {}, _hub_facts(settings))
        faults = (*decision.faults, *mount_faults(path))
    wrong = any(fault.severity is Severity.ERROR for fault in faults)
    if options.json:
        _print_json({"valid": not wrong, "faults": [_fault_json(fault) for fault in faults]})
        return int(wrong)
    for fault in faults:
        warning = "" if fault.severity is Severity.ERROR else "warning: "
        _print(f"{warning}{fault}")
    if not faults:
        _print(f"{path}: no faults")
    return int(wrong)


def _hub_facts(settings: Settings) -> HubFacts:
    """On the hub, check against charon's algorithms and the hub's networks as well."""
    facts = hub_facts(settings)
    if facts.algorithms is None:
        sys.stderr.write(
            "note: charon is not reachable from here, so its algorithms and the hub's networks "
            "were not checked\n"
        )
    return facts


def _fault_json(fault: Fault) -> dict[str, str]:
    return {"path": fault.path, "message": fault.message, "severity": fault.severity.value}


def _health(settings: Settings, options: argparse.Namespace) -> int:
    healthy, reason = ask(settings.listen, tls=bool(settings.http_tls_certificate))
    if options.json:
        _print_json({"healthy": healthy, "reason": reason})
    else:
        _print(reason)
    return 0 if healthy else 1


def _schema(_settings: Settings, options: argparse.Namespace) -> int:
    _print_json(schemas()[options.document])
    return 0


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas by name of the document."""
    status = Status.model_json_schema(mode="serialization")
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"airports": manifest_schema(), "status": {"$schema": draft, **status}}


def _ask(
    wish: Callable[[Settings, argparse.Namespace], dict[str, object]],
) -> Callable[[Settings, argparse.Namespace], int]:
    def run(settings: Settings, options: argparse.Namespace) -> int:
        said = wish(settings, options)
        text = said.pop("text")
        if options.json:
            _print_json(said)
        else:
            _print(str(text))
        return 0

    return run


@dataclass(frozen=True)
class Command:
    """One command: what it is for, what its exit codes mean, and what it takes."""

    name: str
    run: Callable[[Settings, argparse.Namespace], int]
    summary: str
    exit_codes: str
    add_options: Callable[[argparse.ArgumentParser], object] = lambda _: None
    prints: bool = True


def _allow_removals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-removals", action="store_true", help="confirm removals that are held"
    )


def _apply_options(parser: argparse.ArgumentParser) -> None:
    _allow_removals(parser)
    parser.add_argument(
        "--new-mark-key",
        action="store_true",
        help="replace a lost key of the marks; every site is cut once",
    )


def _validate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, help="default: CONFIG_PATH")


def _schema_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("document", nargs="?", choices=["airports", "status"], default="airports")


def connection_option(parser: argparse.ArgumentParser) -> None:
    """Take the name of one connection or airport."""
    parser.add_argument("name", metavar="NAME", help="connection or airport")


def _pause_options(parser: argparse.ArgumentParser) -> None:
    connection_option(parser)
    parser.add_argument(
        "--for",
        dest="duration_s",
        type=orders.parse_duration_s,
        default=0,
        metavar="DURATION",
        help="end the pause by itself after 30m, 2h, 1d, …; default: by resume only",
    )


def _rekey_options(parser: argparse.ArgumentParser) -> None:
    connection_option(parser)
    parser.add_argument(
        "--reauth",
        action="store_true",
        help="by a new IKE_SA beside the old one, which also takes over a changed key or proposal",
    )
    parser.add_argument(
        "--wait",
        dest="wait_s",
        type=orders.parse_duration_s,
        default=60,
        metavar="DURATION",
        help="wait so long for the outcome; default: 60s",
    )
    parser.add_argument(
        "--no-wait", dest="wait_s", action="store_const", const=0, help="don't wait"
    )


def _history(settings: Settings, options: argparse.Namespace) -> int:
    found = history.history(settings, options)
    if options.json:
        _print_json(found["transitions"])
    else:
        _print(str(found["text"]))
    return 0


_NOTED = "0 noted; 1 no such connection; 2 usage"
_COMMANDS = (
    Command(
        "run",
        _run,
        "keep charon as declared until stopped",
        "0 stopped; 1 could not start, or a part of it died; 2 usage",
        prints=False,
    ),
    Command(
        "plan",
        _plan,
        "say what would be done, why, and who would lose packets",
        "0 nothing to do; 1 charon can't be asked; 2 usage; 3 changes pending",
        _allow_removals,
    ),
    Command(
        "apply",
        _apply,
        "make one round",
        "0 all is as declared now; 1 something failed, is faulty or is held; 2 usage",
        _apply_options,
    ),
    Command(
        "status",
        show.status,
        "show how the tunnels are",
        "0 all up; 1 not all up; 2 usage; 4 status missing or stale",
        show.status_options,
    ),
    Command(
        "explain",
        explain.explain,
        "say why one tunnel is as it is, who must act, and what would help",
        "0 explained; 1 no such connection or airport; 2 usage",
        explain.explain_options,
    ),
    Command(
        "validate",
        _validate,
        "check airports.json",
        "0 no error; 1 errors; 2 usage",
        _validate_options,
    ),
    Command(
        "preflight",
        preflight.preflight,
        "say what the host lacks for the tunnels, and what to do about it",
        preflight.EXIT_CODES,
    ),
    Command(
        "retry",
        _ask(orders.retry),
        "forget the earlier attempts at one connection and try again at once",
        _NOTED,
        connection_option,
    ),
    Command("pause", _ask(orders.pause), "leave one connection as it is", _NOTED, _pause_options),
    Command(
        "resume", _ask(orders.resume), "end the pause of one connection", _NOTED, connection_option
    ),
    Command(
        "rekey",
        _ask(orders.rekey),
        "renew the keys of one connection now, and wait until that is seen",
        "0 renewed; 1 no such connection, or not renewed yet; 2 usage",
        _rekey_options,
    ),
    Command(
        "route",
        routes.route,
        "say which way leads to a camera, and why",
        routes.EXIT_CODES,
        routes.add_options,
    ),
    Command(
        "history",
        _history,
        "show when and why tunnels went down and came back",
        "0 shown; 1 no such connection, or the journal can't be read; 2 usage",
        history.options,
    ),
    Command(
        "diagnose",
        diagnose.diagnose,
        "put everything that support needs into one archive, without any secret",
        "0 written, even if some of it could not be had; 1 not written; 2 usage",
        diagnose.diagnose_options,
    ),
    Command(
        "proxy",
        proxy.proxy,
        "lead programs outside of the hub's network to cameras behind tunnels",
        "0 stopped; 1 could not start; 2 usage",
        prints=False,
    ),
    Command(
        "filter",
        filter_agent.filter_agent,
        "put the packet filter's rules in force for the reconciler, and say how they are",
        "0 stopped; 1 could not start; 2 usage",
        prints=False,
    ),
    Command(
        "onboard",
        _ask(onboard),
        "prepare everything for a new tunnel, and declare it if told to",
        "0 done; 1 it can't be declared so; 2 usage",
        onboard_options,
    ),
    Command(
        "offboard",
        _ask(offboard),
        "say what is to be removed where for a tunnel that ends",
        "0 done; 1 no such tunnel; 2 usage",
        offboard_options,
    ),
    Command(
        "site-config",
        _ask(site_config_command),
        "write the configuration of the airport's router",
        "0 written; 1 no such connection, or this router can't; 2 usage",
        site_config_options,
    ),
    Command("psk", _ask(psk), "make a pre-shared key", "0; 2 usage", psk_options),
    Command("health", _health, "ask the running reconciler how it is", "0 well; 1 not; 2 usage"),
    Command("schema", _schema, "print a JSON Schema", "0; 2 usage", _schema_options),
)


def command_names() -> tuple[str, ...]:
    """Name every command, in the order of `--help`."""
    return tuple(command.name for command in _COMMANDS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reconciler",
        description="Keeps charon's IPsec tunnels as airports.json declares them.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        _add_command(commands, command)
    return parser


def _add_command(commands: Any, command: Command) -> None:
    sub: argparse.ArgumentParser = commands.add_parser(
        command.name,
        help=command.summary,
        description=command.summary,
        epilog=f"Exit codes: {command.exit_codes}",
    )
    sub.set_defaults(run=command.run)
    _add_settings(sub)
    if command.prints:
        sub.add_argument("--json", action="store_true", help="print JSON")
    command.add_options(sub)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("settings (each also as environment variable)")
    defaults = Settings()
    for field in fields(Settings):
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{field.name.upper()}: {HELP[field.name]} (default: "
            f"{getattr(defaults, field.name) or 'none'})",
        )
