import json

import pytest
from joserfc.jwk import ECKey, RSAKey
from tests.unit.config.environments import COMPACTOR, DEV_API, DISPATCHER, KEY_B64, PROD_API

from arco.config.problems import EXIT_CODE, Problems
from arco.config.settings import Settings, load
from arco.config.table import VARIABLES
from arco.config.variables import ROLES
from arco.core.errors import InvariantViolated

PEM = RSAKey.generate_key(2048).as_pem(private=False).decode().strip()
OTHER_PEM = ECKey.generate_key("P-256").as_pem(private=False).decode().strip()
OIDC = {
    "ARCO_INTERNAL_AUTH_MODE": "gcp_oidc",
    "ARCO_INTERNAL_AUTH_ISSUER": "https://accounts.google.com",
    "ARCO_INTERNAL_AUTH_AUDIENCE": "https://compactor",
    "ARCO_INTERNAL_AUTH_ALLOWED_EMAILS": "api@p.iam.gserviceaccount.com",
}


def good(role, environ, read_file=None) -> Settings:
    found = load(role, environ, read_file)
    assert isinstance(found, Settings), found.text()
    return found


def bad(role, environ, read_file=None) -> dict[str, str]:
    """Messages by variable of a configuration that must not be valid."""
    found = load(role, environ, read_file)
    assert isinstance(found, Problems)
    return {problem.variable: problem.message for problem in found.problems}


def test_the_local_mode_needs_nothing():
    found = good("all", {})
    assert (found.storage, found.host, found.environment, found.posture) == (
        "file://./.arco",
        "127.0.0.1",
        "dev",
        "dev",
    )
    assert found.ports == {"api": 8080, "compactor": 8081, "flow-compactor": 8082, "dispatcher": 8083, "sweeper": 8084}
    assert (found.auth.mode, found.scope, found.debug, found.warnings) == ("development", None, False, ())
    assert (found.drain_delay_s, found.log_format, found.port) == (0, "text", 8080)


@pytest.mark.parametrize(
    ("role", "environ"),
    [
        ("api", DEV_API),
        ("api", PROD_API),
        ("compactor", COMPACTOR),
        ("flow-compactor", COMPACTOR),
        ("dispatcher", DISPATCHER),
        ("sweeper", DISPATCHER),
    ],
)
def test_a_complete_environment_is_valid(role, environ):
    assert good(role, environ).role == role


def test_the_report_is_the_one_of_the_contract():
    environ = DISPATCHER | {"ARCO_FLOW_TASK_TOKEN_TTL_SECS": "1800", "ARCO_STORAGE_BUCKET": "", "ARCO_TENANT_ID": "  "}
    found = load("dispatcher", environ)
    assert isinstance(found, Problems)
    assert found.text() == (
        "arco: configuration invalid for role=dispatcher: 3 problems\n"
        "  ARCO_FLOW_TASK_TOKEN_TTL_SECS: must be >= ARCO_FLOW_TASK_TIMEOUT_SECS + 300 (got 1800, need 2100)\n"
        "  ARCO_STORAGE_BUCKET: required\n"
        "  ARCO_TENANT_ID: required\n"
    )
    told = json.loads(found.json())
    assert (told["event"], told["role"]) == ("config_invalid", "dispatcher")
    assert told["problems"][1] == {"var": "ARCO_STORAGE_BUCKET", "code": "E-REQUIRED", "message": "required"}
    assert EXIT_CODE == 78


def test_one_problem_is_one_problem():
    found = load("compactor", COMPACTOR | {"ARCO_TENANT_ID": ""})
    assert isinstance(found, Problems)
    assert found.text().splitlines()[0] == "arco: configuration invalid for role=compactor: 1 problem"


def test_every_problem_is_reported_at_once():
    broken = dict.fromkeys(DEV_API, "!") | {"ARCO_HTTP_PORT": "x", "ARCO_QUERY_WORKERS": "0"}
    assert set(bad("api", broken)) >= {
        "ARCO_ENVIRONMENT",
        "ARCO_API_PUBLIC",
        "ARCO_DEBUG",
        "ARCO_STORAGE_BUCKET",
        "ARCO_COMPACTOR_URL",
        "ARCO_ORCH_COMPACTOR_URL",
        "ARCO_JWT_SECRET",
        "ARCO_TASK_TOKEN_SECRET",
        "ARCO_TASK_TOKEN_TTL_SECS",
        "ARCO_HTTP_PORT",
        "ARCO_QUERY_WORKERS",
    }


@pytest.mark.parametrize("name", [name for name in DEV_API if name != "ARCO_JWT_SECRET"])
def test_each_required_variable_of_the_api_is_asked_for(name):
    environ = {key: value for key, value in DEV_API.items() if key != name}
    assert bad("api", environ) == {name: "required"}


