"""Variables of the compactors, the dispatcher and the sweeper (catalog.md 5.4, 5.6; operations.md 1.2)."""

from typing import Final

from arco.config.kinds import (
    Parse,
    base64_key,
    choice,
    chosen_words,
    flag,
    integer,
    retention_policy,
    secret,
    text,
    url,
    urls,
    words,
)
from arco.config.variables import (
    COMPACTOR,
    DISPATCHER,
    FLOW_COMPACTOR,
    OUTSIDE_DEV,
    SWEEPER,
    Variable,
)

GOOGLE_CERTS: Final = "https://www.googleapis.com/oauth2/v3/certs"
_FLOW: Final = (DISPATCHER, SWEEPER)
_COMPACTORS: Final = (COMPACTOR, FLOW_COMPACTOR)
_INTERNAL: Final = (COMPACTOR, FLOW_COMPACTOR, DISPATCHER, SWEEPER)


def _row(  # a row of the table
    roles: tuple[str, ...],
    name: str,
    doc: str,
    parse: Parse = text,
    *,
    rule: str = "",
    default: str = "",
    required: str = "",
    secret: bool = False,
    source: str = "operations.md 1.2",
) -> Variable:
    return Variable(
        name=name,
        roles=roles,
        doc=doc,
        parse=parse,
        rule=rule,
        default=default,
        required=required,
        secret=secret,
        source=source,
    )


def _positive(roles: tuple[str, ...], name: str, doc: str, default: int) -> Variable:
    return _row(roles, name, doc, integer(1), rule="> 0", default=str(default))


def _repair_rows(role: str, prefix: str, source: str) -> tuple[Variable, ...]:
    """The contracts' own settings of repair."""
    return (
        _row(
            (role,),
            f"{prefix}_REPAIR_AUTOMATION_MODE",
            "The contract's name of `ARCO_REPAIR_MODE`; used when that is not set.",
            choice("disabled", "dry_run", "enforce"),
            rule="disabled, dry_run or enforce",
            source=source,
        ),
        _row(
            (role,),
            f"{prefix}_REPAIR_AUTOMATION_INTERVAL_SECS",
            "The contract's name of `ARCO_REPAIR_INTERVAL_SECS`; used when that is not set.",
            integer(1),
            rule="> 0",
            source=source,
        ),
        _row(
            (role,),
            f"{prefix}_REPAIR_AUTOMATION_SCOPE",
            "How much repair looks at.",
            choice("full", "current_head_only"),
            rule="full or current_head_only",
            default="full",
            source=source,
        ),
    )


