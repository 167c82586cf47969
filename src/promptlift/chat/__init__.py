"""Clients for targets: the LLMs that answer prompts.

For example::

    with open_target("smollm2") as target:            # the embedded model, in process
        print(target.answer("why do cats purr").text)

    open_target("qwen.gguf")                          # a local file, in process
    open_target("gpt-4o-mini", base_url="https://api.openai.com/v1")   # key: $OPENAI_API_KEY
"""

from __future__ import annotations

from pathlib import Path

from promptlift.chat.base import Answer, AnswerStream, ChatClient, Choice
from promptlift.errors import TargetError

__all__ = ["BUILTIN_TARGETS", "Answer", "AnswerStream", "ChatClient", "Choice", "open_target"]

BUILTIN_TARGETS = ("embedded", "smollm2")
"""Names of the embedded model: it serves as a target, too."""


def open_target(
    spec: str,
    *,
    base_url: str | None = None,
    model: str | None = None,
    gguf: str | Path | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    timeout: float = 120.0,
    max_retries: int = 2,
    context: int = 8192,
    parallel: int = 2,
) -> ChatClient:
    """Open the LLM that will answer prompts.

    Args:
        spec: the target's name. Alone it says which LLM that is: "embedded" or "smollm2", or a
            path that ends in .gguf. With `base_url` it is the model's name there, too; "" asks
            the endpoint for the only model that it has.
        base_url: an OpenAI-compatible endpoint, such as http://localhost:8080/v1.
        model: the model's name at the endpoint, where it is not `spec`.
        gguf: a GGUF that answers in process, where it is not `spec`.
        api_key_env: the environment variable that holds the endpoint's key; local endpoints
            mostly need none.
        timeout: seconds that an endpoint may stay silent.
        max_retries: how often a request is repeated, with back-off, after a lost connection,
            a timeout, 429 or 5xx.
        context: tokens that prompt and answer may have together (in process).
        parallel: requests in work at once (in process); each takes memory for `context` tokens.

    Raises:
        TargetError: there is no such target, the file is no model, or the URL is none.
        ModelError: the embedded model can't be had.
    """
    if base_url is not None and gguf is not None:
        raise TargetError("a target is either a GGUF or an endpoint: give gguf or base_url, not both")
    if base_url is not None:
        from promptlift.chat.remote import EndpointClient

        return EndpointClient(base_url, model or spec or None, api_key_env, timeout, max_retries)

    from promptlift.chat.local import GgufClient

    if gguf is not None:
        return GgufClient(Path(gguf).expanduser(), spec or Path(gguf).stem, context, parallel)
    if spec.lower().endswith(".gguf"):
        return GgufClient(Path(spec).expanduser(), Path(spec).stem, context, parallel)
    if spec in BUILTIN_TARGETS:
        from promptlift.models import embedded_gguf

        return GgufClient(embedded_gguf(), "smollm2", context, parallel)
    raise TargetError(
        f"no target {spec!r}: it is neither built in ({', '.join(BUILTIN_TARGETS)}) nor a path that ends in .gguf; "
        "for a model behind an API give its --base-url"
    )