@pytest.mark.parametrize(
    "name", ["ARCO_JWT_ISSUER", "ARCO_JWT_AUDIENCE", "ARCO_AUDIT_ACTOR_HMAC_KEY", "ARCO_CURSOR_SECRET"]
)
def test_outside_dev_more_is_required(name):
    environ = {key: value for key, value in PROD_API.items() if key != name}
    assert bad("api", environ) == {name: "required"}


@pytest.mark.parametrize("role", ["compactor", "flow-compactor"])
@pytest.mark.parametrize("name", COMPACTOR)
def test_each_required_variable_of_a_compactor_is_asked_for(role, name):
    environ = {key: value for key, value in COMPACTOR.items() if key != name}
    assert bad(role, environ)[name].startswith("required")


API_RULES = {
    "environment": ({"ARCO_ENVIRONMENT": "test"}, "ARCO_ENVIRONMENT", "must be one of dev, staging, prod (got test)"),
    "boolean": ({"ARCO_API_PUBLIC": "on"}, "ARCO_API_PUBLIC", "must be a boolean (true/false/1/0)"),
    "debug in public": (
        {"ARCO_DEBUG": "true", "ARCO_API_PUBLIC": "true"},
        "ARCO_DEBUG",
        "must be false when posture is private or public",
    ),
    "debug in private": (
        {"ARCO_DEBUG": "true", "ARCO_ENVIRONMENT": "prod"},
        "ARCO_DEBUG",
        "must be false when posture is private or public",
    ),
    "file storage": (
        {"ARCO_ENVIRONMENT": "prod", "ARCO_STORAGE_BUCKET": "file:///x"},
        "ARCO_STORAGE_BUCKET",
        "file:// is only allowed in dev",
    ),
    "strange storage": ({"ARCO_STORAGE_BUCKET": "ftp://x"}, "ARCO_STORAGE_BUCKET", "must begin with gs://"),
    "no bucket": ({"ARCO_STORAGE_BUCKET": "s3://"}, "ARCO_STORAGE_BUCKET", "must name a bucket after s3://"),
    "a path for a bucket": ({"ARCO_STORAGE_BUCKET": "./data"}, "ARCO_STORAGE_BUCKET", "must be gs://bucket"),
    "relative url": (
        {"ARCO_COMPACTOR_URL": "compactor:8081"},
        "ARCO_COMPACTOR_URL",
        "must be an absolute http:// or https:// URL",
    ),
    "user in url": (
        {"ARCO_COMPACTOR_URL": "http://a:b@c"},
        "ARCO_COMPACTOR_URL",
        "must not contain a user or password",
    ),
    "query in url": (
        {"ARCO_COMPACTOR_URL": "http://c?a=1"},
        "ARCO_COMPACTOR_URL",
        "must not contain a query or a fragment",
    ),
    "port of url": ({"ARCO_COMPACTOR_URL": "http://c:99999"}, "ARCO_COMPACTOR_URL", "must be an absolute"),
    "plain http to elsewhere": (
        {"ARCO_ENVIRONMENT": "prod", "ARCO_COMPACTOR_URL": "http://compactor.example.com"},
        "ARCO_COMPACTOR_URL",
        "must be https outside dev, unless the name is cluster-local",
    ),
    "no key": (
        {"ARCO_JWT_SECRET": ""},
        "ARCO_JWT_SECRET",
        "one of ARCO_JWT_SECRET, ARCO_JWT_PUBLIC_KEY_PEM, ARCO_JWT_PUBLIC_KEY_PATH, ARCO_JWT_JWKS_URL is required",
    ),
    "two keys": ({"ARCO_JWT_PUBLIC_KEY_PEM": PEM}, "ARCO_JWT_SECRET", "set exactly one of"),
    "short secret": ({"ARCO_JWT_SECRET": "j" * 31}, "ARCO_JWT_SECRET", "must be at least 32 bytes"),
    "secret and keys by url": ({"ARCO_JWT_JWKS_URL": "https://idp.example/keys"}, "ARCO_JWT_SECRET", "set exactly one"),
    "keys by a url of nobody": (
        {"ARCO_JWT_JWKS_URL": "https://x"},
        "ARCO_JWT_JWKS_URL",
        "must be an https:// URL",
    ),
    "previous secret alone": (
        {"ARCO_JWT_SECRET": "", "ARCO_JWT_PUBLIC_KEY_PEM": PEM, "ARCO_JWT_SECRET_PREVIOUS": "p" * 32},
        "ARCO_JWT_SECRET_PREVIOUS",
        "is for rotating ARCO_JWT_SECRET",
    ),
    "broken key": (
        {"ARCO_JWT_SECRET": "", "ARCO_JWT_PUBLIC_KEY_PEM": PEM.replace("MII", "AAA")},
        "ARCO_JWT_PUBLIC_KEY_PEM",
        "cannot be read",
    ),
    "other curve": (
        {
            "ARCO_JWT_SECRET": "",
            "ARCO_JWT_PUBLIC_KEY_PEM": ECKey.generate_key("P-384").as_pem(private=False).decode(),
        },
        "ARCO_JWT_PUBLIC_KEY_PEM",
        "must hold RSA keys of at least 2048 bits",
    ),
    "private key": (
        {"ARCO_JWT_SECRET": "", "ARCO_JWT_PUBLIC_KEY_PEM": PEM.replace("PUBLIC", "PRIVATE")},
        "ARCO_JWT_PUBLIC_KEY_PEM",
        "is a private key",
    ),
    "no pem": (
        {"ARCO_JWT_SECRET": "", "ARCO_JWT_PUBLIC_KEY_PEM": "MIIB"},
        "ARCO_JWT_PUBLIC_KEY_PEM",
        "must be a public key in PEM",
    ),
    "equal claims": (
        {"ARCO_JWT_USER_CLAIM": "tenant"},
        "ARCO_JWT_USER_CLAIM",
        "must differ from the other claim names",
    ),
    "equal secrets": ({"ARCO_TASK_TOKEN_SECRET": "j" * 32}, "ARCO_TASK_TOKEN_SECRET", "must not equal ARCO_JWT_SECRET"),
    "short task secret": ({"ARCO_TASK_TOKEN_SECRET": "t"}, "ARCO_TASK_TOKEN_SECRET", "must be at least 32 bytes"),
    "equal audiences": (
        {"ARCO_JWT_AUDIENCE": "arco-tasks"},
        "ARCO_TASK_TOKEN_AUDIENCE",
        "must not equal ARCO_JWT_AUDIENCE",
    ),
    "token life": ({"ARCO_TASK_TOKEN_TTL_SECS": "86401"}, "ARCO_TASK_TOKEN_TTL_SECS", "must be between 1 and 86400"),
    "token life zero": ({"ARCO_TASK_TOKEN_TTL_SECS": "0"}, "ARCO_TASK_TOKEN_TTL_SECS", "must be between 1 and 86400"),
    "port": ({"ARCO_HTTP_PORT": "65536"}, "ARCO_HTTP_PORT", "must be a port from 1 to 65535"),
    "port text": ({"ARCO_HTTP_PORT": "http"}, "ARCO_HTTP_PORT", "must be a port"),
    "service link": (
        {"ARCO_HTTP_PORT": "tcp://10.0.0.1:80"},
        "ARCO_HTTP_PORT",
        "looks like a Kubernetes service link; set enableServiceLinks: false",
    ),
    "one port twice": ({"ARCO_METRICS_PORT": "8080"}, "ARCO_METRICS_PORT", "must differ from ARCO_HTTP_PORT"),
    "grpc port": ({"ARCO_GRPC_PORT": "8080"}, "ARCO_GRPC_PORT", "must differ from ARCO_HTTP_PORT"),
    "no compactor auth": ({"ARCO_ENVIRONMENT": "prod"}, "ARCO_COMPACTOR_AUTH_MODE", "must not be none outside dev"),
    "auth mode": (
        {"ARCO_COMPACTOR_AUTH_MODE": "basic"},
        "ARCO_COMPACTOR_AUTH_MODE",
        "must be one of none, static_bearer, gcp_id_token",
    ),
    "bearer without token": (
        {"ARCO_COMPACTOR_AUTH_MODE": "static_bearer"},
        "ARCO_COMPACTOR_AUTH_STATIC_BEARER_TOKEN",
        "required when the mode is static_bearer",
    ),
    "metadata url": (
        {"ARCO_COMPACTOR_GCP_METADATA_URL": "http://m"},
        "ARCO_COMPACTOR_GCP_METADATA_URL",
        "only allowed when ARCO_DEBUG=true",
    ),
    "any origin": (
        {"ARCO_CORS_ALLOWED_ORIGINS": "*"},
        "ARCO_CORS_ALLOWED_ORIGINS",
        "'*' is only allowed when ARCO_DEBUG=true",
    ),
    "mixed origins": ({"ARCO_CORS_ALLOWED_ORIGINS": "*,https://a"}, "ARCO_CORS_ALLOWED_ORIGINS", "must be '*' alone"),
    "no origin": (
        {"ARCO_CORS_ALLOWED_ORIGINS": "example.com"},
        "ARCO_CORS_ALLOWED_ORIGINS",
        "must hold origins such as",
    ),
    "everybody a proxy": (
        {"ARCO_TRUSTED_PROXY_CIDRS": "10.0.0.0/8,0.0.0.0/0"},
        "ARCO_TRUSTED_PROXY_CIDRS",
        "must not trust every address",
    ),
    "everybody a v6 proxy": (
        {"ARCO_TRUSTED_PROXY_CIDRS": "::/0"},
        "ARCO_TRUSTED_PROXY_CIDRS",
        "must not trust every address",
    ),
    "no proxies": (
        {"ARCO_TRUSTED_PROXY_CIDRS": "proxy"},
        "ARCO_TRUSTED_PROXY_CIDRS",
        "must be a comma list of CIDR ranges",
    ),
    "bootstrap": ({"ARCO_BOOTSTRAP_TOKEN": "short"}, "ARCO_BOOTSTRAP_TOKEN", "must be at least 32 bytes"),
    "auth age": ({"ARCO_AUTH_STATE_MAX_AGE_MS": "60001"}, "ARCO_AUTH_STATE_MAX_AGE_MS", "must be between 0 and 60000"),
    "stale low": (
        {"ARCO_IDEMPOTENCY_STALE_TIMEOUT_SECS": "9"},
        "ARCO_IDEMPOTENCY_STALE_TIMEOUT_SECS",
        "must be between 10 and 3600",
    ),
    "body": ({"ARCO_MAX_BODY_BYTES": "0"}, "ARCO_MAX_BODY_BYTES", "must be greater than zero"),
    "timeout": ({"ARCO_QUERY_TIMEOUT_SECS": "0"}, "ARCO_QUERY_TIMEOUT_SECS", "must be greater than zero"),
    "rate": ({"ARCO_RATE_BURST": "-1"}, "ARCO_RATE_BURST", "must be a whole number"),
    "actor key": ({"ARCO_AUDIT_ACTOR_HMAC_KEY": "not base64!"}, "ARCO_AUDIT_ACTOR_HMAC_KEY", "must be base64"),
    "short actor key": (
        {"ARCO_AUDIT_ACTOR_HMAC_KEY": "AAAA"},
        "ARCO_AUDIT_ACTOR_HMAC_KEY",
        "must be base64 of at least 32 bytes",
    ),
    "prefix": (
        {"ARCO_UNITY_CATALOG_MOUNT_PREFIX": "/"},
        "ARCO_UNITY_CATALOG_MOUNT_PREFIX",
        "must start with '/' and must not be '/'",
    ),
    "shadow": (
        {"ARCO_UNITY_CATALOG_MOUNT_PREFIX": "/health/x"},
        "ARCO_UNITY_CATALOG_MOUNT_PREFIX",
        "must not shadow /health",
    ),
    "artifact range": (
        {"ARCO_PRESIGN_PART_TTL_SECS": "59"},
        "ARCO_PRESIGN_PART_TTL_SECS",
        "must be between 60 and 3600",
    ),
    "text logs": (
        {"ARCO_ENVIRONMENT": "prod", "ARCO_LOG_FORMAT": "text"},
        "ARCO_LOG_FORMAT",
        "text is only allowed in dev",
    ),
}