_COMPACTOR_ROWS: Final = (
    _row(
        (COMPACTOR,),
        "ARCO_COMPACTOR_DOMAINS",
        "The domains this compactor folds: all of them, because they share one chain.",
        chosen_words("catalog", "lineage", "search", "artifacts"),
        rule="comma list of catalog, lineage, search, artifacts; holds the first three",
        default="catalog,lineage,search,artifacts",
    ),
    _positive(_COMPACTORS, "ARCO_COMPACTOR_INTERVAL_SECS", "How often the compactor looks for missed work.", 60),
    _row(
        (COMPACTOR,),
        "ARCO_COMPACTOR_UNHEALTHY_THRESHOLD_SECS",
        "How long without a success until the compactor calls itself unhealthy.",
        integer(1),
        rule="at least twice the interval",
        default="300",
        source="catalog.md 5.4",
    ),
    _row(
        _COMPACTORS,
        "ARCO_IDLE_MERGE_MS",
        "How long a chain is idle until its deltas are merged into segments.",
        integer(1),
        rule="> 0",
        default="1000",
        source="",
    ),
    _row((COMPACTOR,), "ARCO_COMPACTOR_AUDIENCE", "The audience of calls to itself.", source="catalog.md 5.4"),
    _row(
        (COMPACTOR,), "ARCO_COMPACTOR_ID_TOKEN", "The token of calls to itself.", secret=True, source="catalog.md 5.4"
    ),
    _row(
        _COMPACTORS,
        "ARCO_REPAIR_MODE",
        "What repair does with what it finds.",
        choice("disabled", "dry_run", "enforce"),
        rule="disabled, dry_run or enforce",
        default="dry_run",
    ),
    _positive(_COMPACTORS, "ARCO_REPAIR_INTERVAL_SECS", "How often repair looks.", 300),
    *(
        row
        for role, prefix, source in (
            (COMPACTOR, "ARCO_COMPACTOR", "catalog.md 5.4"),
            (FLOW_COMPACTOR, "ARCO_FLOW_COMPACTOR", "orchestration.md 5.5"),
        )
        for row in _repair_rows(role, prefix, source)
    ),
    _row(
        (COMPACTOR,),
        "ARCO_COMPACTOR_REPAIR_AUTOMATION_DOMAINS",
        "The domains repair looks at.",
        chosen_words("catalog", "lineage", "search"),
        rule="comma list of catalog, lineage, search",
        default="catalog,lineage,search",
        source="catalog.md 5.4",
    ),
    _row(
        _COMPACTORS,
        "ARCO_RETENTION_POLICY",
        "How long superseded versions, the ledger and the memory of outcomes stay.",
        retention_policy,
        rule="default, development, aggressive, conservative or a policy as JSON",
        default="default",
        source="catalog.md 2.12",
    ),
    _row(
        _COMPACTORS,
        "ARCO_ANTI_ENTROPY_MAX_OBJECTS_PER_RUN",
        "Ledger objects one sweep looks at; 0 turns it off.",
        integer(0),
        rule="at least 0",
        default="1000",
        source="catalog.md 5.4",
    ),
    _positive(_COMPACTORS, "ARCO_ANTI_ENTROPY_REPROCESS_BATCH_SIZE", "Missed events of one batch.", 100),
    _positive(_COMPACTORS, "ARCO_ANTI_ENTROPY_REPROCESS_TIMEOUT_SECS", "How long one batch may take.", 30),
)

_INTERNAL_ROWS: Final = (
    _row(_INTERNAL, "ARCO_INTERNAL_AUTH_ISSUER", "The `iss` of service tokens.", source="catalog.md 5.6"),
    _row(_INTERNAL, "ARCO_INTERNAL_AUTH_AUDIENCE", "The `aud` of service tokens.", source="catalog.md 5.6"),
    _row(_INTERNAL, "ARCO_INTERNAL_AUTH_ALLOWED_SUBS", "Subjects let in.", words, rule="comma list"),
    _row(_INTERNAL, "ARCO_INTERNAL_AUTH_ALLOWED_EMAILS", "E-mails let in.", words, rule="comma list"),
    _row(
        _INTERNAL,
        "ARCO_INTERNAL_AUTH_ENFORCE",
        "Refuse, or only report. Default: true in staging and prod, else false.",
        flag,
        rule="boolean",
        source="catalog.md 5.6",
    ),
    _row(
        _INTERNAL,
        "ARCO_INTERNAL_AUTH_JWKS_URL",
        "Where the keys of service tokens are.",
        url,
        rule="https URL of a public host",
        default=GOOGLE_CERTS,
        source="catalog.md 5.6",
    ),
    _row(
        _INTERNAL,
        "ARCO_INTERNAL_AUTH_HS256_SECRET",
        "The secret of HS256 service tokens.",
        secret,
        rule="at least 32 bytes",
        secret=True,
    ),
    _positive(_INTERNAL, "ARCO_INTERNAL_AUTH_JWKS_CACHE_TTL_SECS", "How long those keys are kept.", 300),
)

