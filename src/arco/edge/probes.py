"""The unauthenticated routes every role serves: health, readiness, version, metrics (catalog.md 4.2)."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from arco.core.metrics import CONTENT_TYPE, Registry
from arco.core.secret_set import SecretSet
from arco.edge.codec import reply
from arco.edge.endpoint import Endpoint
from arco.edge.health import DEGRADED, NOT_READY, READY, Health, ReadinessView, ReadyView, StatusView, VersionView
from arco.edge.process_metrics import observe_process
from arco.edge.refusals import Forbidden, UnknownPath

Handler = Callable[[Request], Awaitable[Response]]
_TAG = "operations"


def health_endpoints(health: Health, version: VersionView, *, ready: Handler | None = None) -> list[Endpoint]:
    """`/health /health/live /ready /health/ready /version`; `ready` replaces the short readiness answer of a role."""

    async def alive(_request: Request) -> Response:
        return reply(StatusView("ok"))

    async def live(_request: Request) -> Response:
        return reply(StatusView("stuck"), 503) if health.stuck else reply(StatusView("ok"))

    async def ready_short(_request: Request) -> Response:
        found = await health.readiness()
        if found.status in (READY, DEGRADED):
            return reply(ReadyView(ready=True))
        return reply(ReadyView(ready=False, message=_why(found)), 503)

    async def ready_full(_request: Request) -> Response:
        found = await health.readiness()
        return reply(found, 503 if found.status == NOT_READY else 200)

    async def build(_request: Request) -> Response:
        return reply(version)

    def probe(path: str, handler: Handler, summary: str, view: type, *, may_fail: bool = False) -> Endpoint:
        return Endpoint(
            method="GET",
            path=path,
            handler=handler,
            summary=summary,
            tag=_TAG,
            responses={200: view, 503: view} if may_fail else {200: view},
            public=True,
        )

    return [
        probe("/health", alive, "Is the process alive", StatusView),
        probe("/health/live", live, "Does the event loop turn", StatusView, may_fail=True),
        probe("/ready", ready or ready_short, "May this process get traffic", ReadyView, may_fail=True),
        probe("/health/ready", ready_full, "State of every dependency", ReadinessView, may_fail=True),
        probe("/version", build, "Which build answers", VersionView),
    ]


def metrics_endpoint(registry: Registry, *, secret: str | None = None, elsewhere: bool = False) -> Endpoint:
    """`/metrics` as Prometheus text: 404 when they are `elsewhere`, 403 without the secret when one is set."""

    observe_process(registry)
    known = SecretSet(secret or "")

    async def metrics(request: Request) -> Response:
        if elsewhere:
            raise UnknownPath
        if known and not _knows(request, known):
            raise Forbidden("The metrics secret is missing or wrong; send it as X-Metrics-Secret or as a bearer token")
        return Response(registry.render(), headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return Endpoint(
        method="GET",
        path="/metrics",
        handler=metrics,
        summary="Metrics of this process",
        tag=_TAG,
        responses={200: str},
        errors=(403, 404),
        media=(CONTENT_TYPE.partition(";")[0],),
        public=True,
    )


def _knows(request: Request, known: SecretSet) -> bool:
    given = request.headers.get("x-metrics-secret", "")
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    offers = [known.holds(offer.strip()) for offer in (given, bearer)]
    return any(offers)


def _why(found: ReadinessView) -> str:
    bad = [each for each in found.dependencies if each.essential and each.status == NOT_READY]
    return "; ".join(f"{each.name}: {each.detail or 'not ready'}" for each in bad)
