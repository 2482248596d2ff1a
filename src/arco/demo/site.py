"""A project on this machine: a server and a worker with its code, as child processes that know each other.

The same programs as in production, each in a process of its own; what is local is that they share a secret made for
this once, and that tables lie below the workspace's folder, where the server may read them.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from arco.core.entropy import SystemEntropy
from arco.demo.processes import HOST, Child, Program, free_port, running, without_settings

TENANT: Final = "local"
WORKSPACE: Final = "default"

_SECRET: Final = "ARCO_FLOW_WORKER_DISPATCH_SECRET"
_OTHER_PORTS: Final = (
    "ARCO_COMPACTOR_PORT",
    "ARCO_FLOW_COMPACTOR_PORT",
    "ARCO_FLOW_DISPATCHER_PORT",
    "ARCO_FLOW_SWEEPER_PORT",
)
_HURRY_S: Final = 1.0
"""How long a worker that is stopped lets its tasks run on: somebody waits for the prompt."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where a project is run. `code` are modules, packages or files; `name` begins the names of the logs.

    `root` is the folder of everything, `catalog` the one that tables are registered in, `port` the api's (None: the
    default, or any free one when that is taken).
    """

    code: Sequence[str]
    root: Path
    catalog: str
    name: str
    port: int | None = None


class Running(msgspec.Struct, frozen=True):
    """The two children of a project that is being run."""

    server: Child
    worker: Child

    def check(self) -> None:
        """Raise `ChildFailed` when one of them has ended."""
        self.server.check()
        self.worker.check()


@contextmanager
def project_running(site: Site) -> Iterator[Running]:
    """Server and worker of a project, started and not yet ready; stopped at the end. Raises `PortTaken`.

    The worker ends first: what its tasks came to is still taken by the server.
    """
    port, worker_port = free_port(site.port), free_port(0)
    secret = SystemEntropy().bytes(32).hex()
    with (
        running(_server(site, port, worker_port, secret)) as server,
        running(_worker(site, server.url, worker_port, secret)) as worker,
    ):
        yield Running(server, worker)


def server_environment(environ: Mapping[str, str], root: Path, port: int) -> dict[str, str]:
    """The environment of a server on the store below `root`: ours without any setting of arco, then its own."""
    return without_settings(environ) | {
        "ARCO_STORAGE_BUCKET": f"file://{quote(root.as_posix())}",
        "ARCO_HOST": HOST,
        "ARCO_HTTP_PORT": str(port),
        **dict.fromkeys(_OTHER_PORTS, "0"),
    }


def _server(site: Site, port: int, worker_port: int, secret: str) -> Program:
    flow = {_SECRET: secret, "ARCO_FLOW_DISPATCH_TARGET_URL": f"http://{HOST}:{worker_port}"}
    return Program(
        name="server",
        arguments=("serve",),
        port=port,
        environment=server_environment(os.environ, site.root, port) | flow,
        log=site.root / f"{site.name}-server.log",
        probe="/ready",
    )


def _worker(site: Site, api_url: str, port: int, secret: str) -> Program:
    warehouse = site.root / f"tenant={TENANT}" / f"workspace={WORKSPACE}" / "warehouse"
    return Program(
        name="worker",
        arguments=("worker", *site.code, "--watch", "--port", str(port)),
        port=port,
        environment=without_settings(os.environ)
        | {
            _SECRET: secret,
            "ARCO_FLOW_API_URL": api_url,
            "ARCO_FLOW_TENANT_ID": TENANT,
            "ARCO_FLOW_WORKSPACE_ID": WORKSPACE,
            "ARCO_FLOW_WORKER_WAREHOUSE": str(warehouse),
            "ARCO_FLOW_WORKER_CATALOG": site.catalog,
            "ARCO_FLOW_WORKER_GRACE_SECS": "2",
        },
        log=site.root / f"{site.name}-worker.log",
        probe="/health",
        hurry_s=_HURRY_S,
    )
