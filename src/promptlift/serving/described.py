"""What the OpenAPI description says of the endpoints that are passed on: their bodies are the upstream's matter."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from promptlift.serving.access import OPEN

_PROXIED = {
    "/v1/chat/completions": "Chat, with the user's turns rewritten",
    "/v1/responses": "Responses, with the user's input rewritten",
    "/v1/completions": "Completions, with the prompt rewritten",
}
_HEADERS = {
    "X-Promptlift-Turns": {"type": "string", "enum": ["first", "every", "never"]},
    "X-Promptlift-Target": {"type": "string"},
    "X-Promptlift-Show": {"type": "string", "enum": ["0", "1", "true", "false"]},
}
_TOLD = {
    "X-Promptlift": {"type": "string", "enum": ["rewritten", "unchanged"]},
    "X-Promptlift-Reason": {"type": "string"},
    "X-Promptlift-Ms": {"type": "number"},
    "X-Promptlift-Prompter": {"type": "string"},
    "X-Promptlift-Rewrite": {"type": "string"},
    "X-Promptlift-Rewrite-Omitted": {"type": "string"},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def describe(app: FastAPI) -> None:
    """Add the proxied endpoints and our error form to an application's description."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = made()
            found.setdefault("components", {}).setdefault("schemas", {})["Error"] = _ERROR
            for path, operations in found["paths"].items():
                for operation in operations.values():
                    _put_errors(operation, path in OPEN)
            found["paths"] |= {path: {"post": _operation(path, text)} for path, text in _PROXIED.items()}
            found["paths"]["/v1/models"] = {"get": _passed("models", "The upstream's models")}
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _put_errors(operation: dict[str, Any], is_open: bool) -> None:
    """FastAPI describes its own 422; ours are 400 and of OpenAI's form."""
    errors = {"403": "Called by another name or origin"}
    if operation["responses"].pop("422", None) is not None:
        errors |= {"400": "The body can't be used", "408": "The body did not come in time"}
        errors |= {"413": "The body is too large", "415": "The body is not said to be JSON"}
    if not is_open:
        errors |= {"401": "The server's key is needed", "503": "Too much at once, or it can't be saved"}
    operation["responses"] |= {status: _error(text) for status, text in errors.items()}


def _error(text: str) -> dict[str, Any]:
    schema = {"schema": {"$ref": "#/components/schemas/Error"}}
    return {"description": text, "content": {"application/json": schema}}


def _operation(path: str, text: str) -> dict[str, Any]:
    found = _passed(path.removeprefix("/v1/").replace("/", "_"), text)
    found["parameters"] = [{"name": name, "in": "header", "schema": schema} for name, schema in _HEADERS.items()]
    found["requestBody"] = {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True}
    found["responses"]["default"]["headers"] = {name: {"schema": schema} for name, schema in _TOLD.items()}
    return found


def _passed(name: str, text: str) -> dict[str, Any]:
    return {
        "summary": text,
        "operationId": name,
        "tags": ["passed on"],
        "responses": {"default": {"description": "The upstream's answer, byte for byte; or an error of OpenAI's form"}},
    }
