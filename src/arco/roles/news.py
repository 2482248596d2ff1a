"""Nudges within a process: who has published something about runs says so, who acts on it hears; best effort."""

from collections.abc import Callable

from arco.core.scope import Scope

Listener = Callable[[Scope], None]


class News:
    """Says that there is news in a workspace to everybody who listens."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Hear of news from now on; a listener returns at once."""
        self._listeners.append(listener)

    def tell(self, scope: Scope) -> None:
        """There is news."""
        for listener in self._listeners:
            listener(scope)