@pytest.mark.parametrize(("change", "variable", "message"), API_RULES.values(), ids=API_RULES)
def test_a_rule_of_the_api_is_checked(change, variable, message):
    found = bad("api", DEV_API | change)
    assert message in found[variable]


COMPACTOR_RULES = {
    "tenant": ({"ARCO_TENANT_ID": "Acme"}, "ARCO_TENANT_ID", "must match"),
    "workspace": ({"ARCO_WORKSPACE_ID": "-w"}, "ARCO_WORKSPACE_ID", "must match"),
    "threshold": (
        {"ARCO_COMPACTOR_INTERVAL_SECS": "200"},
        "ARCO_COMPACTOR_UNHEALTHY_THRESHOLD_SECS",
        "must be >= 2 x ARCO_COMPACTOR_INTERVAL_SECS (got 300, need 400)",
    ),
    "interval": ({"ARCO_COMPACTOR_INTERVAL_SECS": "0"}, "ARCO_COMPACTOR_INTERVAL_SECS", "must be greater than zero"),
    "domains": (
        {"ARCO_COMPACTOR_DOMAINS": "catalog,orders"},
        "ARCO_COMPACTOR_DOMAINS",
        "must be a comma list of catalog",
    ),
    "part of the chain": (
        {"ARCO_COMPACTOR_DOMAINS": "catalog,artifacts"},
        "ARCO_COMPACTOR_DOMAINS",
        "must hold catalog, lineage, search: they share one chain, and nobody can fold a part of it",
    ),
    "repair": ({"ARCO_REPAIR_MODE": "yes"}, "ARCO_REPAIR_MODE", "must be one of disabled, dry_run, enforce"),
    "no auth": ({"ARCO_ENVIRONMENT": "prod"}, "ARCO_INTERNAL_AUTH_MODE", "must not be none outside dev"),
    "no token": (
        {"ARCO_INTERNAL_AUTH_MODE": "static_bearer"},
        "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN",
        "required when the mode is static_bearer",
    ),
    "oidc without issuer": (OIDC | {"ARCO_INTERNAL_AUTH_ISSUER": ""}, "ARCO_INTERNAL_AUTH_ISSUER", "required when"),
    "oidc without audience": (
        OIDC | {"ARCO_INTERNAL_AUTH_AUDIENCE": ""},
        "ARCO_INTERNAL_AUTH_AUDIENCE",
        "required when",
    ),
    "oidc without list": (
        OIDC | {"ARCO_INTERNAL_AUTH_ALLOWED_EMAILS": ""},
        "ARCO_INTERNAL_AUTH_ALLOWED_SUBS",
        "is required when",
    ),
    "oidc by one variable": ({"ARCO_INTERNAL_AUTH_ENFORCE": "true"}, "ARCO_INTERNAL_AUTH_ISSUER", "required when"),
    "oidc beside a token": (
        {
            "ARCO_INTERNAL_AUTH_MODE": "static_bearer",
            "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN": "x",
            "ARCO_INTERNAL_AUTH_ISSUER": "https://issuer",
        },
        "ARCO_INTERNAL_AUTH_ISSUER",
        "is for gcp_oidc",
    ),
    "none beyond loopback": (
        {"ARCO_HOST": "0.0.0.0"},
        "ARCO_INTERNAL_AUTH_MODE",
        "none is only for a loopback",
    ),
    "file storage": (
        {"ARCO_ENVIRONMENT": "prod", "ARCO_STORAGE_BUCKET": "memory://"},
        "ARCO_STORAGE_BUCKET",
        "memory:// is only",
    ),
}


