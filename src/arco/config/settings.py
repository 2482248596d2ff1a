"""From an environment to the settings of a role, or to every problem at once. Pure (operations.md 1).

`load` starts nothing and reads no file but through the reader it is given; a caller prints `Problems.text()` on
standard error and exits with `problems.EXIT_CODE`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from arco.config.gather import Draft, ReadFile, check_names, file_text, gather
from arco.config.kinds import BadValue, pem_blocks, public_pem
from arco.config.problems import Problem, Problems
from arco.config.rules import check_api, check_compactor, check_everywhere, posture_of
from arco.config.rules_flow import check_flow
from arco.config.rules_internal import check_internal, internal_mode
from arco.config.table import VARIABLES, variables_of
from arco.config.table_dispatch import HTTP
from arco.config.variables import (
    ALL,
    ALWAYS,
    API,
    COMPACTOR,
    DEV,
    DISPATCHER,
    FLOW_COMPACTOR,
    METRICS,
    OUTSIDE_DEV,
    ROLES,
    SWEEPER,
    Variable,
)
from arco.core.errors import invariant
from arco.core.scope import Scope

_NAMES: Final = frozenset(variable.name for variable in VARIABLES)

LOCAL_STORAGE: Final = "file://./.arco"
LOOPBACK: Final = "127.0.0.1"
LOCAL_WORKER: Final = "http://127.0.0.1:8090"
LOCAL_RUN_INTERVAL_S: Final = 10
"""How often dispatcher and sweeper look by themselves when all roles run in one process; nudges come at once."""

AUTH_DEVELOPMENT: Final = "development"
AUTH_DEBUG: Final = "debug"
AUTH_HS256: Final = "HS256"
AUTH_PUBLIC_KEY: Final = "public_key"
AUTH_JWKS: Final = "jwks"


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the api knows who is asking: `development` (loopback only), `debug` headers, or tokens.

    Tokens are signed with a shared secret (`HS256`), or with a private key whose public half is configured
    (`public_key`) or published (`jwks`). `keys` are the secrets or public keys, several while one is being replaced.
    """

    mode: str
    keys: tuple[str, ...] = ()
    jwks_url: str = ""
    jwks_ttl_ms: int = 0
    issued_at: bool = False
    issuer: str | None = None
    audience: str | None = None
    tenant_claim: str = "tenant"
    workspace_claim: str = "workspace"
    user_claim: str = "sub"
    groups_claim: str = "groups"

    def __repr__(self) -> str:
        return f"AuthSettings(mode={self.mode!r})"  # a key must not end up in a log by accident


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The checked configuration of one role, or of all of them (`role` is `all`).

    What every role needs has a field; everything else is `value(name)`, typed by the variable's kind.
    """

    role: str
    environment: str
    posture: str
    debug: bool
    storage: str
    host: str
    ports: dict[str, int]
    scope: Scope | None
    auth: AuthSettings
    log_format: str
    log_level: str
    drain_delay_s: int
    shutdown_timeout_s: int
    warnings: tuple[str, ...]
    values: dict[str, Any]

    def value(self, name: str) -> Any:
        """The parsed value of a variable; None when it is unset and has no default, or is not of this role."""
        invariant(name in _NAMES, f"{name} is in the table of variables")
        return self.values.get(name)

    @property
    def port(self) -> int:
        """The port of a single role, or of the api when all roles run here."""
        return self.ports[API if self.role == ALL else self.role]

    @property
    def internal_host(self) -> str:
        """Where roles other than the api listen: loopback while all run here and ask callers for no credentials."""
        open_to_all = self.role == ALL and self.internal_auth == "none"
        return LOOPBACK if open_to_all else self.host

    @property
    def internal_auth(self) -> str:
        """How internal routes know their callers: `none`, `static_bearer` or `gcp_oidc` (catalog.md 5.6)."""
        return internal_mode(self.values)

    def __repr__(self) -> str:
        return f"Settings(role={self.role!r}, environment={self.environment!r}, storage={self.storage!r})"


def load(role: str, environ: Mapping[str, str], read_file: ReadFile | None = None) -> Settings | Problems:
    """The settings of `role` (a role, or `all` for the local mode), or everything that is wrong with them.

    `read_file` gives the text of a file by its path, and raises `OSError` or `ValueError` when it cannot.
    """
    variables = variables_of(role)
    draft = Draft(role)
    gather(draft, variables, environ, read_file)
    _read_public_key(draft, read_file)
    _settle_environment(draft)
    _check_required(draft, variables)
    strict = draft["ARCO_STRICT_ENV"]
    check_names(draft, environ, strict=draft["ARCO_ENVIRONMENT"] != DEV if strict is None else strict)
    for check in (check_everywhere, *_RULES[role]):
        check(draft)
    if draft.problems:
        return Problems(role, _one_each(draft.problems))
    return _settings(draft)


_Rule = Callable[[Draft], None]
_RULES: Final[dict[str, tuple[_Rule, ...]]] = {
    API: (check_api,),
    COMPACTOR: (check_compactor,),
    FLOW_COMPACTOR: (check_internal,),
    DISPATCHER: (check_flow,),
    SWEEPER: (check_flow,),
    ALL: (check_api, check_compactor),
}


def _settle_environment(draft: Draft) -> None:
    """Fill in what has a default only in some roles."""
    if draft.role == API:
        if draft["ARCO_ENVIRONMENT"] is None and not draft.fails("ARCO_ENVIRONMENT"):
            draft.refuse("ARCO_ENVIRONMENT", "required", "E-REQUIRED")
    elif draft.role == ALL:
        draft.values.setdefault("ARCO_STORAGE_BUCKET", LOCAL_STORAGE)
        draft.values.setdefault("ARCO_API_PUBLIC", False)
        draft.values.setdefault("ARCO_DEBUG", False)
        if "ARCO_FLOW_QUEUE_ADAPTER" not in draft.given:
            draft.values["ARCO_FLOW_QUEUE_ADAPTER"] = HTTP
        draft.values.setdefault("ARCO_FLOW_DISPATCH_TARGET_URL", LOCAL_WORKER)
        if "ARCO_FLOW_RUN_INTERVAL_SECS" not in draft.given:
            draft.values["ARCO_FLOW_RUN_INTERVAL_SECS"] = LOCAL_RUN_INTERVAL_S
        if "ARCO_DRAIN_DELAY_SECS" not in draft.given:
            draft.values["ARCO_DRAIN_DELAY_SECS"] = 0
        if "ARCO_LOG_FORMAT" not in draft.given and draft.values.get("ARCO_ENVIRONMENT", DEV) == DEV:
            draft.values["ARCO_LOG_FORMAT"] = "text"
    draft.values.setdefault("ARCO_ENVIRONMENT", DEV)


def _check_required(draft: Draft, variables: tuple[Variable, ...]) -> None:
    due = {ALWAYS} if draft["ARCO_ENVIRONMENT"] == DEV else {ALWAYS, OUTSIDE_DEV}
    if draft.role == ALL:
        # Everybody's secrets in one process are nobody's separation: the local mode asks for none.
        due.discard(ALWAYS)
    for variable in variables:
        missing = variable.name not in draft.values and not draft.fails(variable.name)
        if variable.required in due and missing and not _excused(draft, variable):
            draft.refuse(variable.name, "required", "E-REQUIRED")


def _excused(draft: Draft, variable: Variable) -> bool:
    """In the local mode only the api's own requirements count outside dev."""
    return draft.role == ALL and API not in variable.roles