_FLOW_ROWS: Final = (
    _row(
        (FLOW_COMPACTOR,),
        "ARCO_TENANT_SECRET_B64",
        "The secret that derived ids are keyed with.",
        base64_key,
        rule="base64, at least 32 bytes",
        required=OUTSIDE_DEV,
        secret=True,
    ),
    _positive((FLOW_COMPACTOR,), "ARCO_FLOW_ORCH_MAX_COMPACTION_LAG_SECS", "The lag that counts as late.", 30),
    _positive(
        (FLOW_COMPACTOR,),
        "ARCO_FLOW_ORCH_SLO_P95_RUN_REQUESTED_TO_TRIGGERED_SECS",
        "Objective: request to trigger.",
        10,
    ),
    _positive((FLOW_COMPACTOR,), "ARCO_FLOW_ORCH_SLO_P95_COMPACTION_LAG_SECS", "Objective: compaction lag.", 30),
    _row(_FLOW, "ARCO_FLOW_DISPATCH_TARGET_URL", "Where workers take tasks.", url, required="always"),
    _row(_FLOW, "ARCO_FLOW_CALLBACK_BASE_URL", "Where workers call back.", url, required="always"),
    _row(
        _FLOW,
        "ARCO_FLOW_TASK_TOKEN_SECRET",
        "The secret of task tokens.",
        secret,
        rule="at least 32 bytes",
        required="always",
        secret=True,
    ),
    _row(_FLOW, "ARCO_FLOW_TASK_TOKEN_ISSUER", "The `iss` of task tokens.", required="always"),
    _row(_FLOW, "ARCO_FLOW_TASK_TOKEN_AUDIENCE", "The `aud` of task tokens.", required="always"),
    _row(
        _FLOW,
        "ARCO_FLOW_TASK_TOKEN_TTL_SECS",
        "How long a task token is good.",
        integer(1, 86_400),
        rule="1 to 86400, at least the task timeout + 300",
        required="always",
    ),
    _positive(_FLOW, "ARCO_FLOW_TASK_TIMEOUT_SECS", "How long a task may run.", 1800),
    _row(_FLOW, "ARCO_GCP_PROJECT_ID", "The project of the queue.", rule="required for cloud_tasks"),
    _row(_FLOW, "ARCO_GCP_LOCATION", "The location of the queue.", rule="required for cloud_tasks"),
    _row(_FLOW, "ARCO_FLOW_COMPACTOR_URL", "Where the flow-compactor answers.", url, required=OUTSIDE_DEV),
    _row(
        _FLOW,
        "ARCO_FLOW_WORKER_DISPATCH_SECRET",
        "The header workers recognise dispatches by.",
        secret,
        rule="at least 32 bytes",
        required="always",
        secret=True,
    ),
    _row(_FLOW, "ARCO_FLOW_SERVICE_ACCOUNT_EMAIL", "Who the queue calls as."),
    _row(_FLOW, "ARCO_FLOW_DISPATCH_TARGET_AUDIENCE", "The audience of the queue's calls."),
    _row(
        _FLOW,
        "ARCO_FLOW_RUN_INTERVAL_SECS",
        "How often the loop runs by itself; 0 is only when asked.",
        integer(0),
        rule="at least 0",
        default="0",
    ),
    _positive((SWEEPER,), "ARCO_SWEEPER_SHARDS", "Shards the sweep is cut into.", 16),
    _positive((SWEEPER,), "ARCO_SWEEPER_POLL_SECS", "How often the sweeper looks.", 30),
    _positive(
        (SWEEPER,), "ARCO_SWEEPER_SENT_SECS", "How long a task may be with the queue until it is delivered anew.", 600
    ),
    _row(
        (SWEEPER,),
        "ARCO_FLOW_CATALOG_COMPACTOR_URL",
        "Where the compactor answers, to which lineage of runs is handed; without it lineage waits.",
        url,
        source="",
    ),
    _row(
        (FLOW_COMPACTOR,),
        "ARCO_FLOW_NUDGE_URLS",
        "Dispatcher and sweeper, to be told of news at once; without it they find it when they look.",
        urls,
        rule="comma list of http(s) URLs",
        source="",
    ),
    _positive((SWEEPER,), "ARCO_SWEEPER_BATCH_SIZE", "Rows of one sweep.", 100),
    _positive((SWEEPER,), "ARCO_SEARCH_JOB_MAX_ATTEMPTS", "Attempts of one search job.", 5),
    _row(
        (SWEEPER,),
        "ARCO_SEARCH_JOB_LEASE_SECS",
        "How long a search job is leased.",
        integer(30, 86_400),
        rule="30 to 86400",
        default="300",
    ),
)

ROLE_VARIABLES: Final = (*_COMPACTOR_ROWS, *_INTERNAL_ROWS, *_FLOW_ROWS)
