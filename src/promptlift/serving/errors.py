"""Errors in OpenAI's form, for whoever answers with one."""

from __future__ import annotations

import json
from typing import Any

from promptlift.serving.headers import Headers


def error(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The object that OpenAI's clients read."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


async def send_error(send: Any, status: int, kind: str, code: str, message: str, headers: Headers) -> None:
    """Answer an ASGI request with an error, and these headers beside those of its body."""
    body = json.dumps(error(message, kind, code=code)).encode()
    told = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body, "more_body": False})