def _read_public_key(draft: Draft, read_file: ReadFile | None) -> None:
    name = "ARCO_JWT_PUBLIC_KEY_PATH"
    if draft[name] is None:
        return
    for content in file_text(draft, name, draft[name], read_file):
        try:
            draft.values[name] = public_pem(content)
        except BadValue as bad:
            draft.refuse(name, f"the file {bad.message}", bad.code)


def _one_each(problems: list[Problem]) -> tuple[Problem, ...]:
    """Problems sorted by variable; the same sentence twice is told once."""
    return tuple(sorted(set(problems)))


def _settings(draft: Draft) -> Settings:
    environment = draft["ARCO_ENVIRONMENT"]
    tenant, workspace = draft["ARCO_TENANT_ID"], draft["ARCO_WORKSPACE_ID"]
    return Settings(
        role=draft.role,
        environment=environment,
        posture=posture_of(environment, public=bool(draft["ARCO_API_PUBLIC"])),
        debug=bool(draft["ARCO_DEBUG"]),
        storage=draft["ARCO_STORAGE_BUCKET"],
        host=draft["ARCO_HOST"],
        ports=_ports(draft),
        scope=Scope(tenant, workspace) if tenant and workspace else None,
        auth=_auth(draft),
        log_format=draft["ARCO_LOG_FORMAT"],
        log_level=draft["ARCO_LOG_LEVEL"],
        drain_delay_s=draft["ARCO_DRAIN_DELAY_SECS"],
        shutdown_timeout_s=draft["ARCO_SHUTDOWN_TIMEOUT_SECS"],
        warnings=tuple(draft.warnings),
        values=draft.values,
    )


