"""`arco serve | verify | doctor | version`: thin; each imports the room that does the work when it runs."""

import os
import platform
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final

import arco
from arco.cli.failures import OK, PROBLEM, CommandProblem
from arco.cli.locations import storage_url
from arco.cli.render import counted, visible
from arco.cli.terminal import Terminal

_ROLE_PORTS: Final = (
    "ARCO_HTTP_PORT",
    "ARCO_COMPACTOR_PORT",
    "ARCO_FLOW_COMPACTOR_PORT",
    "ARCO_FLOW_DISPATCHER_PORT",
    "ARCO_FLOW_SWEEPER_PORT",
)
"""The ports of the all-roles mode, in the order of their defaults 8080 to 8084."""

_PARTS: Final = ("pyarrow", "datafusion", "deltalake", "starlette", "hypercorn", "msgspec")
_STYLES: Final = {"pass": "green", "warn": "yellow", "fail": "red"}
_DIFFERENCES_SHOWN: Final = 20


def serve(args: Namespace, terminal: Terminal) -> int:
    """Run one role, or all of them, until told to stop."""
    from arco.roles.memory import settle_memory  # noqa: PLC0415  # `arco --version` shares this module and needs no server

    settle_memory()
    from arco.roles import serve as role  # noqa: PLC0415  # imports Arrow, which chooses its allocator then

    return role.run(args.role, serve_overrides(args, os.environ))


def serve_overrides(args: Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that the flags of `arco serve` stand for.

    `--port N` alone moves the other roles to N+1 and so on, unless a variable already places them; 0 is any free port.
    """
    overrides = {}
    if args.storage:
        overrides["ARCO_STORAGE_BUCKET"] = storage_url(args.storage, environ)
    if args.host:
        overrides["ARCO_HOST"] = args.host
    if args.port is not None and args.role:
        overrides["PORT"] = str(args.port)
    elif args.port is not None:
        overrides |= port_overrides(args.port, environ)
    return overrides


def port_overrides(first: int, environ: Mapping[str, str]) -> dict[str, str]:
    """The port variables of an all-roles server whose api is on `first`."""
    ports = {"ARCO_HTTP_PORT": str(first)}
    for offset, variable in enumerate(_ROLE_PORTS[1:], start=1):
        if not environ.get(variable, "").strip():
            ports[variable] = str(first + offset if first and first + offset <= 65_535 else 0)
    return ports


def verify(args: Namespace, terminal: Terminal) -> int:
    """Replay the commits of one workspace and compare with what is published."""
    from arco.roles import verify as role  # noqa: PLC0415  # `arco --version` shares this module and needs no kernel

    storage = storage_url(args.storage, os.environ)
    tenant = args.tenant or _chosen("ARCO_TENANT", "ARCO_TENANT_ID") or "local"
    workspace = args.workspace or _chosen("ARCO_WORKSPACE", "ARCO_WORKSPACE_ID") or "default"
    label = f"verifying {tenant}/{workspace} in {storage}"
    with terminal.step(label) as relabel:
        report = role.run(
            storage, tenant, workspace, lambda done, total: relabel(f"{label}: {done:,} of {counted(total, 'commit')}")
        )
    if report.ok and not report.manifests:
        # A proof of nothing would read like a proof of what was meant.
        raise CommandProblem(
            f"there is nothing to verify: {storage} holds no catalog of {tenant}/{workspace}",
            "name the right one with --storage, --tenant and --workspace",
        )
    if terminal.as_json:
        where = {"storage": storage, "tenant": tenant, "workspace": workspace}
        terminal.document(_report_document(report, where))
    else:
        _show_report(terminal, report)
    return OK if report.ok else PROBLEM


def doctor(args: Namespace, terminal: Terminal) -> int:
    """Check this installation, its storage and its server."""
    from arco.roles import doctor as role  # noqa: PLC0415  # `arco --version` shares this module and opens no store

    case = role.Case(
        role=args.role,
        environ=dict(os.environ),
        storage=storage_url(args.storage, os.environ),
        url=args.url or os.environ.get("ARCO_URL", "").strip() or None,
    )
    with terminal.step("checking") as progress:
        checks = role.run(case, progress)
    failed = any(check.status == "fail" for check in checks)
    if terminal.as_json:
        terminal.document({"ok": not failed, "checks": [_check_document(check) for check in checks]})
        return PROBLEM if failed else OK
    width = max(len(check.name) for check in checks)
    for check in checks:
        status = terminal.styled(check.status, _STYLES[check.status])
        terminal.say(f"{status}  {check.name.ljust(width)}  {visible(check.detail)}")
        if check.fix:
            terminal.say(f"      {' ' * width}  next: {visible(check.fix)}")
    return PROBLEM if failed else OK


def short_version(args: Namespace, terminal: Terminal) -> int:
    """The version of arco alone, for `arco --version`."""
    terminal.say(f"arco {arco.__version__}")
    return OK


def version(args: Namespace, terminal: Terminal) -> int:
    """The versions of arco, of Python and of the parts it stands on."""
    from importlib import metadata  # noqa: PLC0415  # 30 ms that `arco --version` does without

    parts: dict[str, Any] = {}
    for name in _PARTS:
        try:
            parts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            parts[name] = None
    if terminal.as_json:
        terminal.document({"arco": arco.__version__, "python": platform.python_version(), "parts": parts})
        return OK
    terminal.say(f"arco {arco.__version__}")
    for name, found in {"python": platform.python_version(), **parts}.items():
        terminal.say(terminal.styled(f"  {name.ljust(max(map(len, _PARTS)))}  {found or 'not installed'}", "dim"))
    return OK


def _show_report(terminal: Terminal, report: Any) -> None:
    work = f"{counted(report.manifests, 'manifest')}, {counted(report.units, 'unit')}, {counted(report.rows, 'row')}"
    if report.ok:
        good = terminal.styled("ok", "green")
        terminal.say(f"{good}: replay equals what is published ({work}, {report.seconds:.1f} s)")
        return
    terminal.say(f"{terminal.styled('different', 'red')}: {counted(len(report.differences), 'difference')} ({work})")
    for line in report.differences[:_DIFFERENCES_SHOWN]:
        terminal.say(f"  {visible(line)}")
    if len(report.differences) > _DIFFERENCES_SHOWN:
        terminal.say(f"  and {len(report.differences) - _DIFFERENCES_SHOWN:,} more: use --json")


def _report_document(report: Any, where: dict[str, str]) -> dict[str, Any]:
    return {
        "ok": report.ok,
        **where,
        "manifests": report.manifests,
        "units": report.units,
        "rows": report.rows,
        "differences": list(report.differences),
        "seconds": round(report.seconds, 3),
    }


def _chosen(*variables: str) -> str | None:
    return next((os.environ[name].strip() for name in variables if os.environ.get(name, "").strip()), None)


def _check_document(check: Any) -> dict[str, Any]:
    return {"name": check.name, "status": check.status, "detail": check.detail, "fix": check.fix}