@pytest.mark.parametrize(("change", "variable", "message"), COMPACTOR_RULES.values(), ids=COMPACTOR_RULES)
def test_a_rule_of_the_compactor_is_checked(change, variable, message):
    assert message in bad("compactor", COMPACTOR | change)[variable]


FLOW_RULES = {
    "ttl": ({"ARCO_FLOW_TASK_TIMEOUT_SECS": "1801"}, "ARCO_FLOW_TASK_TOKEN_TTL_SECS", "(got 2100, need 2101)"),
    "timeout": ({"ARCO_FLOW_TASK_TIMEOUT_SECS": "0"}, "ARCO_FLOW_TASK_TIMEOUT_SECS", "must be greater than zero"),
    "project": ({"ARCO_GCP_PROJECT_ID": ""}, "ARCO_GCP_PROJECT_ID", "required when"),
    "queue": ({"ARCO_FLOW_QUEUE": "a_b"}, "ARCO_FLOW_QUEUE", "must match"),
    "path": ({"ARCO_FLOW_CALLBACK_BASE_URL": "https://a/b"}, "ARCO_FLOW_CALLBACK_BASE_URL", "must have no path"),
    "metadata": (
        {"ARCO_FLOW_DISPATCH_TARGET_URL": "http://169.254.169.254/"},
        "ARCO_FLOW_DISPATCH_TARGET_URL",
        "must not be a metadata",
    ),
    "metadata v6": (
        {"ARCO_FLOW_DISPATCH_TARGET_URL": "http://[::ffff:169.254.169.254]/"},
        "ARCO_FLOW_DISPATCH_TARGET_URL",
        "must not be a metadata",
    ),
    "metadata name": (
        {"ARCO_FLOW_DISPATCH_TARGET_URL": "http://Metadata.Google.Internal./x"},
        "ARCO_FLOW_DISPATCH_TARGET_URL",
        "must not be a metadata",
    ),
    "memory queue": (
        {"ARCO_ENVIRONMENT": "prod", "ARCO_FLOW_QUEUE_ADAPTER": "memory"},
        "ARCO_FLOW_QUEUE_ADAPTER",
        "only allowed in dev",
    ),
    "file queue": (
        {"ARCO_ENVIRONMENT": "prod", "ARCO_FLOW_QUEUE_ADAPTER": "local_file"},
        "ARCO_FLOW_QUEUE_ADAPTER",
        "only allowed in dev",
    ),
    "emulator": (
        {"ARCO_ENVIRONMENT": "prod", "ARCO_FLOW_CLOUD_TASKS_ENDPOINT": "a:1"},
        "ARCO_FLOW_CLOUD_TASKS_ENDPOINT",
        "only allowed in dev",
    ),
    "route": ({"ARCO_FLOW_WORKERS": "gpu=worker:1"}, "ARCO_FLOW_WORKERS", "must be an absolute"),
    "route without a queue": ({"ARCO_FLOW_WORKERS": "=http://w"}, "ARCO_FLOW_WORKERS", "must be url or queue=url"),
    "route to metadata": (
        {"ARCO_FLOW_WORKERS": "http://w,gpu=http://169.254.169.254"},
        "ARCO_FLOW_WORKERS",
        "must not be a metadata",
    ),
    "route in the open": (
        {"ARCO_ENVIRONMENT": "prod", "ARCO_FLOW_WORKERS": "http://w.example.com"},
        "ARCO_FLOW_WORKERS",
        "must be https outside dev",
    ),
    "timer target": (
        {"ARCO_FLOW_TIMER_TARGET_URL": "http://metadata.google.internal/x"},
        "ARCO_FLOW_TIMER_TARGET_URL",
        "must not be a metadata",
    ),
    "timer audience": ({"ARCO_FLOW_TIMER_TARGET_AUDIENCE": "a"}, "ARCO_FLOW_TIMER_TARGET_URL", "required when"),
    "old secret": (
        {"ARCO_TASK_TOKEN_SECRET_PREVIOUS_NOT_AFTER": "tomorrow"},
        "ARCO_TASK_TOKEN_SECRET_PREVIOUS_NOT_AFTER",
        "must be a time such as",
    ),
    "url outside dev": ({"ARCO_ENVIRONMENT": "prod"}, "ARCO_FLOW_COMPACTOR_URL", "required"),
}


