"""What every command that talks to the server shares: the client its flags name, and times as people read them."""

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from arco.clients.api import ApiClient, target_from


@contextmanager
def client_of(args: Namespace) -> Iterator[ApiClient]:
    """A client for the server and scope that the flags and the environment name."""
    client = ApiClient(target_from(os.environ, url=args.url, tenant=args.tenant, workspace=args.workspace))
    try:
        yield client
    finally:
        client.close()


def moment(text: Any) -> str:
    """A time of the api as people read it: `2026-01-01 00:00:00`, UTC."""
    return text[:19].replace("T", " ") if isinstance(text, str) else ""
