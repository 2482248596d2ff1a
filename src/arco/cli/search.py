"""`arco search`: schemas, tables and columns by the words in them, best first."""

from argparse import Namespace
from typing import Any, Final

from arco.cli.failures import OK
from arco.cli.render import Table, counted
from arco.cli.session import client_of
from arco.cli.terminal import Terminal
from arco.clients.api import ApiClient

_PAGE: Final = 100
_PAGES_MAX: Final = 50
"""Pages asked for at most: words that are common apart but never meet are looked for no further."""

_KINDS: Final = {"namespace": "schema"}
_FIELDS: Final = {"column_description": "column description"}


def search(args: Namespace, terminal: Terminal) -> int:
    """Show what holds every word, best first."""
    with client_of(args) as client, terminal.step("searching"):
        found = _found(client, args)
    if terminal.as_json:
        terminal.document(found)
        return OK
    results = found["results"]
    if not results and found["more"]:
        terminal.say("nothing found so far: these words are common and hardly ever meet; another word would help")
    elif not results:
        terminal.say("nothing has every one of these words")
    else:
        rows = [[one["full_name"], _KINDS.get(one["type"], one["type"]), _match(one)] for one in results]
        more = "; more with --limit" if found["more"] else ""
        terminal.table(Table(["name", "type", "found in"], rows), counted(len(results), "result") + more)
    if found["index"] != "ready":
        terminal.note("the index of this catalog is still being built: there may be more, ask again")
    return OK


def _found(client: ApiClient, args: Namespace) -> dict[str, Any]:
    query = {"q": " ".join(args.words), "limit": str(min(args.limit, _PAGE))}
    query |= {"type": args.type.replace("schema", "namespace")} if args.type else {}
    query |= {"catalog": args.catalog} if args.catalog else {}
    results: list[Any] = []
    for _ in range(_PAGES_MAX):
        page = client.get("/search", query).json()
        results += page["results"]
        cursor = page.get("next_cursor")
        if cursor is None or len(results) >= args.limit:
            break
        query["cursor"] = cursor
    more = cursor is not None or len(results) > args.limit
    return {"results": results[: args.limit], "more": more, "index": page["index"]}


def _match(result: dict[str, Any]) -> str:
    if result["rank"] == "exact_name":
        return "name"
    texts = dict.fromkeys(f"{_FIELDS.get(one['field'], one['field'])} {one['text']}" for one in result["matches"])
    return ", ".join(texts)
