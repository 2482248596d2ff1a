"""Variables of the api role (catalog.md 5.3, operations.md 1.2)."""

from typing import Final

from arco.config.kinds import (
    Parse,
    base64_key,
    choice,
    cidrs,
    flag,
    integer,
    origins,
    port,
    public_pem,
    scope_pair,
    secret,
    text,
    url,
)
from arco.config.variables import API, OUTSIDE_DEV, Variable

_CONTRACT: Final = "catalog.md 5.3"
_EXTRA: Final = "operations.md 1.2"


def _api(  # a row of the table
    name: str,
    doc: str,
    parse: Parse = text,
    rule: str = "",
    *,
    default: str = "",
    required: str = "",
    secret: bool = False,
    source: str = _EXTRA,
) -> Variable:
    return Variable(
        name=name,
        roles=(API,),
        doc=doc,
        parse=parse,
        rule=rule,
        default=default,
        required=required,
        secret=secret,
        source=source,
    )


_AUTH: Final = (
    _api(
        "ARCO_API_PUBLIC",
        "Whether the api is reachable from the internet; with the environment this makes the posture.",
        flag,
        "boolean",
        required="always",
        source="catalog.md 5.2",
    ),
    _api(
        "ARCO_DEBUG",
        "Take the scope from `X-Tenant-Id` and `X-Workspace-Id` instead of a token. Only in the dev posture.",
        flag,
        "boolean; false outside the dev posture",
        required="always",
        source="catalog.md 5.1",
    ),
    _api(
        "ARCO_JWT_SECRET",
        "The secret of HS256 user tokens. Give this or a public key.",
        secret,
        "at least 32 bytes",
        secret=True,
        source=_CONTRACT,
    ),
    _api(
        "ARCO_JWT_SECRET_PREVIOUS",
        "The secret before the last rotation; still accepted.",
        secret,
        "at least 32 bytes, with ARCO_JWT_SECRET only",
        secret=True,
        source="operations.md 11",
    ),
    _api(
        "ARCO_JWT_PUBLIC_KEY_PEM",
        "The public keys of user tokens: RSA for RS256, P-256 for ES256; several while one is being replaced.",
        public_pem,
        "PEM, `\\n` for line ends",
        source=_CONTRACT,
    ),
    _api("ARCO_JWT_PUBLIC_KEY_PATH", "The file that holds the public keys of user tokens.", source=_CONTRACT),
    _api("ARCO_JWT_JWKS_URL", "Where the public keys of user tokens are published.", url, "https URL of a public host"),
    _api("ARCO_JWT_JWKS_CACHE_TTL_SECS", "How long those keys are kept.", integer(1), "> 0", default="300"),
    _api(
        "ARCO_JWT_ISSUER", "The `iss` user tokens must have.", rule="not empty", required=OUTSIDE_DEV, source=_CONTRACT
    ),
    _api(
        "ARCO_JWT_AUDIENCE",
        "The `aud` user tokens must have. Without it a token with `aud` is refused.",
        rule="not empty",
        required=OUTSIDE_DEV,
        source=_CONTRACT,
    ),
    _api("ARCO_JWT_TENANT_CLAIM", "The claim that names the tenant.", default="tenant", source=_CONTRACT),
    _api("ARCO_JWT_WORKSPACE_CLAIM", "The claim that names the workspace.", default="workspace", source=_CONTRACT),
    _api("ARCO_JWT_USER_CLAIM", "The claim that names the user.", default="sub", source=_CONTRACT),
    _api("ARCO_JWT_GROUPS_CLAIM", "The claim that lists groups.", default="groups", source=_CONTRACT),
    _api(
        "ARCO_TASK_TOKEN_SECRET",
        "The secret of the tokens that workers call back with.",
        secret,
        "at least 32 bytes, not the JWT secret",
        required="always",
        secret=True,
        source=_CONTRACT,
    ),
    _api("ARCO_TASK_TOKEN_ISSUER", "The `iss` of task tokens.", required="always", source=_CONTRACT),
    _api(
        "ARCO_TASK_TOKEN_AUDIENCE",
        "The `aud` of task tokens.",
        rule="not the JWT audience",
        required="always",
        source=_CONTRACT,
    ),
    _api(
        "ARCO_TASK_TOKEN_TTL_SECS",
        "How long a task token is good.",
        integer(1, 86_400),
        "1 to 86400",
        required="always",
        source=_CONTRACT,
    ),
    _api("ARCO_BOOTSTRAP_TOKEN", "Lets the first administrator in.", secret, "at least 32 bytes", secret=True),
    _api(
        "ARCO_AUDIT_ACTOR_HMAC_KEY",
        "The key that hides user names in the audit log.",
        base64_key,
        "base64, at least 32 bytes",
        required=OUTSIDE_DEV,
        secret=True,
        source=_CONTRACT,
    ),
    _api(
        "ARCO_AUDIT_RETENTION_DAYS",
        "How long audit events stay in a workspace's audit table.",
        integer(1, 36_500),
        "1 to 36500",
        default="400",
    ),
    _api(
        "ARCO_AUDIT_SCOPE",
        "The workspace whose audit table keeps denials of callers nobody knows; without it only the log has them.",
        scope_pair,
        "`tenant/workspace`",
    ),
    _api(
        "ARCO_CURSOR_SECRET",
        "The key that signs page cursors; equal on every api process. Without it cursors end with the process.",
        base64_key,
        "base64, at least 32 bytes",
        required=OUTSIDE_DEV,
        secret=True,
    ),
)

