"""The api role: everything public, over the read model, the ledger and its compactor (architecture.md, Roles)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import arco
from arco.clients.compactor import CompactorClient, HttpTransport, Transport
from arco.config.settings import AUTH_DEBUG, AUTH_DEVELOPMENT, AUTH_HS256, Settings
from arco.config.variables import COMPACTOR, FLOW_COMPACTOR, METRICS
from arco.core.clock import Clock
from arco.core.errors import NotFound
from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.domains.catalog.queries import get_table
from arco.domains.catalog.rows import TableRow
from arco.domains.delta.commands import Clerk, finish_overdue
from arco.domains.lineage.index_cache import IndexCache
from arco.domains.orchestration.commands.gathering import Gathering
from arco.domains.orchestration.definitions import Cutoffs, Definitions
from arco.domains.search.rows import SEARCH
from arco.domains.transactions.commands import Clerk as TransactionClerk
from arco.domains.transactions.root_commands import Clerks as TransactionClerks
from arco.domains.transactions.root_commands import finish_overdue as finish_overdue_transactions
from arco.edge.addresses import ClientAddresses
from arco.edge.app import AppParts, Mounted, build_app
from arco.edge.auth import Authenticator, DebugHeaders, DevelopmentScope
from arco.edge.context import ApiServices, ChainAccess
from arco.edge.cors import CorsRules
from arco.edge.health import Health, version_view
from arco.edge.lifecycle import Lifecycle
from arco.edge.openapi import ApiInfo, openapi_endpoint
from arco.edge.pages import CursorCodec
from arco.edge.probes import health_endpoints, metrics_endpoint
from arco.edge.rates import MINT_BURST, Rate, RateLimits
from arco.edge.reference import API_DESCRIPTION, reference_endpoints
from arco.edge.tokens import BearerTokens, TokenRules
from arco.kernel.cache import ObjectCache
from arco.kernel.ledger import LedgerDesk
from arco.kernel.reading import Snapshot
from arco.kernel.records import COMMITS
from arco.loops.repairs import Repairs
from arco.loops.waking import Waking
from arco.query.files import DataFiles, FolderFiles, StoreFiles
from arco.query.relations import public_relations
from arco.query.running import RunningQueries
from arco.query.sandbox import Sandbox
from arco.query.service import QueryService
from arco.query.shelf import Shelf
from arco.query.wire import QueryLimits
from arco.roles.chains import CATALOG, ServedChain
from arco.roles.credentials import compactor_credentials, user_keys
from arco.roles.flow_chain import orchestration
from arco.roles.following import Followed, make_live
from arco.roles.health import storage_check
from arco.roles.keeping import audit_trail, keep_facts, query_history
from arco.roles.process import PerScope, Process, derived_secret
from arco.roles.queues import task_tokens
from arco.roles.served import ServedRole
from arco.roles.urls import url_desk
from arco.routes.public.callback_measures import CallbackMeasures
from arco.routes.public.everything import API_ENDPOINTS

ROLE: Final = "api"
PREFIX: Final = "/api/v1"
WORKER_SOURCE: Final = "api:worker"
REPAIRER: Final = "api:repair"
"""Who events say they are from when nobody asked for them."""

_URLS: Final = {COMPACTOR: "ARCO_COMPACTOR_URL", FLOW_COMPACTOR: "ARCO_ORCH_COMPACTOR_URL"}


def build(
    settings: Settings,
    process: Process,
    environ: Mapping[str, str],
    *,
    within: Mapping[str, Transport] | None = None,
) -> ServedRole:
    """The api; `within` reaches the writers of the same process by role, others are called by their URLs."""
    lifecycle = Lifecycle()
    ways = Ways(settings, process, within or {})
    services = make_services(settings, process, ways, lifecycle)
    health = Health(
        [storage_check(process.store)],
        role=ROLE,
        version=arco.__version__,
        clock=process.clock,
        log=process.log,
        lifecycle=lifecycle,
    )
    _measure(process.registry, process.cache)
    endpoints = mounted(settings, process, health, environ)
    parts = AppParts(
        role=ROLE,
        clock=process.clock,
        ids=process.ids,
        log=process.log,
        registry=process.registry,
        lifecycle=lifecycle,
        authenticator=authenticator(settings, process),
        body_bytes_max=settings.value("ARCO_MAX_BODY_BYTES"),
        audit=services.audit,
        body_seconds=settings.value("ARCO_HTTP_BODY_TIMEOUT_SECS"),
        cors=_cors(settings),
        rates=_rates(settings, process.clock),
        addresses=ClientAddresses(settings.value("ARCO_TRUSTED_PROXY_CIDRS") or ()),
    )
    app = build_app(endpoints, services, parts)
    repairs = make_repairs(settings, process, services)

    async def close() -> None:
        await repairs.stop()
        await services.heartbeats.stop()
        await services.index_owed.stop()
        await services.query.close()
        if services.audit is not None:
            await services.audit.close()
        await services.facts.close()
        await ways.close()

    return ServedRole(role=ROLE, app=app, lifecycle=lifecycle, health=health, close=close, begin=repairs.start)


def mounted(settings: Settings, process: Process, health: Health, environ: Mapping[str, str]) -> Sequence[Mounted]:
    """Every endpoint of the api with its prefix, the document that describes them included."""
    version = version_view(environ, service="arco-api", package_version=arco.__version__)
    own = [
        *health_endpoints(health, version),
        metrics_endpoint(
            process.registry,
            secret=settings.value("ARCO_METRICS_SECRET"),
            elsewhere=settings.posture == "public" or METRICS in settings.ports,
        ),
        *reference_endpoints(arco.__version__),
    ]
    found: list[Mounted] = [("", endpoint) for endpoint in own]
    found += [(PREFIX, endpoint) for endpoint in API_ENDPOINTS]
    info = ApiInfo(
        title="arco",
        version=arco.__version__,
        description=API_DESCRIPTION,
        anonymous=settings.auth.mode == AUTH_DEVELOPMENT,
    )
    return [*found, ("", openapi_endpoint(found, info))]


class Ways:
    """How the api reaches the writers of its chains: within the process, or over HTTP."""

    def __init__(self, settings: Settings, process: Process, within: Mapping[str, Transport]) -> None:
        self._settings = settings
        self._process = process
        self._within = within
        self._http: list[HttpTransport] = []

    def to(self, role: str) -> Transport:
        """The way to a role."""
        found = self._within.get(role)
        if found is not None:
            return found
        url = self._settings.value(_URLS[role])
        way = HttpTransport(url, compactor_credentials(self._settings, self._process, url))
        self._http.append(way)
        return way

    async def close(self) -> None:
        """Close the connections."""
        for way in self._http:
            await way.close()


def _nobody_asks(_scope: Scope) -> None:
    """There is nobody to tell."""


class _Access:
    """Reading and writing one chain of every workspace."""

    def __init__(
        self, process: Process, served: ServedChain, way: Transport, changed: Callable[[Scope], None] = _nobody_asks
    ) -> None:
        self._changed = changed
        self.readers = PerScope(lambda scope: process.reader(scope, ROLE, served))
        self.compactors = PerScope(lambda scope: CompactorClient(way, scope, process.clock))
        self._process = process
        self.desks = PerScope(self._desk)

    def _desk(self, scope: Scope) -> LedgerDesk:
        return LedgerDesk(
            self._process.scoped_store(scope, ROLE),
            self.compactors(scope),
            clock=self._process.clock,
            ids=self._process.ids,
            on_receipt=partial(self._received, scope),
        )

    def _received(self, scope: Scope, manifest_id: str) -> None:
        self.readers(scope).expect(manifest_id)
        self._changed(scope)


def make_services(settings: Settings, process: Process, ways: Ways, lifecycle: Lifecycle) -> ApiServices:
    """What the handlers are given."""
    own = _Access(process, CATALOG, ways.to(COMPACTOR))
    flow = _Access(process, orchestration(), ways.to(FLOW_COMPACTOR), changed=process.published.tell)
    readers, desks, compactors = own.readers, own.desks, own.compactors
    stores = PerScope(lambda scope: process.scoped_store(scope, ROLE))
    facts = keep_facts(process, desks, readers)
    secret = _cursor_secret(settings, process)
    return ApiServices(
        clock=process.clock,
        ids=process.ids,
        reader_for=readers,
        desk_for=desks,
        store_for=stores,
        cursors=CursorCodec(secret),
        query=_query_service(settings, process),
        queries=RunningQueries(process.clock, process.ids, query_history(settings, process, facts)),
        lineage=IndexCache(process.clock, process.offload, process.log),
        facts=facts,
        audit=audit_trail(settings, process, facts),
        index_owed=Waking(lambda scope: compactors(scope).compact(SEARCH, []), clock=process.clock, log=process.log),
        urls=url_desk(process, readers, secret=secret, prefix=PREFIX),
        flow=ChainAccess(reader_for=flow.readers, desk_for=flow.desks),
        definitions=Definitions(
            Cutoffs(
                settings.value("ARCO_RUN_KEY_FINGERPRINT_CUTOFF"),
                settings.value("ARCO_PARTITION_TIME_STRING_CUTOFF"),
            )
        ),
        task_tokens=task_tokens(settings, process),
        callbacks=CallbackMeasures(process.registry),
        heartbeats=Gathering(flow.desks, process.clock, WORKER_SOURCE),
        operator_group=settings.value("ARCO_ORCH_OPERATOR_GROUP"),
        live=make_live(settings, process, lifecycle, Followed(flow.readers, stores)),
    )


def make_repairs(settings: Settings, process: Process, services: ApiServices) -> Repairs:
    """What finishes for callers who do not come back: in every scope this process was asked about."""

    def failed(what: str) -> Callable[[str, Exception], None]:
        """Nothing that stays undone is passed over in silence."""
        return lambda name, error: process.log.warning(
            "repair_failed", what=what, id=name, error=type(error).__name__, msg=str(error)
        )

    async def delta_commits(scope: Scope) -> int:
        clerk = Clerk(
            desk=services.desk_for(scope),
            reader=services.reader_for(scope),
            store=services.store_for(scope),
            clock=process.clock,
            ids=process.ids,
            source=REPAIRER,
        )
        return await finish_overdue(clerk, failed("delta commit"))

    async def root_transactions(scope: Scope) -> int:
        assert services.flow is not None
        home, runs = (
            TransactionClerk(
                desk=chain.desk_for(scope),
                reader=chain.reader_for(scope),
                clock=process.clock,
                ids=process.ids,
                scope=scope,
                source=REPAIRER,
            )
            for chain in (services, services.flow)
        )
        clerks = TransactionClerks(home=home, runs=runs, store=services.store_for(scope))
        return await finish_overdue_transactions(clerks, failed("root transaction"))

    def scopes() -> list[Scope]:
        asked = services.reader_for.made if isinstance(services.reader_for, PerScope) else []
        own = settings.scope
        return asked if own is None or own in asked else [own, *asked]

    return Repairs(
        scopes,
        [delta_commits, root_transactions],
        clock=process.clock,
        log=process.log,
        interval_ms=settings.value("ARCO_UNFINISHED_INTERVAL_SECS") * 1000,
    )


def authenticator(settings: Settings, process: Process) -> Authenticator:
    """Who decides who is asking."""
    auth = settings.auth
    if auth.mode == AUTH_DEVELOPMENT:
        return DevelopmentScope(settings.scope)
    if auth.mode == AUTH_DEBUG:
        return DebugHeaders()
    rules = TokenRules(
        issuer=auth.issuer,
        audience=auth.audience,
        tenant_claim=auth.tenant_claim,
        workspace_claim=auth.workspace_claim,
        user_claim=auth.user_claim,
        groups_claim=auth.groups_claim,
        issued_at=auth.issued_at,
    )
    return BearerTokens(user_keys(settings, process), rules, process.clock)


def _cursor_secret(settings: Settings, process: Process) -> bytes:
    """Configured, or made from what is secret anyway; a public key is not, so then each process has its own."""
    configured = _bytes(settings.value("ARCO_CURSOR_SECRET"))
    if configured:
        return configured
    if settings.auth.mode == AUTH_HS256:
        return derived_secret("arco-cursors", settings.auth.keys[0])
    if settings.auth.mode in (AUTH_DEVELOPMENT, AUTH_DEBUG):
        return derived_secret("arco-cursors", settings.storage)
    return process.entropy.bytes(32)


def _query_service(settings: Settings, process: Process) -> QueryService:
    killed = process.registry.counter("arco_query_killed_total", "Sandbox children that did not live", ["reason"])
    return QueryService(
        public_relations([*CATALOG.tables, *orchestration().tables, COMMITS]),
        _find_table,
        lambda scope: _data_files(process, scope),
        limits=QueryLimits(
            timeout_s=settings.value("ARCO_QUERY_TIMEOUT_SECS"),
            memory_bytes=settings.value("ARCO_QUERY_MEMORY_MB") << 20,
        ),
        sandbox=Sandbox(
            process.nursery,
            workers=settings.value("ARCO_QUERY_WORKERS"),
            killed=lambda reason: killed.series(reason).inc(),
        ),
        shelf=Shelf(process.clock),
    )


def _data_files(process: Process, scope: Scope) -> DataFiles:
    root = process.local_root(scope)
    return StoreFiles(process.scoped_store(scope, ROLE)) if root is None else FolderFiles(root)


async def _find_table(snapshot: Snapshot, catalog: str, schema: str, table: str) -> TableRow | None:
    try:
        return await get_table(snapshot, catalog, schema, table)
    except NotFound:
        return None


def _cors(settings: Settings) -> CorsRules | None:
    origins = settings.value("ARCO_CORS_ALLOWED_ORIGINS")
    return CorsRules(tuple(origins), settings.value("ARCO_CORS_MAX_AGE_SECONDS")) if origins else None


def _rates(settings: Settings, clock: Clock) -> RateLimits | None:
    """Without credentials there is one developer on loopback, and no limits (architecture.md, Local conventions)."""
    if settings.auth.mode == AUTH_DEVELOPMENT:
        return None
    per_minute, burst = settings.value("ARCO_RATE_DEFAULT_PER_MIN"), settings.value("ARCO_RATE_BURST")
    own = settings.value("ARCO_RATE_PRINCIPAL_PER_MIN")
    mints = settings.value("ARCO_RATE_URL_MINT_PER_MIN")
    return RateLimits(
        clock,
        Rate(per_minute, burst),
        principal=Rate(own, min(burst, own)) if own else None,
        minting=Rate(mints, min(MINT_BURST, mints)),
    )


def _bytes(secret: str | bytes | None) -> bytes | None:
    return secret.encode() if isinstance(secret, str) else secret


def _measure(registry: Registry, cache: ObjectCache) -> None:
    """Publish how the cache of decoded objects does (catalog.md 10)."""
    hits = registry.counter("arco_catalog_read_model_cache_hit_total", "Decoded objects found in memory").series()
    misses = registry.counter("arco_catalog_read_model_cache_miss_total", "Decoded objects not in memory").series()
    held = registry.gauge("arco_catalog_read_model_cache_bytes", "Bytes of decoded objects in memory").series()

    def refresh() -> None:
        hits.value, misses.value = float(cache.hits), float(cache.misses)
        held.set(float(cache.size_bytes))

    registry.before_render(refresh)