_PORT_VARIABLES: Final = {
    API: "ARCO_HTTP_PORT",
    COMPACTOR: "ARCO_COMPACTOR_PORT",
    FLOW_COMPACTOR: "ARCO_FLOW_COMPACTOR_PORT",
    DISPATCHER: "ARCO_FLOW_DISPATCHER_PORT",
    SWEEPER: "ARCO_FLOW_SWEEPER_PORT",
}
_FLOW_PORT_DEFAULT: Final = 8080


def _ports(draft: Draft) -> dict[str, int]:
    found = _role_ports(draft)
    own = draft["ARCO_METRICS_PORT"]
    return found if own is None else {**found, METRICS: own}


def _role_ports(draft: Draft) -> dict[str, int]:
    if draft.role == ALL:
        return {role: draft[_PORT_VARIABLES[role]] for role in ROLES}
    own = _PORT_VARIABLES[draft.role]
    if draft["PORT"] is not None:
        return {draft.role: draft["PORT"]}
    if draft.role in (API, COMPACTOR):
        return {draft.role: draft[own]}
    if draft["ARCO_FLOW_PORT"] is not None:
        return {draft.role: draft["ARCO_FLOW_PORT"]}
    return {draft.role: draft[own] if own in draft.given else _FLOW_PORT_DEFAULT}


def _auth(draft: Draft) -> AuthSettings:
    secret, jwks_url = draft["ARCO_JWT_SECRET"], draft["ARCO_JWT_JWKS_URL"]
    pem = draft["ARCO_JWT_PUBLIC_KEY_PEM"] or draft["ARCO_JWT_PUBLIC_KEY_PATH"]
    if draft["ARCO_DEBUG"]:
        return AuthSettings(mode=AUTH_DEBUG)
    if not secret and not pem and not jwks_url:
        return AuthSettings(mode=AUTH_DEVELOPMENT)
    secrets = tuple(one for one in (secret, draft["ARCO_JWT_SECRET_PREVIOUS"]) if one)
    return AuthSettings(
        mode=AUTH_HS256 if secret else AUTH_JWKS if jwks_url else AUTH_PUBLIC_KEY,
        keys=secrets if secret else pem_blocks(pem or ""),
        jwks_url=jwks_url or "",
        jwks_ttl_ms=draft["ARCO_JWT_JWKS_CACHE_TTL_SECS"] * 1000,
        issued_at=draft["ARCO_ENVIRONMENT"] != DEV,
        issuer=draft["ARCO_JWT_ISSUER"],
        audience=draft["ARCO_JWT_AUDIENCE"],
        tenant_claim=draft["ARCO_JWT_TENANT_CLAIM"],
        workspace_claim=draft["ARCO_JWT_WORKSPACE_CLAIM"],
        user_claim=draft["ARCO_JWT_USER_CLAIM"],
        groups_claim=draft["ARCO_JWT_GROUPS_CLAIM"],
    )
