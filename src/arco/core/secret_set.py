"""Comparing secrets so that the time it takes tells nothing (abuse-cases.md A-12)."""

import hashlib
import hmac


class SecretSet:
    """A few secrets, any of which is good: two while one of them is being replaced."""

    def __init__(self, *secrets: str) -> None:
        self._digests = tuple(_digest(secret) for secret in secrets if secret)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def holds(self, offered: str) -> bool:
        """Whether the text is one of the secrets; every one is compared, over digests of equal length."""
        given = _digest(offered)
        same = [hmac.compare_digest(given, known) for known in self._digests]
        return any(same)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