_NEIGHBOURS: Final = (
    _api(
        "ARCO_COMPACTOR_URL",
        "Where the compactor answers.",
        url,
        "http(s) URL; https outside dev unless the name is cluster-local",
        required="always",
        source=_CONTRACT,
    ),
    _api(
        "ARCO_ORCH_COMPACTOR_URL",
        "Where the flow-compactor answers.",
        url,
        "http(s) URL; https outside dev unless the name is cluster-local",
        required="always",
        source=_CONTRACT,
    ),
    _api(
        "ARCO_ORCH_OPERATOR_GROUP",
        "Members may commit what only workers and roles emit, in batches of events; without it nobody may.",
    ),
    _api(
        "ARCO_COMPACTOR_AUTH_MODE",
        "How the api shows the compactors who it is.",
        choice("none", "static_bearer", "gcp_id_token"),
        "none (dev only), static_bearer or gcp_id_token",
        default="none",
        source=_CONTRACT,
    ),
    _api(
        "ARCO_COMPACTOR_AUTH_STATIC_BEARER_TOKEN",
        "The token the api sends when the mode is `static_bearer`.",
        secret=True,
        source=_CONTRACT,
    ),
    _api("ARCO_COMPACTOR_AUTH_AUDIENCE", "The audience of id tokens; default the compactor's URL.", source=_CONTRACT),
    _api("ARCO_COMPACTOR_GCP_METADATA_URL", "Another metadata server, for tests.", url, "debug only", source=_CONTRACT),
    _api("ARCO_METRICS_PORT", "A port of its own for `/metrics`, which the api's then does not have.", port, "port"),
    _api("ARCO_GRPC_PORT", "Reserved.", port, "port, not the HTTP port", source=_CONTRACT),
    _api(
        "ARCO_CORS_ALLOWED_ORIGINS",
        "Origins whose pages may call the api; empty is none.",
        origins,
        "comma list, or `*` alone with ARCO_DEBUG=true",
        source=_CONTRACT,
    ),
    _api(
        "ARCO_CORS_MAX_AGE_SECONDS",
        "How long browsers keep a preflight answer.",
        integer(0, 86_400),
        "0 to 86400",
        default="3600",
        source=_CONTRACT,
    ),
    _api(
        "ARCO_TRUSTED_PROXY_CIDRS",
        "Proxies whose forwarding headers count.",
        cidrs,
        "comma list of CIDR, not everything",
    ),
)

_LIMITS: Final = (
    _api(
        "ARCO_AUTH_STATE_MAX_AGE_MS",
        "How old a remembered authorisation may be.",
        integer(0, 60_000),
        "0 to 60000",
        default="1000",
    ),
    _api(
        "ARCO_IDEMPOTENCY_STALE_TIMEOUT_SECS",
        "The largest `Retry-After` for a key in progress.",
        integer(10, 3600),
        "10 to 3600",
        default="300",
        source=_CONTRACT,
    ),
    _api("ARCO_MAX_BODY_BYTES", "The largest request body.", integer(1), "> 0", default="2097152"),
    _api("ARCO_QUERY_TIMEOUT_SECS", "How long a SQL statement may run.", integer(1), "> 0", default="10"),
    _api("ARCO_QUERY_MEMORY_MB", "Memory of one SQL worker.", integer(1), "> 0", default="512"),
    _api(
        "ARCO_QUERY_HISTORY_DAYS",
        "How long queries stay in a workspace's query history.",
        integer(1, 36_500),
        "1 to 36500",
        default="30",
    ),
    _api("ARCO_QUERY_WORKERS", "SQL workers of one process.", integer(1), "> 0", default="2"),
    _api(
        "ARCO_UNFINISHED_INTERVAL_SECS",
        "How often what callers left in the middle (Delta commits, transactions) is finished; 0 is never.",
        integer(0, 3600),
        "0 to 3600",
        default="60",
    ),
    _api("ARCO_RATE_DEFAULT_PER_MIN", "Requests a minute of one tenant.", integer(1), "> 0", default="500"),
    _api(
        "ARCO_RATE_PRINCIPAL_PER_MIN",
        "Requests a minute of one principal; unset means that only the tenant's count.",
        integer(1),
        "> 0",
    ),
    _api("ARCO_RATE_URL_MINT_PER_MIN", "Signed URLs a minute of one tenant.", integer(1), "> 0", default="100"),
    _api("ARCO_RATE_BURST", "Requests of one tenant at once.", integer(1), "> 0", default="50"),
    _api("ARCO_STREAMS_MAX", "Streams (followed runs and logs) of a process.", integer(1), "> 0", default="200"),
    _api("ARCO_STREAMS_TENANT_MAX", "Streams of one tenant.", integer(1), "> 0", default="100"),
    _api(
        "ARCO_STREAM_HEARTBEAT_SECS",
        "How long a stream is silent at most.",
        integer(1, 300),
        "1 to 300",
        default="15",
    ),
    _api(
        "ARCO_STREAM_POLL_MS",
        "How often the api looks for news in a workspace that somebody follows, when nobody tells it of any.",
        integer(50, 60_000),
        "50 to 60000",
        default="500",
    ),
)

API_VARIABLES: Final = (*_AUTH, *_NEIGHBOURS, *_LIMITS)
