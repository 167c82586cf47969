"""A GGUF as target: llama.cpp in process, through xllamacpp, with the file's own chat template.

Found with xllamacpp 2026.10:
- `verbosity = -1` (or 0) silences llama.cpp wholly, the loading included; no redirection of
  file descriptors is needed. The price: why a file can't be loaded is not said either.
- `handle_chat_completions` blocks its thread and releases the GIL; requests of several
  threads are batched. It swallows what a callback raises, and Ctrl-C in a main thread that
  waits inside it would be lost: each request gets a thread of its own.
- A callback stops the answer by returning True. Without `return_progress` it is first
  called when the whole prompt is read (up to minutes on a CPU); with it, after each batch.
- Errors come as {"error": …}, as the only result or the last chunk; some are raised as
  RuntimeError or ValueError.
- A server that is dropped before its loop has begun hangs for ever, with the GIL held (its
  destructor's "stop" is overwritten by the loop's start). Each of four runs that loaded and
  dropped in a row hung by the second time; a first request through the queue prevents it.
- The server listens on a random port of 127.0.0.1, for every page in a browser (CORS `*`)
  and without a key: it is given a random one. In-process calls need none.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from promptlift.chat.base import AnswerStream, ChatClient, Choice, Ending, first_token_choices, messages, one_line
from promptlift.engines.server import start_server
from promptlift.errors import TargetError

PROMPT_BATCH = 256
"""Tokens of a prompt that are read between two chances to stop."""
TOP_LOGPROBS = 100
"""How many likely first tokens are asked for."""


class GgufClient(ChatClient):
    """A local GGUF that answers in process."""

    def __init__(self, path: Path, name: str, context: int, parallel: int) -> None:
        """Load the file; see `promptlift.chat.open_target`.

        Raises:
            TargetError: the file is missing, no GGUF, or llama.cpp can't load it.
        """
        self.name = name
        self.identity = f"gguf:{_fingerprint(path)}"
        self._context = context
        self._server: Any = _load(path, context, parallel)
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, threading.Event] = {}

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
        request: dict[str, Any] = {
            "messages": messages(prompt, system),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
            # What is in the cache changes the batches and with them the last bits of the
            # numbers: an answer at temperature 0 would depend on the prompts before it.
            "cache_prompt": False,
        }
        if seed is not None:
            request["seed"] = seed
        stop = threading.Event()
        return AnswerStream(self._pieces(request, stop), stop)

    def choose(self, prompt: str, choices: Sequence[str], *, max_tokens: int = 16, system: str | None = None) -> Choice:
        """Which of a few words it would say first, by log-probabilities; see ChatClient.choose. One token is made."""
        request: dict[str, Any] = {
            "messages": messages(prompt, system), "max_tokens": 1, "temperature": 0.0, "cache_prompt": False,
            "logprobs": True, "top_logprobs": TOP_LOGPROBS,
        }  # fmt: skip
        replies: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        stop = threading.Event()
        thread = self._start(request, replies, stop)
        try:
            reply = _get(replies) or {"error": {"message": "it gave no reply"}}
        finally:
            stop.set()
            thread.join()
        if error := reply.get("error"):
            raise self._failure(error)
        (said,) = reply["choices"]
        top = said["logprobs"]["content"][0]["top_logprobs"] if (said.get("logprobs") or {}).get("content") else []
        usage = reply.get("usage") or {}
        return Choice(
            first_token_choices(choices, ((t["token"], t["logprob"]) for t in top)),
            said["message"].get("content") or "", usage.get("completion_tokens"), usage.get("prompt_tokens"),
        )  # fmt: skip

    def close(self) -> None:
        """Cancel what is in work, wait for it, and free the model."""
        with self._lock:
            server, self._server = self._server, None
            running = dict(self._running)
        for stop in running.values():
            stop.set()
        for thread in running:
            thread.join()
        del server  # here, and not in whichever thread ends last

    def _pieces(self, request: dict[str, Any], stop: threading.Event) -> Generator[str, None, Ending]:
        chunks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        thread = self._start(request, chunks, stop)
        tokens: int | None = None
        read: int | None = None
        cut = True  # until the server says how the answer ended
        try:
            while (chunk := _get(chunks)) is not None:
                if error := chunk.get("error"):
                    raise self._failure(error)
                for choice in chunk.get("choices") or []:
                    if piece := choice.get("delta", {}).get("content"):
                        yield piece
                    if choice.get("finish_reason"):
                        cut = choice["finish_reason"] == "length"
                if usage := chunk.get("usage"):
                    tokens, read = usage.get("completion_tokens"), usage.get("prompt_tokens")
        finally:
            stop.set()
            thread.join()
        return Ending(tokens, cut, read)

    def _start(
        self, request: dict[str, Any], chunks: queue.SimpleQueue[dict[str, Any] | None], stop: threading.Event
    ) -> threading.Thread:
        def work(server: Any) -> None:
            def receive(chunk: dict[str, Any]) -> bool:
                chunks.put(chunk)
                return stop.is_set()

            try:
                server.handle_chat_completions(request, receive)
            except Exception as error:  # the consumer raises it as TargetError
                chunks.put({"error": {"message": str(error) or type(error).__name__}})
            finally:
                with self._lock:
                    self._running.pop(threading.current_thread(), None)
                chunks.put(None)

        with self._lock:
            if self._server is None:
                raise TargetError(f"target {self.name!r} is closed; open it again")
            # No daemon: Python must not end while the thread is inside C++.
            thread = threading.Thread(target=work, args=(self._server,), name="promptlift-answer")
            self._running[thread] = stop
            thread.start()
        return thread

    def _failure(self, error: Any) -> TargetError:
        found = error if isinstance(error, dict) else {"message": str(error)}
        if found.get("type") == "exceed_context_size_error":
            return TargetError(
                f"the prompt has {found.get('n_prompt_tokens', 'too many')} tokens, target {self.name!r} can hold "
                f"{found.get('n_ctx', self._context)}; shorten it"
            )
        return TargetError(f"target {self.name!r} failed: {one_line(str(found.get('message', found)))}")


def _fingerprint(path: Path) -> str:
    """Hash of a file's size and its first MiB: all metadata and some weights, in no time."""
    try:
        with path.open("rb") as handle:
            return hashlib.sha256(str(path.stat().st_size).encode() + handle.read(1 << 20)).hexdigest()[:32]
    except OSError as error:
        raise TargetError(f"target {str(path)!r} can't be read: {error.strerror}; give the path of a GGUF") from None


def _load(path: Path, context: int, parallel: int) -> Any:
    """Start xllamacpp's server on a file."""
    try:
        with path.open("rb") as handle:
            magic = handle.read(4)
    except OSError as error:
        raise TargetError(f"target {str(path)!r} can't be read: {error.strerror}; give the path of a GGUF") from None
    if magic != b"GGUF":
        raise TargetError(f"{path} is no GGUF: it begins with {magic!r}; convert the model, or download its GGUF")

    try:
        return start_server(path, context, parallel, batch=PROMPT_BATCH)
    except (RuntimeError, ValueError):
        raise TargetError(
            f"llama.cpp can't load {path}: it is cut short, or of a kind that this version does not know; "
            "download it again, or: pip install --upgrade xllamacpp"
        ) from None


def _get(chunks: queue.SimpleQueue[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The next chunk; it waits in short steps, because on Windows Ctrl-C does not end a wait."""
    while True:
        try:
            return chunks.get(timeout=0.2)
        except queue.Empty:
            continue
