"""Which headers pass, in either direction, and promptlift's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, get_args
from urllib.parse import quote

from promptlift.serving.settings import Turns

Headers = list[tuple[bytes, bytes]]

OUTCOME = b"x-promptlift"
OURS = b"x-promptlift-"
KEY = b"x-promptlift-key"
SHOWN_BYTES = 8000
"""Of X-Promptlift-Rewrite: clients and proxies refuse headers much above this."""

# RFC 9110, section 7.6.1: of one connection only.
_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade".split()
)
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")


class Wishes(NamedTuple):
    """What a request's headers ask for; `valid` is False if one has a value that is not allowed."""

    turns: Turns | None = None
    target: str | None = None
    show: bool = False
    valid: bool = True


def wishes(headers: Iterable[tuple[bytes, bytes]]) -> Wishes:
    """Read the X-Promptlift headers of a request."""
    found = Wishes()
    for name, value in headers:
        text = value.decode("latin-1").strip()
        if name == b"x-promptlift-turns":
            turns = next((known for known in get_args(Turns) if known == text.lower()), None)
            found = found._replace(turns=turns, valid=found.valid and turns is not None)
        elif name == b"x-promptlift-target":
            found = found._replace(target=text or None)
        elif name == b"x-promptlift-show":
            known = text.lower() in ("0", "1", "true", "false")
            found = found._replace(show=text.lower() in ("1", "true"), valid=found.valid and known)
    return found


def to_upstream(headers: Headers, host: bytes, authorization: bytes | None, keep_authorization: bool) -> Headers:
    """A request's headers as they are sent on, without those that tell of the body's length.

    Args:
        headers: of the client, names in lower case.
        host: of the upstream.
        authorization: the server's own, for the upstream; it takes the place of the client's.
        keep_authorization: the client's is meant for the upstream.
    """
    gone = _HOP | _listed(headers) | {b"host", b"content-length", b"expect"}
    if authorization is not None or not keep_authorization:
        gone |= {b"authorization"}
    kept = [(n, v) for n, v in headers if n not in gone and not n.startswith(OURS) and n != OUTCOME]
    return [(b"host", host), *kept, *([(b"authorization", authorization)] if authorization is not None else [])]


def to_client(headers: Iterable[tuple[bytes, bytes]], status: int = 200) -> Headers:
    """The upstream's headers as they are handed on; what no server may send is left out."""
    lower = [(name.lower(), value) for name, value in headers]
    gone = _HOP | _listed(lower)
    if status in (204, 304) or any(name == b"transfer-encoding" for name, _ in lower):
        gone |= {b"content-length"}  # of no body that follows here
    return [
        (n, v) for n, v in lower
        if n not in gone and not n.startswith(OURS) and n != OUTCOME and _NAME.fullmatch(n) and _VALUE.fullmatch(v)
    ]  # fmt: skip


def outcome(changed: bool, reason: str | None, milliseconds: float, prompter: str | None, shown: str | None) -> Headers:
    """What is told of the rewriting."""
    found = [(OUTCOME, b"rewritten" if changed else b"unchanged")]
    if reason is not None:
        found.append((b"x-promptlift-reason", reason.encode("ascii", "replace")))
    found.append((b"x-promptlift-ms", f"{milliseconds:.1f}".encode()))
    if prompter is not None:
        found.append((b"x-promptlift-prompter", quote(prompter, safe="@.:/+ ").encode()))
    if shown is not None:
        value = quote(shown, errors="replace").encode()
        if len(value) <= SHOWN_BYTES:
            found.append((b"x-promptlift-rewrite", value))
        else:
            found.append((b"x-promptlift-rewrite-omitted", b"too long for a header; POST /v1/rewrite gives it"))
    return found


def _listed(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The headers that `Connection` names: they are of this connection, too."""
    return {part.strip().lower() for name, value in headers if name == b"connection" for part in value.split(b",")}
