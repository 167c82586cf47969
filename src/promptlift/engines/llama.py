"""The default engine: llama.cpp in process, through xllamacpp.

One server holds the prompter and batches the slots' work token by token. A slot is
pinned for the two requests of one rewrite (score, then write), so that the second finds
the first one's state and computes only what is new.

Adapters are LoRAs on the head, loaded beside the model and chosen by the request. llama.cpp
clears a slot whose adapter changes, so a lease takes a slot that had the same one if it can.
It has no call to load one later: a new adapter means a new server on the same file, started
beside the old one, which takes over when the work in hand is done.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift import template
from promptlift.engines.adapter import adapter_gguf
from promptlift.engines.base import ContextOverflowError, Engine, Sampling, Written
from promptlift.engines.server import start_server
from promptlift.engines.slots import Turn
from promptlift.errors import EngineError

if TYPE_CHECKING:
    from promptlift.adapters import Adapter

CONTEXT = 2048
"""Tokens a slot can hold: the prompt as shown and what is written."""
TOP, EVERY = 20, 1_000_000
SURE = 7.0
"""Nats between one answer and the least of the top tokens from which the other can move P(change) by 0.001 at most."""


class LlamaEngine(Engine):
    """A prompter's engine-ready GGUF in llama.cpp."""

    def __init__(
        self, gguf: Path, slots: int = 1, threads: int | None = None, adapters: Sequence[Adapter] = ()
    ) -> None:
        """Load the model.

        Args:
            gguf: the engine-ready file (see `promptlift.engines.build`).
            slots: prompts in work at once; each holds CONTEXT tokens.
            threads: of the computation; all cores by default.
            adapters: loaded at once; see `add` for later ones.

        Raises:
            EngineError: llama.cpp can't load the file, or run one of the adapters.
            ArtifactError: an adapter doesn't fit the prompter.
        """
        self._gguf, self._threads = gguf, threads
        self._files = {adapter.version: adapter_gguf(adapter, gguf) for adapter in adapters}
        self._slots = slots
        self._server: Any = self._start(self._files)
        self._turn = Turn(slots)
        self._adding = threading.Lock()

    def _start(self, files: dict[str, Path]) -> Any:
        try:
            return start_server(self._gguf, CONTEXT, self._slots, self._threads, adapters=list(files.values()))
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"llama.cpp can't load {self._gguf}: {error}; remove the file and run: promptlift setup"
            ) from None

    @property
    def slots(self) -> int:
        """How many prompts can be in work at once."""
        return self._slots

    @property
    def adapters(self) -> frozenset[str]:
        """The versions of the loaded adapters."""
        return frozenset(self._files)

    def add(self, adapters: Sequence[Adapter]) -> None:
        """Load more adapters: a new server takes over when the work in hand is done (under a second)."""
        with self._adding:
            fresh = {a.version: adapter_gguf(a, self._gguf) for a in adapters if a.version not in self._files}
            if not fresh:
                return
            if self._server is None:
                raise EngineError("the engine is closed; load the prompter again")
            files = self._files | fresh
            server = self._start(files)
            with self._turn.all_slots():
                self._server, self._files = server, files

    def lease(self, adapter: str | None = None) -> int:
        """Take a free slot, waiting for one if need be; one that had the same adapter, if there is one."""
        assert adapter is None or adapter in self._files, f"{adapter} was not added"
        return self._turn.take(adapter)

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self._turn.give(slot)

    def score(self, question: str, slot: int) -> float:
        """P(change), from the log-probabilities of the one token after `question`."""
        found: dict[str, float] = {}
        for count in (TOP, EVERY):
            request: dict[str, Any] = {"prompt": question, "n_predict": 1, "n_probs": count, "id_slot": slot}
            # Where it picks a token that is a part of a character, it tells no probabilities: so it picks YES. Those
            # that it tells are from before the bias.
            request |= {"temperature": 0, "logit_bias": [[template.YES, 1000.0]]}
            # The slot's last prompt begins as this one does; going on from there would make other batches, and with
            # them other last bits, than a fresh slot: what is written would depend on what came before.
            request["cache_prompt"] = False
            top = self._complete(request)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            found = {entry["token"]: float(entry["logprob"]) for entry in top}
            floor = min(found.values())  # a token that is not among them has less than this
            yes, no = found.get(template.YES, floor), found.get(template.NO, floor)
            # A trained prompter names both among the first. Where an adapter lifts other tokens over one of
            # them, or the model is no prompter, all are asked for, unless the other is sure enough.
            if (template.YES in found and template.NO in found) or abs(yes - no) > SURE:
                break
        return 1.0 / (1.0 + math.exp(min(no - yes, 700.0)))

    def write(
        self,
        prefix: str,
        slot: int,
        sampling: Sampling,
        max_tokens: int,
        on_text: Callable[[str], bool] | None = None,
        until: str | None = None,
    ) -> Written:
        """Continue `prefix`; see Engine.write."""
        request: dict[str, Any] = {
            "prompt": prefix,
            "n_predict": max_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
            "id_slot": slot,
        }
        request |= {"top_k": 1} if sampling.temperature <= 0 else {"top_p": sampling.top_p, "top_k": 0}
        request |= {"stop": [until]} if until else {}
        if on_text is None:
            reply = self._complete(request)
            choice = reply["choices"][0]
            return Written(choice["text"], choice["finish_reason"] == "stop", reply["usage"]["completion_tokens"])
        pieces: list[str] = []
        last: dict[str, Any] = {}
        failure: list[BaseException] = []

        def receive(chunk: dict[str, Any]) -> bool:
            # An exception must not travel through C++: keep it, stop, raise it afterwards.
            try:
                last.update(chunk)
                if chunk.get("error"):
                    return True
                piece = chunk["choices"][0]["text"]
                pieces.append(piece)
                return bool(piece) and on_text(piece)
            except BaseException as error:
                failure.append(error)
                return True

        self._complete(request | {"stream": True}, receive)
        if failure:
            raise failure[0]
        _raise_error(last)
        finished = bool(last) and last["choices"][0].get("finish_reason") == "stop"
        return Written("".join(pieces), finished, len(pieces))

    def close(self) -> None:
        """Stop the server and free the model."""
        self._server = None

    def _complete(self, request: dict[str, Any], callback: Callable[[dict[str, Any]], bool] | None = None) -> Any:
        server = self._server
        if server is None:
            raise EngineError("the engine is closed; load the prompter again")
        if self._files:
            wanted = self._turn.adapter_of(request["id_slot"])
            # every adapter must be named: one that isn't keeps the scale that it had
            lora = [{"id": k, "scale": float(version == wanted)} for k, version in enumerate(self._files)]
            request = request | {"lora": lora}
        try:
            if callback is not None:
                return server.handle_completions(request, callback)
            reply = server.handle_completions(request)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"llama.cpp failed: {error}") from None
        _raise_error(reply)
        return reply


def _raise_error(reply: Any) -> None:
    """Turn the server's error object into an exception."""
    found = reply if isinstance(reply, dict) else {}
    error = found.get("error") or (found if "choices" not in found and "message" in found else None)
    if not error:
        return
    message = error.get("message", str(error)) if isinstance(error, dict) else str(error)
    if "context" in message or (isinstance(error, dict) and error.get("type") == "exceed_context_size_error"):
        raise ContextOverflowError(f"the prompt does not fit into {CONTEXT} tokens")
    raise EngineError(f"llama.cpp failed: {message}")
