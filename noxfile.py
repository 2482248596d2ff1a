"""The only door to the checks: people, `.ci/run` and releases run these sessions and nothing else.

    nox                 lint, types, imports, tests
    nox -s quick        what you run before every commit: under a minute
    nox -s cloud        everything that stores, on emulated buckets: some minutes
    nox -s unit -- -k segments      arguments after -- go to pytest

A session runs on the interpreter that runs nox. When that interpreter already holds arco (after the README's
`pip install -e '.[dev]'` into a virtual environment) the session uses it as it is, so that nothing is installed twice;
otherwise nox makes an environment per session. `--force-venv-backend venv` asks for fresh environments either way.
"""

import importlib.util
import os
import sys
from pathlib import Path

import nox

INSTALLED = sys.prefix != sys.base_prefix and importlib.util.find_spec("arco") is not None

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "none" if INSTALLED else "venv"
nox.options.sessions = ["lint", "types", "imports", "tests"]
nox.options.error_on_missing_interpreters = True

CODE = ("src", "tests", "benchmarks", "docs", "noxfile.py")
IN_PROCESS = ("unit", "kernel", "golden", "property", "contract")
"""The folders of tests that start no process and open no port."""


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff, its formatter, and the tail (long modules, long functions, unexplained ignores)."""
    python = _python(session)
    _lint(session, python)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict over src."""
    python = _python(session)
    _types(session, python)


@nox.session
def imports(session: nox.Session) -> None:
    """The walls between rooms, and what `import arco` costs."""
    python = _python(session)
    _imports(session, python)


@nox.session
def unit(session: nox.Session) -> None:
    """Tests that need no process and no socket."""
    python = _python(session)
    _unit(session, python, *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """Lint, types, imports and unit in one environment: under 60 seconds."""
    python = _python(session)
    _lint(session, python)
    _types(session, python)
    _imports(session, python)
    _unit(session, python, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything pytest finds."""
    python = _python(session)
    session.run(python, "-m", "pytest", *session.posargs, external=True)


@nox.session
def cloud(session: nox.Session) -> None:
    """The contract, HTTP and process suites with every world on an emulated cloud; conformance with more rounds."""
    python = _python(session)
    environment = {"ARCO_TEST_ROUNDS": "50"}
    adapters = ("tests/contract/test_cloud_conformance.py", "tests/contract/test_gcs_store.py")
    session.run(python, "-m", "pytest", *adapters, *session.posargs, env=environment, external=True)
    suites = ("tests/http", "tests/contract", "tests/process/test_cloud_serving.py")
    for store in ("gcs", "s3"):
        session.run(python, "-m", "pytest", f"--store={store}", *suites, *session.posargs, external=True)


@nox.session
def simulation(session: nox.Session) -> None:
    """Some five minutes of the simulation on two cores: both tiers, and every fault of every path alone."""
    sim = (_python(session), "-m", "arco.sim")
    profiles = "swarm,storage,lives,collector"
    session.run(*sim, "run", "--schedules", "15000", "--profiles", profiles, *session.posargs, external=True)
    session.run(*sim, "run", "--tier", "B", "--schedules", "1000", "--profiles", profiles, external=True)
    short = [word for path in ("commit", "genesis", "merge", "race", "reader", "spill") for word in ("--path", path)]
    session.run(*sim, "systematic", "--depth", "2", "--sample", "500", *short, external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmark set: a table for people, JSON for programs."""
    python = _python(session)
    session.run(python, "-m", "benchmarks", *session.posargs, external=True)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Ten minutes of all the OpenAPI document offers, 20,000 messages, 100,000 raw requests; `-- 60` for a minute."""
    python = _python(session)
    session.run(python, "-m", "tests.fuzz.schema", *session.posargs, external=True)
    session.run(python, "-m", "tests.fuzz.messages", external=True)
    session.run(python, "-m", "tests.fuzz.raw", external=True)


@nox.session
def reference(session: nox.Session) -> None:
    """Write the generated pages of docs/reference anew from the code."""
    python = _python(session)
    session.run(python, "docs/reference/generate.py", external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Links, commands and code blocks hold; the generated reference is fresh."""
    python = _python(session)
    session.run(python, "-m", "pytest", "tests/test_docs.py", *session.posargs, external=True)


def _python(session: nox.Session) -> str:
    """The interpreter the session's commands run on, with the project installed in it."""
    if session.virtualenv.venv_backend == "none":
        # Started as .venv/bin/nox the environment is not on PATH; name its interpreter.
        return sys.executable
    session.install("-e", ".[dev]")
    return "python"


def _lint(session: nox.Session, python: str) -> None:
    present = [path for path in CODE if Path(path).exists()]
    session.run(python, "-m", "ruff", "check", *present, external=True)
    session.run(python, "-m", "ruff", "format", "--check", "--quiet", *present, external=True)
    session.run(python, "-m", "pytest", "tests/test_tidy.py", external=True)


def _types(session: nox.Session, python: str) -> None:
    session.run(python, "-m", "mypy", external=True)


def _imports(session: nox.Session, python: str) -> None:
    session.run(python, "-m", "pytest", "tests/test_imports.py", external=True)


def _unit(session: nox.Session, python: str, *arguments: str) -> None:
    folders = [f"tests/{name}" for name in IN_PROCESS if any(Path("tests", name).rglob("test_*.py"))]
    workers = ("-n", str(min(4, os.cpu_count() or 1)))
    session.run(python, "-m", "pytest", *workers, "-m", "not slow and not process", *folders, *arguments, external=True)