@pytest.mark.parametrize(("change", "variable", "message"), FLOW_RULES.values(), ids=FLOW_RULES)
def test_a_rule_of_the_flow_roles_is_checked(change, variable, message):
    assert message in bad("dispatcher", DISPATCHER | change)[variable]
    assert message in bad("sweeper", DISPATCHER | change)[variable]


def test_routes_to_workers_are_read_by_queue_and_http_push_is_fine_anywhere():
    routes = {"ARCO_FLOW_WORKERS": "https://a.example.com/, gpu=https://b.example.com,https://c.example.com"}
    found = load("dispatcher", DISPATCHER | routes | {"ARCO_FLOW_QUEUE_ADAPTER": "http"})
    assert isinstance(found, Settings)
    assert found.value("ARCO_FLOW_WORKERS") == {
        "default-queue": ("https://a.example.com", "https://c.example.com"),
        "gpu": ("https://b.example.com",),
    }
    prod = bad("dispatcher", DISPATCHER | {"ARCO_ENVIRONMENT": "prod", "ARCO_FLOW_QUEUE_ADAPTER": "http"})
    assert "ARCO_FLOW_QUEUE_ADAPTER" not in prod


@pytest.mark.parametrize(
    ("environment", "public", "posture"),
    [
        ("dev", "0", "dev"),
        ("STAGING", "no", "private"),
        ("prod", "N", "private"),
        ("dev", "Yes", "public"),
        ("prod", "1", "public"),
    ],
)
def test_the_posture_follows_from_environment_and_public(environment, public, posture):
    environ = PROD_API | {"ARCO_ENVIRONMENT": environment, "ARCO_API_PUBLIC": public}
    assert good("api", environ).posture == posture


