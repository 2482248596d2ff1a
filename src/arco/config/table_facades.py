"""Variables of the api's optional mounts and of artifacts (catalog.md 5.3, artifacts.md 11); read by later roles."""

from typing import Final

from arco.config.kinds import Parse, flag, integer, mount_prefix, text
from arco.config.table_dispatch import instant
from arco.config.variables import API, SWEEPER, Variable

_CONTRACT: Final = "catalog.md 5.3"
_TIME: Final = "a time such as 2026-01-01T00:00:00Z"
_ARTIFACTS: Final = "operations.md 1.2"


def _row(name: str, doc: str, parse: Parse = text, rule: str = "", *, default: str = "") -> Variable:
    return Variable(name=name, roles=(API,), doc=doc, parse=parse, rule=rule, default=default, source=_CONTRACT)


def _number(name: str, doc: str, bounds: tuple[int, int | None], default: int) -> Variable:
    low, high = bounds
    rule = f"{low} to {high}" if high is not None else f"at least {low}"
    return Variable(
        name=name,
        roles=(API, SWEEPER),
        doc=doc,
        parse=integer(low, high),
        rule=rule,
        default=str(default),
        source=_ARTIFACTS,
    )


FACADE_VARIABLES: Final = (
    _row("ARCO_ICEBERG_ENABLED", "Whether the Iceberg REST catalog is mounted.", flag, "boolean", default="false"),
    _row("ARCO_ICEBERG_PREFIX", "The prefix of the Iceberg REST catalog.", default="arco"),
    _row("ARCO_ICEBERG_NAMESPACE_SEPARATOR", "Separates namespace levels in URLs.", default="%1F"),
    _row("ARCO_ICEBERG_ALLOW_WRITE", "Whether Iceberg clients may commit.", flag, "boolean", default="false"),
    _row("ARCO_ICEBERG_ALLOW_NAMESPACE_CRUD", "Whether they may change namespaces.", flag, "boolean", default="false"),
    _row("ARCO_ICEBERG_ALLOW_TABLE_CRUD", "Whether they may create and drop tables.", flag, "boolean", default="false"),
    _row(
        "ARCO_ICEBERG_ALLOW_MULTI_TABLE_TRANSACTIONS",
        "Whether they may commit several tables at once.",
        flag,
        "boolean",
        default="false",
    ),
    _row("ARCO_ICEBERG_CONCURRENCY_LIMIT", "Iceberg requests at the same time.", integer(1), "> 0"),
    _row("ARCO_ICEBERG_ENABLE_CREDENTIAL_VENDING", "Whether they get credentials.", flag, "boolean", default="false"),
    _row("ARCO_UNITY_CATALOG_ENABLED", "Whether the Unity facade is mounted.", flag, "boolean", default="false"),
    _row(
        "ARCO_UNITY_CATALOG_MOUNT_PREFIX",
        "Where the Unity facade is mounted.",
        mount_prefix,
        "starts with `/`, shadows nothing",
        default="/api/2.1/unity-catalog",
    ),
    _row("ARCO_CATALOG_SHADOW_COMPARE_READS", "Accepted and without effect.", flag, "boolean"),
    _row("ARCO_CONTROL_STORE_OPERATOR_ENDPOINTS", "Whether operator routes answer.", flag, "boolean", default="false"),
    _row("ARCO_CONTROL_STORE_OPERATOR_GROUP", "The group that may call operator routes; without it nobody may."),
    _row(
        "ARCO_RUN_KEY_FINGERPRINT_CUTOFF",
        "Run keys taken since then stand for no request but their own, also those without a fingerprint.",
        instant,
        _TIME,
    ),
    _row(
        "ARCO_PARTITION_TIME_STRING_CUTOFF",
        "From then on a time in a `partitionKey` that is written as a text is refused.",
        instant,
        _TIME,
    ),
    _row("ARCO_SERVICE_NAME", "The `service` of `/version`."),
    _row("ARCO_CODE_VERSION", "The `codeVersion` of `/version`."),
    _row("ARCO_GIT_SHA", "The `gitSha` of `/version`."),
    _row("ARCO_API_IMAGE", "The `image` of `/version`."),
    _row("ARCO_IMAGE", "The `image` of `/version`."),
    _row("ARCO_CLOUD_RUN_REVISION", "The `cloudRunRevision` of `/version`."),
    _number("ARCO_PRESIGN_PART_TTL_SECS", "How long an upload URL is good.", (60, 3600), 900),
    _number("ARCO_POLICY_EVALUATION_TIMEOUT_MS", "How long a policy may take.", (1, None), 250),
    _number("ARCO_TOMBSTONE_RETENTION_DAYS", "How long tombstones stay.", (1, 3650), 30),
    _number("ARCO_GC_RETENTION_GRACE_HOURS", "How long garbage stays.", (0, 8760), 24),
    _number("ARCO_GC_BATCH_SIZE", "Objects of one collection.", (1, 5000), 200),
    _number("ARCO_ADMISSION_MAX_STORAGE_BYTES", "Artifact bytes of one tenant.", (1, None), 53_687_091_200),
    _number("ARCO_ADMISSION_MAX_UPLOAD_SESSIONS", "Uploads of one tenant at once.", (1, None), 1000),
    _number("ARCO_ADMISSION_MAX_SEARCH_JOBS", "Search jobs of one tenant.", (1, None), 5000),
)
