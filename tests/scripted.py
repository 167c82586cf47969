"""The seam to a remote LLM: a client whose replies the test writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

from promptlift.chat.base import AnswerStream, ChatClient, Ending


class ScriptedClient(ChatClient):
    """Answers with what `reply` returns for a prompt, or raises it."""

    def __init__(
        self, reply: Callable[[str], str | Exception], identity: str = "scripted", counts: bool = True
    ) -> None:
        self.name, self.identity = "scripted", identity
        self.prompts: list[str] = []
        self._reply, self._counts = reply, counts
        self._lock = threading.Lock()

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.prompts)

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
        system: str | None = None,
    ) -> AnswerStream:
        """The scripted reply, in one piece."""

        def pieces() -> Generator[str, None, Ending]:
            with self._lock:
                self.prompts.append(prompt)
                text = self._reply(prompt)
            if isinstance(text, Exception):
                raise text
            if text:
                yield text
            return Ending(len(text.split()), False, len(prompt.split())) if self._counts else Ending(None, False)

        return AnswerStream(pieces(), threading.Event())

    def close(self) -> None:
        """Nothing to free."""
