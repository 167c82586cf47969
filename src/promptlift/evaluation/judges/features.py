"""What is known of an answer: its form, and what a local model makes of it.

The model reads prompt, answer, and a question on the answer. The states of a middle layer are kept: their mean over the
answer, and the one at the end of the question, where the model would begin its own rating. They are kept in SQLite by
content, so an answer is read once however often it is compared.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.errors import InputError, MissingExtraError, ModelError
from promptlift.evaluation.judges.form import form_features

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUESTION = (
    "Rate the answer above: is it correct, helpful, complete and to the point? "
    "Reply with one number from 1 (bad) to 10 (excellent)."
)
PROMPT_TOKENS, ANSWER_TOKENS, BATCH_TOKENS = 900, 600, 2048
"""What is read of a prompt and of an answer (the rest is cut off), and what is read at once."""
VERSION = 1

Read = tuple[str, str]
"""A prompt and an answer to it."""


class FeatureCache:
    """Feature vectors in fp16 by the hash of what they depend on. Safe for several processes."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            InputError: it is no SQLite file, or can't be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.execute("CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, vector BLOB NOT NULL)")
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"the cache {path} can't be used ({error}); move it away, or name another") from None

    def get(self, key: str) -> NDArray[np.float16] | None:
        """The vector kept under `key`."""
        import numpy as np

        row = self._db.execute("SELECT vector FROM features WHERE key = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], np.float16)

    def put(self, rows: Iterable[tuple[str, NDArray[np.float16]]]) -> None:
        """Keep vectors; they are on the disk when this returns."""
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT OR REPLACE INTO features VALUES (?, ?)", [(key, vector.tobytes()) for key, vector in rows]
        )
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Reader:
    """A causal LM that reads answers, up to one of its layers; loaded when something has to be read."""

    def __init__(self, base: str, identity: str, layer: int, cache: FeatureCache) -> None:
        """Nothing is loaded yet.

        Args:
            base: a GGUF, a folder or a hub id; see `promptlift.base_model.load_base`.
            identity: of its weights, for the cache.
            layer: whose output is taken, from 1; the model is cut off behind it.
            cache: stays the caller's to close.
        """
        self._base, self._identity, self._layer, self._cache = base, identity, layer, cache
        self._model: Any = None
        self._tokenizer: Any = None
        self._frame = ("", "", "")

    def features(
        self, reads: Sequence[Read], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Feature vectors, (len(reads), 2 d + k): the mean over the answer, the state at the end, the form.

        Raises:
            MissingExtraError: torch is not installed, and something has to be read.
            ModelError: the base can't be loaded.
        """
        import numpy as np

        keys = [self._key(read) for read in reads]
        found = {key: self._cache.get(key) for key in dict.fromkeys(keys)}
        todo = {key: read for key, read in zip(keys, reads, strict=True) if found[key] is None}
        done = len(found) - len(todo)
        if progress:
            progress(done, len(found))
        if todo:
            for made in self._read(todo):
                self._cache.put(made)
                found.update(made)
                done += len(made)
                if progress:
                    progress(done, len(found))
        if not reads:
            return np.zeros((0, 0), np.float32)
        states = np.stack([found[key] for key in keys]).astype(np.float32)  # type: ignore[misc]
        form = np.asarray([form_features(*read) for read in reads], np.float32)
        return np.concatenate([states, form], axis=1)

    def _key(self, read: Read) -> str:
        content = [VERSION, self._identity, self._layer, *read]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _read(self, todo: dict[str, Read]) -> Iterable[list[tuple[str, NDArray[np.float16]]]]:
        """Batches of vectors, the shortest texts first, so that little is padded."""
        import numpy as np

        self._load()
        import torch

        laid = {key: self._lay_out(read) for key, read in todo.items()}
        order = sorted(laid, key=lambda key: sum(map(len, laid[key])))
        while order:
            longest = sum(map(len, laid[order[min(len(order), 16) - 1]]))
            count = max(1, min(16, BATCH_TOKENS // longest))
            batch, order = order[:count], order[count:]
            rows = [[token for part in laid[key] for token in part] for key in batch]
            width = max(map(len, rows))
            tokens, mask = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
            for place, row in enumerate(rows):
                tokens[place, : len(row)], mask[place, : len(row)] = torch.tensor(row), 1
            with torch.inference_mode():
                states = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
            made = []
            for place, key in enumerate(batch):
                before, answer, after = map(len, laid[key])
                mean = states[place, before : before + answer].mean(0)
                end = states[place, before + answer + after - 1]
                made.append((key, torch.cat([mean, end]).numpy().astype(np.float16)))
            yield made

    def _lay_out(self, read: Read) -> tuple[list[int], list[int], list[int]]:
        """Tokens before the answer, of the answer, and after it."""
        before, between, after = self._frame

        def tokens(text: str, most: int | None = None) -> list[int]:
            found: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
            return found[:most]

        prompt, answer = read
        return (
            tokens(before) + tokens(prompt, PROMPT_TOKENS) + tokens(between),
            tokens(answer or " ", ANSWER_TOKENS) or tokens(" "),
            tokens(after),
        )

    def _load(self) -> None:
        if self._model is not None:
            return
        try:
            import torch
        except ImportError:
            raise MissingExtraError("a trained judge", "train") from None
        from promptlift.base_model import load_base

        base = load_base(self._base, torch.bfloat16)
        trunk = getattr(base.model, "model", None)
        norm = next((name for name in ("norm", "final_layernorm") if hasattr(trunk, name)), None)
        if trunk is None or norm is None or not 1 <= self._layer <= len(getattr(trunk, "layers", ())):
            known = len(getattr(trunk, "layers", ())) if norm else "no"
            raise ModelError(
                f"base {self._base!r} has {known} layers that can be read, and layer {self._layer} is wanted; "
                "choose another --layer, or a base of the Llama, Qwen, Gemma or Phi families"
            )
        trunk.eval()
        trunk.layers = trunk.layers[: self._layer]
        setattr(trunk, norm, torch.nn.Identity())  # it belongs behind the last layer
        self._model, self._tokenizer, self._frame = trunk, base.tokenizer, frame(base.tokenizer)


def frame(tokenizer: Any) -> tuple[str, str, str]:
    """What stands before the prompt, between prompt and answer, and behind the answer, in the chat template.

    A system message that the template adds by itself is left out: who the model is told to be has no use here, and
    would be read again with every answer.
    """
    if not tokenizer.chat_template:
        return "Prompt:\n", "\n\nAnswer:\n", f"\n\n{QUESTION}\n"
    prompt, answer = "\0", "\1"
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]

    def render(messages: list[dict[str, str]], open_end: bool) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_end))

    before, rest = render([*turns, {"role": "user", "content": QUESTION}], True).split(prompt)
    between, after = rest.split(answer)
    closed = render(turns, False).split(answer)[1]
    user_turn = after.split(QUESTION)[0].removeprefix(closed)
    if user_turn and before.endswith(user_turn):
        start = tokenizer.bos_token or ""
        before = (start if start and before.startswith(start) else "") + user_turn
    return before, between, after