def test_cluster_local_names_may_be_plain_http_outside_dev():
    for url in ("http://compactor:8081", "http://compactor.arco.svc.cluster.local", "https://compactor.example.com"):
        assert good("api", PROD_API | {"ARCO_COMPACTOR_URL": url}).value("ARCO_COMPACTOR_URL") == url


@pytest.mark.parametrize(
    ("given", "storage"),
    [
        ("lake", "gs://lake"),
        ("s3://lake/prefix", "s3://lake/prefix"),
        ("file:///x", "file:///x"),
        (" memory:// ", "memory://"),
    ],
)
def test_storage_is_a_url_and_a_bare_name_is_gcs(given, storage):
    assert good("all", {"ARCO_STORAGE_BUCKET": given}).storage == storage


def test_a_single_role_takes_its_port_from_port_then_from_its_own_name():
    assert good("compactor", COMPACTOR).port == 8081
    assert good("compactor", COMPACTOR | {"ARCO_COMPACTOR_PORT": "9"}).port == 9
    assert good("compactor", COMPACTOR | {"ARCO_COMPACTOR_PORT": "9", "PORT": "0"}).port == 0
    assert good("flow-compactor", COMPACTOR).port == 8080
    assert good("flow-compactor", COMPACTOR | {"ARCO_FLOW_COMPACTOR_PORT": "7"}).port == 7
    assert good("flow-compactor", COMPACTOR | {"ARCO_FLOW_COMPACTOR_PORT": "7", "ARCO_FLOW_PORT": "6"}).port == 6


