"""What goes wrong at an endpoint, said in one line that holds no secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from promptlift.chat.base import one_line
from promptlift.errors import TargetError

if TYPE_CHECKING:
    import openai

LIST_SECONDS = 5.0
SHOWN_MODELS = 8
_OVERFLOW = ("exceed_context_size", "context_length_exceeded", "context length", "context size", "context window")


class Malformed(Exception):
    """A reply that is not what the API promises."""

    def __init__(self, reply: object, what: str = "its answer is not that of a chat API") -> None:
        super().__init__(what)
        self.reply = reply


@dataclass(frozen=True)
class Endpoint:
    """What is known about an endpoint; `url` is fit to be shown, `key` never is."""

    client: openai.OpenAI = field(repr=False)
    url: str
    key_env: str
    key: str | None = field(repr=False)
    timeout: float
    max_retries: int

    def models(self) -> list[str]:
        """The names of its models; asked once, for a short time.

        Raises:
            Exception: of any kind, if it can't say.
        """
        page = self.client.with_options(max_retries=0, timeout=min(self.timeout, LIST_SECONDS)).models.list()
        return sorted(str(model.id) for model in page.data)

    def only_model(self) -> str:
        """The name of the only model that it has; TargetError if it has none or several."""
        try:
            names = self.models()
        except Exception as error:
            raise self.explain(error, None) from None
        if len(names) != 1:
            raise TargetError(f"{self.url} has {_listed(names)}; name one of them")
        return names[0]

    def explain(self, error: Exception, model: str | None) -> TargetError:
        """The error that the user sees."""
        import openai

        if isinstance(error, openai.APITimeoutError):
            message = f"was silent for {self.timeout:g} s{self._tries()}; look at the server, or allow more time"
        elif isinstance(error, openai.APIConnectionError):
            message = f"can't be reached: {_root(error)}{self._tries()}; is the server running, and the URL right?"
        elif isinstance(error, openai.APIStatusError):
            message = self._status(error, model)
        elif isinstance(error, openai.APIError):  # sent within a stream
            said = _said(error)
            broken = f"failed in the middle of its answer: {said}"
            message = self._overflow(said, model) if _overflows(error) else broken
        elif isinstance(error, Malformed):
            # The key is hidden before the cut: half a key would not be found.
            shown = f" (it begins with {self._hide(error.reply)[:60]!r})" if isinstance(error.reply, str) else ""
            message = f"can't be understood: {error}{shown}; is the URL right? Most end in /v1"
        elif isinstance(error, ValueError | TypeError | AttributeError):
            message = f"can't be understood: {type(error).__name__}: {error}; is the URL right? Most end in /v1"
        else:
            message = f"broke off its answer: {type(error).__name__}: {error}"
        return TargetError(one_line(self._hide(f"{self.url} {message}"), limit=500))

    def _status(self, error: openai.APIStatusError, model: str | None) -> str:
        status, said = error.status_code, _said(error)
        if status == 401 and self.key is None:
            return f"wants a key: put it in the environment variable {self.key_env}"
        if status == 401:
            return f"refuses the key in the environment variable {self.key_env}; check it"
        if status == 403:
            return f"denies access with the key in {self.key_env} (403): {said}"
        if status == 404:
            return self._missing(model)
        if status == 429:
            return f"is at its limit (429{self._tries()}): {said}; wait a while, or look at the account's quota"
        if status in (400, 413, 422) and _overflows(error):
            return self._overflow(said, model)
        return f"answered {status}{self._tries() if status >= 500 else ''}: {said}"

    def _overflow(self, said: str, model: str | None) -> str:
        return f"can't fit the prompt and its answer into the context of {model!r}: {said}; shorten the prompt"

    def _missing(self, model: str | None) -> str:
        try:
            names = self.models()
        except Exception:  # it answers nothing here: the URL is more likely wrong than the model
            return f"answered 404 (not found) for model {model!r}; is the URL right? Most end in /v1"
        if model in names:
            return f"answered 404 (not found), though it lists model {model!r}; can that model chat?"
        return f"has no model {model!r}; it has {_listed(names)}"

    def _tries(self) -> str:
        return f", {self.max_retries + 1} times" if self.max_retries else ""

    def _hide(self, text: str) -> str:
        """Remove the key: some servers and libraries repeat what they were sent."""
        return text.replace(self.key, "[key]") if self.key else text


def _listed(names: list[str]) -> str:
    if not names:
        return "no models"
    more = f" and {len(names) - SHOWN_MODELS} more" if len(names) > SHOWN_MODELS else ""
    return ", ".join(names[:SHOWN_MODELS]) + more


def _said(error: openai.APIError) -> str:
    """The endpoint's own words."""
    body: Any = error.body
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body.get("error") or body
    # The whole is cut later, after the key is hidden: half a key would not be found.
    return one_line(str(body or error.message), limit=10_000) or "nothing"


def _overflows(error: openai.APIError) -> bool:
    words = f"{error.type} {error.code} {_said(error)}".lower()
    return any(word in words for word in _OVERFLOW)


def _root(error: BaseException) -> str:
    """The innermost cause: `[Errno 111] Connection refused` says more than `Connection error.`"""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
