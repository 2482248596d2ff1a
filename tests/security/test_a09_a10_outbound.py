"""A-09 and A-10 for what a process fetches by itself, the keys of tokens: only public hosts, only bounded answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from aiohttp import web
from tests.unit.config.environments import COMPACTOR, PROD_API

from arco.clients.outbound import Outbound, OutboundFailed
from arco.config.problems import EXIT_CODE, Problems
from arco.config.settings import load
from arco.config.urls import WORDING, may_call

NOT_PUBLIC = [
    "http://169.254.169.254/",
    "https://169.254.169.254/",
    "https://0xA9FEA9FE/",
    "https://2852039166/",
    "https://0251.0376.0251.0376/",
    "https://[::ffff:169.254.169.254]/",
    "https://[fd00:ec2::254]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://[::1]/",
    "https://[::]/",
    "https://0.0.0.0/",
    "http://127.0.0.1:8081/compact",
    "https://127.0.0.1:8081/compact",
    "https://localhost./",
    "https://localhost/",
    "https://api.localhost/",
    "https://metadata.google.internal/",
    "https://metadata/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://224.0.0.1/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "ftp://example.com/",
    "http://example.com/",
    "https://user@host@evil/",
    "https://good.example@169.254.169.254/",
    "https://evil#@good.example/",
    "https://evil.example?x=https://good.example",
    "https://\u0430pple.com/",
    "https://ex\u2024ample.com/",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:99999/",
    "https:///path",
    "https://exa mple.com/",
    "//example.com/",
    "",
]


@pytest.mark.parametrize("url", [url for url in NOT_PUBLIC if url])
def test_a09_a_key_set_that_is_not_on_a_public_host_stops_the_start(url):
    for role, environ, name in (
        ("api", {**PROD_API, "ARCO_JWT_SECRET": ""}, "ARCO_JWT_JWKS_URL"),
        ("compactor", _oidc(), "ARCO_INTERNAL_AUTH_JWKS_URL"),
    ):
        found = load(role, {**environ, name: url})
        assert isinstance(found, Problems)
        assert name in {problem.variable for problem in found.problems}
        assert EXIT_CODE == 78


def _oidc() -> dict[str, str]:
    more = {"MODE": "gcp_oidc", "ISSUER": "https://i.example", "AUDIENCE": "a", "ALLOWED_SUBS": "s"}
    internal = {f"ARCO_INTERNAL_AUTH_{name}": value for name, value in more.items()}
    return {**COMPACTOR, "ARCO_ENVIRONMENT": "prod", "ARCO_STORAGE_BUCKET": "gs://bucket", **internal}


@pytest.mark.parametrize("url", NOT_PUBLIC)
async def test_a09_what_is_fetched_is_checked_again_when_it_is_fetched(url):
    asked: list[str] = []

    async def resolver(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"]

    with pytest.raises(OutboundFailed, match=WORDING[:20]):
        await Outbound(resolver=resolver).get(url)
    assert asked == []


@pytest.mark.parametrize("url", ["https://169.254.169.254/", "http://10.0.0.1/", "https://metadata.google.internal/"])
async def test_a09_in_dev_this_machine_may_be_called_and_nothing_else_that_is_private(url):
    with pytest.raises(OutboundFailed, match=WORDING[:20]):
        await Outbound(loopback=True).get(url)


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:10.0.0.1"], ["fe80::1%eth0"], ["not an address"], []],
    ids=str,
)
async def test_a10_a_public_name_that_resolves_to_a_private_address_is_not_called(addresses):
    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return addresses

    with pytest.raises(OutboundFailed, match=WORDING[:20]):
        await Outbound(resolver=resolver).get("https://keys.example.com/")


def test_a10_every_form_of_an_address_means_the_same():
    assert may_call("93.184.216.34")
    assert may_call("2606:2800:220:1:248:1893:25c8:1946")
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0"):
        assert not may_call(address)
    assert may_call("127.0.0.1", loopback=True)
    assert not may_call("10.0.0.1", loopback=True)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Host:
    """A server on loopback that answers as badly as a test wants."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://localhost:{self.port}{path}"

    async def good(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"fine")

    async def elsewhere(self, _request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(self.url("/secret"))

    async def secret(self, _request: web.Request) -> web.StreamResponse:
        self.paths.append("/secret")
        return web.Response(body=b"secret of the inside")

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except ConnectionError:
            return response

    async def dribbling(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        except ConnectionError:
            return response

    async def failing(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="upstream words")

    async def packed(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x1f\x8b", headers={"content-encoding": "gzip"})


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    app = web.Application()
    for name in ("good", "elsewhere", "secret", "endless", "dribbling", "failing", "packed"):
        app.router.add_get(f"/{name}", getattr(host, name))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.port = runner.addresses[0][1]
    try:
        yield host
    finally:
        await runner.cleanup()


async def _here(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def outbound(**more: float) -> Outbound:
    return Outbound(loopback=True, resolver=_here, **more)  # type: ignore[arg-type]  # seconds and bytes


async def test_a10_a_name_is_resolved_once_and_connected_to_as_it_was_resolved(host):
    asked: list[str] = []

    async def rebinding(name: str, _port: int) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    assert await Outbound(loopback=True, resolver=rebinding).get(host.url("/good")) == b"fine"
    assert asked == ["localhost"]


async def test_a10_a_redirect_is_an_answer_and_is_not_followed(host):
    with pytest.raises(OutboundFailed, match="answered 302"):
        await outbound().get(host.url("/elsewhere"))
    assert host.paths == []


async def test_a10_a_body_without_end_is_cut(host):
    with pytest.raises(OutboundFailed, match="more than 1048576 bytes"):
        await outbound().get(host.url("/endless"))


async def test_a10_a_dribble_ends_at_the_deadline(host):
    with pytest.raises(OutboundFailed, match="no answer within"):
        await outbound(timeout_s=0.3).get(host.url("/dribbling"))


async def test_a10_what_the_other_side_says_is_not_repeated(host):
    with pytest.raises(OutboundFailed) as told:
        await outbound().get(host.url("/failing"))
    assert "upstream" not in str(told.value)


async def test_a10_a_packed_answer_that_nobody_asked_for_is_refused(host):
    with pytest.raises(OutboundFailed, match="encoding"):
        await outbound().get(host.url("/packed"))


async def test_a10_a_host_that_is_not_there_is_a_failure_like_any_other():
    with pytest.raises(OutboundFailed, match="no answer"):
        await outbound().get("http://localhost:1/")