def test_all_roles_take_their_ports_from_their_own_names():
    found = good("all", {"ARCO_HTTP_PORT": "0", "ARCO_FLOW_SWEEPER_PORT": "7", "PORT": "5", "ARCO_FLOW_PORT": "6"})
    assert (found.ports["api"], found.ports["sweeper"], found.ports["compactor"]) == (0, 7, 8081)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "127.0.0.1.evil.example", "arco.example"])
def test_without_credentials_only_loopback_is_allowed_and_the_text_says_what_to_set(host):
    message = bad("all", {"ARCO_HOST": host})["ARCO_HOST"]
    assert "ARCO_JWT_SECRET" in message
    assert "127.0.0.1" in message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_no_credentials(host):
    assert good("all", {"ARCO_HOST": host}).auth.mode == "development"


def test_with_credentials_any_host_is_allowed_and_internal_roles_stay_on_loopback():
    found = good("all", {"ARCO_HOST": "0.0.0.0", "ARCO_JWT_SECRET": "j" * 32})
    assert (found.auth.mode, found.auth.keys, found.internal_host) == ("HS256", ("j" * 32,), "127.0.0.1")
    token = {"ARCO_INTERNAL_AUTH_MODE": "static_bearer", "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN": "x"}
    assert good("all", {"ARCO_HOST": "0.0.0.0", "ARCO_JWT_SECRET": "j" * 32} | token).internal_host == "0.0.0.0"


def test_several_public_keys_are_good_while_one_is_being_replaced():
    found = good("all", {"ARCO_JWT_PUBLIC_KEY_PEM": f"{PEM}\n{OTHER_PEM}"})
    assert found.auth.keys == (PEM, OTHER_PEM)


def test_the_secret_before_the_last_rotation_is_still_good():
    found = good("all", {"ARCO_JWT_SECRET": "j" * 32, "ARCO_JWT_SECRET_PREVIOUS": "i" * 32})
    assert found.auth.keys == ("j" * 32, "i" * 32)


def test_service_tokens_are_enforced_outside_dev_unless_somebody_says_otherwise():
    assert good("compactor", COMPACTOR | OIDC).value("ARCO_INTERNAL_AUTH_ENFORCE") is None
    prod = COMPACTOR | OIDC | {"ARCO_ENVIRONMENT": "prod", "ARCO_STORAGE_BUCKET": "gs://bucket"}
    assert good("compactor", prod).value("ARCO_INTERNAL_AUTH_ENFORCE") is True
    reporting = good("compactor", prod | {"ARCO_INTERNAL_AUTH_ENFORCE": "false"})
    assert reporting.value("ARCO_INTERNAL_AUTH_ENFORCE") is False
    assert any("let in" in warning for warning in reporting.warnings)


def test_any_variable_of_service_tokens_makes_them_the_mode():
    mode = {name: value for name, value in OIDC.items() if name != "ARCO_INTERNAL_AUTH_MODE"}
    assert good("compactor", COMPACTOR | mode).internal_auth == "gcp_oidc"


def test_debug_is_a_mode_of_its_own_and_warns_when_others_can_reach_it():
    environ = DEV_API | {"ARCO_DEBUG": "true", "ARCO_JWT_SECRET": "", "ARCO_HOST": "0.0.0.0"}
    found = good("api", environ)
    assert found.auth.mode == "debug"
    assert any("ARCO_DEBUG" in warning for warning in found.warnings)


def test_a_tenant_without_a_workspace_is_half_a_scope():
    assert bad("all", {"ARCO_TENANT_ID": "t"}) == {"ARCO_WORKSPACE_ID": "required when ARCO_TENANT_ID is set"}
    scope = good("all", {"ARCO_TENANT_ID": "t", "ARCO_WORKSPACE_ID": "w"}).scope
    assert scope is not None
    assert scope.prefix == "tenant=t/workspace=w/"


class Files:
    """Files by path."""

    def __init__(self, **files):
        self.files = files

    def __call__(self, path):
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory") from None


def test_a_secret_may_come_from_a_file_without_its_line_end():
    environ = {"ARCO_JWT_SECRET_FILE": "jwt"}
    assert good("all", environ, Files(jwt="j" * 32 + "\r\n")).auth.keys == ("j" * 32,)


def test_a_secret_given_twice_is_a_problem():
    found = load("all", {"ARCO_JWT_SECRET": "j" * 32, "ARCO_JWT_SECRET_FILE": "jwt"}, Files(jwt="x"))
    assert isinstance(found, Problems)
    assert [(problem.variable, problem.code) for problem in found.problems] == [("ARCO_JWT_SECRET", "E-BOTH")]


