"""A-48: secrets in every secret variable, and then everything that talks: none of them is ever said."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.http.world import a_world
from tests.process.servers import environment, serving
from tests.unit.config.environments import PROD_API

from arco.config.describe import settings_lines
from arco.config.problems import EXIT_CODE, Problems
from arco.config.settings import Settings, load
from arco.config.table import VARIABLES, variables_of
from arco.config.variables import ROLES

CANARY = "canary-0123456789-do-not-say-this"
KEY = base64.b64encode(CANARY.encode()).decode()
SAID = (CANARY, KEY, CANARY[:16], KEY[:20])
SECRETS = {variable.name for variable in VARIABLES if variable.secret}
BASE64 = {"ARCO_AUDIT_ACTOR_HMAC_KEY", "ARCO_CURSOR_SECRET", "ARCO_TENANT_SECRET_B64"}


def planted(role: str, *, distinct: bool = True) -> dict[str, str]:
    """Every secret variable of a role holds a canary of its own."""
    names = [variable.name for variable in variables_of(role) if variable.secret]
    values = {}
    for number, name in enumerate(names):
        value = f"{CANARY}-{number}" if distinct else CANARY
        values[name] = base64.b64encode(value.encode()).decode() if name in BASE64 else value
    return values


def assert_nothing_said(*texts: str) -> None:
    for text in texts:
        for canary in SAID:
            assert canary not in text


@pytest.mark.parametrize("role", [*ROLES, "all"])
@pytest.mark.parametrize("distinct", [True, False])
def test_a48_neither_problems_nor_settings_say_a_secret(role, distinct):
    for more in ({}, PROD_API, {"ARCO_ENVIRONMENT": "prod"}, {"ARCO_PORT_OF_NOBODY": CANARY}):
        found = load(role, {**more, **planted(role, distinct=distinct), "ARCO_STRICT_ENV": "true"})
        if isinstance(found, Problems):
            assert_nothing_said(found.text(), found.json(), repr(found))
        else:
            assert_nothing_said(repr(found), repr(found.auth), json.dumps(settings_lines(found)))


def test_a48_every_variable_that_sounds_like_a_secret_is_one():
    loud = ("SECRET", "TOKEN", "PASSWORD", "HMAC_KEY", "_PEM")
    harmless = ("_SECS", "_URL", "_ISSUER", "_AUDIENCE", "_PUBLIC_KEY_PEM", "_MAX", "_TTL", "_NOT_AFTER")
    for variable in VARIABLES:
        if any(part in variable.name for part in loud) and not variable.name.endswith(harmless):
            assert variable.secret, variable.name


async def test_a48_a_running_server_says_no_secret_on_any_open_route_in_any_error_or_in_its_log():
    secrets = {name: value for name, value in planted("all").items() if not name.startswith("ARCO_OIDC")}
    settings = load("all", secrets)
    assert isinstance(settings, Settings), settings
    async with a_world(secrets) as world:
        texts = []
        for role, served in world.roles.items():
            async with world.client({"authorization": f"Bearer {CANARY}"}, role=role) as client:
                for prefix, endpoint in served.app.state.endpoints:
                    path = (prefix + endpoint.path).replace("{", "").replace("}", "")
                    answer = await client.request(endpoint.method, f"http://localhost{path}")
                    texts += [answer.text, json.dumps(dict(answer.headers))]
        assert_nothing_said(*texts, json.dumps(world.records))


@pytest.mark.process
def test_a48_doctor_and_a_start_that_fails_say_no_secret_and_no_core_is_dumped(tmp_path: Path):
    broken = environment({**planted("api"), "ARCO_ENVIRONMENT": "prod", "ARCO_STORAGE_BUCKET": f"file://{tmp_path}"})
    for words in (["doctor", "--role", "api", "--json"], ["serve", "--role", "api"]):
        done = subprocess.run(
            [sys.executable, "-m", "arco", *words], capture_output=True, text=True, timeout=60, check=False, env=broken
        )
        assert_nothing_said(done.stdout, done.stderr)
        if words[0] == "serve":
            assert done.returncode == EXIT_CODE
    with serving(["--port", "0", "--storage", str(tmp_path / "s")], {"ARCO_JWT_SECRET": CANARY}) as server:
        limits = Path(f"/proc/{server.process.pid}/limits")
        if limits.exists():
            (core,) = [line for line in limits.read_text().splitlines() if line.startswith("Max core file size")]
            assert core.split()[4:6] == ["0", "0"]
        assert server.stop() == 0
        assert_nothing_said("".join(server.lines))
