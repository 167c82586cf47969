"""An OpenAI-compatible endpoint as target, through the `openai` package."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from promptlift.chat.base import (
    Answer,
    AnswerStream,
    ChatClient,
    Choice,
    Ending,
    first_token_choices,
    messages,
)
from promptlift.chat.faults import Endpoint, Malformed
from promptlift.errors import TargetError

if TYPE_CHECKING:
    import openai

CONNECT_SECONDS = 10.0
_NOT_TAKEN = re.compile(r"unsupported|not supported|does not support|unrecogni[sz]ed|unknown|not permitted|unexpected")
TOP_LOGPROBS = 20
"""How many likely first tokens are asked for: the most that OpenAI's API allows."""
_OPTIONAL = ("max_tokens", "temperature", "seed", "stream_options")


class EndpointClient(ChatClient):
    """A model at an OpenAI-compatible endpoint.

    Attributes:
        refused: the request parameters that this model does not take (such as `temperature`,
            for some reasoning models) and that are left out since it said so.
    """

    def __init__(self, base_url: str, model: str | None, api_key_env: str, timeout: float, max_retries: int) -> None:
        """Prepare the client; see `promptlift.chat.open_target`.

        Raises:
            TargetError: the URL or the key has a wrong form, or no model is named and the
                endpoint does not have exactly one.
        """
        host, shown = _check_url(base_url)
        key = _key(api_key_env)
        import openai

        # A proxy that is set for the web must not be asked for this machine.
        http = openai.DefaultHttpxClient(trust_env=False) if host in ("localhost", "127.0.0.1", "::1") else None
        self._client: openai.OpenAI = openai.OpenAI(
            base_url=base_url,
            api_key=key or "none",  # the package insists on one
            timeout=openai.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            max_retries=max_retries,
            http_client=http,
        )
        self._endpoint = Endpoint(self._client, shown, api_key_env, key, timeout, max_retries)
        self.refused: set[str] = set()
        self._closed = False
        try:
            self.name = model or self._endpoint.only_model()
        except BaseException:
            self.close()
            raise
        self.identity = f"endpoint:{shown}:{self.name}"

    def answer(
        self,
        prompt: str,
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
        system: str | None = None,
    ) -> Answer:
        """The whole answer; see ChatClient.answer. Not streamed: failures are repeated wholly."""
        request = self._request(prompt, max_tokens, temperature, seed, system)
        started = perf_counter()
        with self._faults():
            reply, choice, text = self._reply(request)
        seconds = perf_counter() - started
        return Answer(text or "", _tokens(reply), choice.finish_reason == "length", seconds, _read(reply))

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
        system: str | None = None,
    ) -> AnswerStream:
        """The answer piece by piece; see ChatClient.answer."""
        request = self._request(prompt, max_tokens, temperature, seed, system)
        request |= {"stream": True, "stream_options": {"include_usage": True}}
        stop = threading.Event()
        return AnswerStream(self._pieces(request, stop), stop)

    def choose(self, prompt: str, choices: Sequence[str], *, max_tokens: int = 16, system: str | None = None) -> Choice:
        """Which of a few words it replies with; see ChatClient.choose. Endpoints without log-probabilities tell none.

        The first token is enough where log-probabilities are told, but whether they are is known only from a reply.
        """
        request = self._request(prompt, max_tokens, 0.0, 0, system) | {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        with self._faults():
            reply, choice, text = self._reply(request)
            told = getattr(getattr(choice, "logprobs", None), "content", None)
            top = getattr(told[0], "top_logprobs", None) if isinstance(told, list) and told else None
            probabilities = first_token_choices(choices, ((t.token, t.logprob) for t in top)) if top else None
        return Choice(probabilities, text or "", _tokens(reply), _read(reply))

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        self._client.close()

    def _pieces(self, request: dict[str, Any], stop: threading.Event) -> Generator[str, None, Ending]:
        tokens: int | None = None
        read: int | None = None
        finish: str | None = None
        last: Any = None
        with self._faults():
            chunks = self._create(request)
            if not hasattr(chunks, "close"):
                raise Malformed(chunks)  # a page instead of a stream
            try:
                for last in chunks:
                    if stop.is_set():
                        return Ending(tokens, True, read)
                    tokens = _tokens(last) if _tokens(last) is not None else tokens
                    read = _read(last) if _read(last) is not None else read
                    if (choice := _choice(last)) is None:
                        continue
                    finish = getattr(choice, "finish_reason", None) or finish
                    piece = getattr(getattr(choice, "delta", None), "content", None)
                    if not isinstance(piece, str | None):
                        raise Malformed(last)
                    if piece:
                        yield piece
            finally:
                chunks.close()
            if finish is None:
                raise Malformed(last, "its answer stopped in the middle")
        return Ending(tokens, finish == "length", read)

    def _request(
        self, prompt: str, max_tokens: int, temperature: float, seed: int | None, system: str | None
    ) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.name, "messages": messages(prompt, system)}
        request |= {"max_tokens": max_tokens, "temperature": temperature}
        return request if seed is None else request | {"seed": seed}

    def _reply(self, request: dict[str, Any]) -> tuple[Any, Any, str | None]:
        """A whole reply, its choice, and the text of that."""
        reply = self._create(request)
        choice = _choice(reply)
        text = getattr(getattr(choice, "message", None), "content", None) if choice else None
        if choice is None or not isinstance(text, str | None):
            raise Malformed(reply)
        return reply, choice, text

    def _create(self, request: dict[str, Any]) -> Any:
        """Send a request; without a parameter if the model says that it does not take it."""
        import openai

        while True:
            sent = {name: value for name, value in request.items() if name not in self.refused}
            if "max_tokens" in self.refused:
                sent["max_completion_tokens"] = request["max_tokens"]  # OpenAI's newer name for it
            try:
                return self._client.chat.completions.create(**sent)
            except (openai.BadRequestError, openai.PermissionDeniedError, openai.UnprocessableEntityError) as error:
                said = str(error).lower()
                if "logprobs" in sent and "logprob" in said:  # said in many ways, and one is of no use alone
                    self.refused.update(("logprobs", "top_logprobs"))
                    continue
                name = next((n for n in _OPTIONAL if n in sent and (error.param == n or f"{n}'" in said)), None)
                if name is None or not _NOT_TAKEN.search(said):
                    raise
                self.refused.add(name)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn whatever goes wrong at the endpoint into TargetError."""
        if self._closed:
            raise TargetError(f"target {self.name!r} is closed; open it again")
        try:
            yield
        except TargetError:
            raise
        except Exception as error:  # openai 2 lets errors of httpx and json through in a stream
            raise self._endpoint.explain(error, self.name) from None


def _check_url(base_url: str) -> tuple[str, str]:
    """The host, and the URL without what may be secret: user, password, query."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host:
        raise TargetError("the base URL must look like http://localhost:8080/v1 or https://api.openai.com/v1")
    where = f"[{host}]" if ":" in host else host
    return host, urlunsplit((parts.scheme, where + (f":{port}" if port else ""), parts.path, "", ""))


def _key(api_key_env: str) -> str | None:
    """The key; the HTTP library's own error on one that no header can hold would print it."""
    key = os.environ.get(api_key_env, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise TargetError(f"the key in {api_key_env} holds characters that no key has: a line break? set it again")
    return key or None


def _choice(reply: Any) -> Any:
    """The first choice of a reply or chunk; None if there is none. The package does not check replies."""
    choices = getattr(reply, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _tokens(reply: Any) -> int | None:
    tokens = getattr(getattr(reply, "usage", None), "completion_tokens", None)
    return tokens if isinstance(tokens, int) else None


def _read(reply: Any) -> int | None:
    tokens = getattr(getattr(reply, "usage", None), "prompt_tokens", None)
    return tokens if isinstance(tokens, int) else None