@pytest.mark.parametrize(
    ("reader", "message"),
    [(Files(), "cannot be read: No such file"), (Files(jwt=" \n"), "is empty"), (None, "files are not read here")],
)
def test_a_file_that_cannot_be_had_is_a_problem_and_not_a_missing_secret(reader, message):
    found = bad("all", {"ARCO_JWT_SECRET_FILE": "jwt"}, reader)
    assert message in found["ARCO_JWT_SECRET_FILE"]


def test_a_public_key_is_read_inline_or_from_a_file():
    inline = good("all", {"ARCO_JWT_PUBLIC_KEY_PEM": PEM.replace("\n", "\\n")})
    assert (inline.auth.mode, inline.auth.keys) == ("public_key", (PEM,))
    assert good("all", {"ARCO_JWT_PUBLIC_KEY_PATH": "pem"}, Files(pem=PEM + "\n")).auth.keys == (PEM,)
    assert (
        "the file must be a public key"
        in bad("all", {"ARCO_JWT_PUBLIC_KEY_PATH": "pem"}, Files(pem="x"))["ARCO_JWT_PUBLIC_KEY_PATH"]
    )
    assert "cannot be read" in bad("all", {"ARCO_JWT_PUBLIC_KEY_PATH": "gone"}, Files())["ARCO_JWT_PUBLIC_KEY_PATH"]


def test_an_unknown_name_is_a_warning_with_the_nearest_known_one():
    found = good("all", {"ARCO_COMPACTOR_PROT": "1", "ARCO_ZZZ": "1", "OTHER": "1", "ARCO_EMPTY": " "})
    assert found.warnings == (
        "ARCO_COMPACTOR_PROT: unknown variable; did you mean ARCO_COMPACTOR_PORT?",
        "ARCO_ZZZ: unknown variable",
    )


def test_an_unknown_name_is_a_problem_when_strict_and_strict_is_the_default_outside_dev():
    assert "did you mean" in bad("all", {"ARCO_HOTS": "1", "ARCO_STRICT_ENV": "true"})["ARCO_HOTS"]
    assert "ARCO_HOTS" in bad("api", PROD_API | {"ARCO_HOTS": "1"})
    assert good("api", PROD_API | {"ARCO_HOTS": "1", "ARCO_STRICT_ENV": "false"}).warnings


def test_names_of_other_roles_of_the_command_line_and_of_kubernetes_are_not_unknown():
    names = [
        "ARCO_FLOW_QUEUE",
        "ARCO_URL",
        "ARCO_TOKEN",
        "ARCO_JWT_SECRET_FILE",
        "ARCO_COMPACTOR_SERVICE_HOST",
        "ARCO_COMPACTOR_SERVICE_PORT",
        "ARCO_COMPACTOR_SERVICE_PORT_HTTP",
        "ARCO_COMPACTOR_PORT_8081_TCP_ADDR",
    ]
    environ = COMPACTOR | dict.fromkeys(names, "x") | {"ARCO_STRICT_ENV": "true"}
    assert good("compactor", environ).warnings == (
        "ARCO_INTERNAL_AUTH_MODE: none, so anybody who reaches this port may compact",
    )


def test_values_are_trimmed_and_booleans_are_lenient():
    for text in ("true", " TRUE ", "1", "Yes", "y"):
        assert good("all", {"ARCO_API_PUBLIC": text}).posture == "public"
    for text in ("false", "0", "No", "n", ""):
        assert good("all", {"ARCO_API_PUBLIC": text}).posture == "dev"


def test_no_report_ever_shows_a_secret():
    canary = "canary-" * 3
    secrets = {variable.name: canary for variable in VARIABLES if variable.secret}
    for role in (*ROLES, "all"):
        found = load(role, secrets | {"ARCO_JWT_PUBLIC_KEY_PEM": canary, "ARCO_STRICT_ENV": "true"})
        told = found.text() + found.json() if isinstance(found, Problems) else repr(found) + repr(found.auth)
        assert "canary" not in told
    full = good("api", PROD_API)
    assert "jjj" not in repr(full)
    assert "jjj" not in repr(full.auth)


def test_asking_for_a_variable_that_is_not_in_the_table_is_our_mistake():
    with pytest.raises(InvariantViolated):
        good("all", {}).value("ARCO_NOWHERE")


def test_an_unknown_role_is_our_mistake():
    with pytest.raises(ValueError, match="unknown role"):
        load("worker", {})


def test_limits_have_the_documented_defaults():
    found = good("api", DEV_API)
    assert found.value("ARCO_MAX_BODY_BYTES") == 2 * 1024 * 1024
    assert found.value("ARCO_RATE_DEFAULT_PER_MIN") == 500
    assert found.value("ARCO_CURSOR_SECRET") is None
    assert good("api", DEV_API | {"ARCO_CURSOR_SECRET": KEY_B64}).value("ARCO_CURSOR_SECRET") == b"k" * 32
