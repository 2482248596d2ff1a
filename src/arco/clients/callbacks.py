"""The api as a worker sees it: three callbacks about one attempt, and its logs (orchestration.md 7.3, 7.4, 6.3).

An answer is an answer whatever it says: 2xx with an empty body counts as success, every status is given back with what
its body tells. `NoAnswer` is raised when nothing can be known of what the api did; `Answer.transient` says when asking
again later may do better.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

TIMEOUT_S: Final = 30.0
_BODY_BYTES_MAX: Final = 256 * 1024
_TRANSIENT: Final = frozenset({408, 425, 429})
_ENDED: Final = frozenset({409, 410})


class NoAnswer(Exception):
    """The api did not answer: it may have heard, or not."""


class Answer(msgspec.Struct, frozen=True):
    """What the api said. `error` is the code of a refusal, `retry_after_s` how long it asks to be left alone."""

    status: int
    body: dict[str, Any]
    retry_after_s: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the report was taken."""
        return 200 <= self.status < 300

    @property
    def ended(self) -> bool:
        """Whether the attempt is over for the api: another report about it changes nothing."""
        return self.status in _ENDED

    @property
    def transient(self) -> bool:
        """Whether the same report may be taken later."""
        return self.status >= 500 or self.status in _TRANSIENT

    @property
    def error(self) -> str:
        """The code of a refusal, or nothing."""
        found = self.body.get("error")
        return found if isinstance(found, str) else ""


class Task(msgspec.Struct, frozen=True):
    """Which task a report is about, and the token that lets it in."""

    task_id: str
    token: str

    def __repr__(self) -> str:
        return f"Task({self.task_id!r})"


class LogText(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an attempt wrote."""

    task_key: str
    attempt: int
    stdout: str
    stderr: str


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who reports: the api's base URL, the agent's name, the key for logs, and headers for an api in debug mode."""

    base_url: str
    agent: str
    workspace: str
    api_key: str | None = None
    debug_headers: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Caller({self.base_url!r})"


class Callbacks:
    """Reports of one worker to one api, over connections that are kept."""

    def __init__(self, caller: Caller, *, timeout_s: float = TIMEOUT_S) -> None:
        self._caller = caller
        self._timeout_s = timeout_s
        self._session: Any = None

    async def report(self, task: Task, what: str, body: Mapping[str, Any] | msgspec.Raw) -> Answer:
        """Report `started`, `heartbeat` or `completed`. Raises `NoAnswer`."""
        path = f"/api/v1/tasks/{quote(task.task_id, safe='')}/{what}"
        return await self._post(path, {"authorization": f"Bearer {task.token}"}, body)

    async def upload(self, run_id: str, text: LogText) -> Answer:
        """Upload what an attempt wrote. Raises `NoAnswer`."""
        path = f"/api/v1/workspaces/{quote(self._caller.workspace, safe='')}/runs/{quote(run_id, safe='')}/logs"
        key = self._caller.api_key
        return await self._post(path, {"authorization": f"Bearer {key}"} if key else {}, text)

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        answer, _ = await self._exchange(path, headers, body, bytes_max=_BODY_BYTES_MAX)
        return answer

    async def _exchange(
        self, path: str, headers: Mapping[str, str], body: Any, *, bytes_max: int
    ) -> tuple[Answer, bytes]:
        """The api's answer, and the text of its body. Raises `NoAnswer`."""
        import aiohttp  # noqa: PLC0415  # only who reports needs the client

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            timeout = aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=10)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        sent = {
            "content-type": "application/json",
            "user-agent": self._caller.agent,
            **self._caller.debug_headers,
            **headers,
        }
        try:
            async with self._session.post(
                self._caller.base_url + path, data=msgspec.json.encode(body), headers=sent, allow_redirects=False
            ) as response:
                text = await _read(response.content, bytes_max)
                wait_s = _seconds(response.headers.get("retry-after", ""))
                return Answer(response.status, _object(text), wait_s), text
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswer(type(error).__name__) from None


async def _read(content: Any, bytes_max: int) -> bytes:
    """The body, or its beginning: one read gives what has arrived, which may be less."""
    found = b""
    while len(found) < bytes_max and (piece := await content.read(bytes_max - len(found))):
        found += piece
    return found


def _object(text: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _seconds(text: str) -> int:
    return min(int(text), 300) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
