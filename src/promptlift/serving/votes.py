"""A person's votes on answers to raw and to rewritten prompts, kept as the folder of an evaluation run.

Each pair of answers stands in the run as one of its prompts (docs/evaluation-run.md), and in the blind export `blind`
as a comparison; verdicts.jsonl holds the votes, as `promptlift evaluate import-verdicts` reads them.

A vote touches several files. After each write the folder can be imported: what a file refers to is written before it,
and nothing is taken out. The vote itself is written first, so that the next one finishes what was broken off.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from promptlift.errors import InputError, RecordError
from promptlift.evaluation.by_file import exported, extend_blind
from promptlift.evaluation.comparing import Comparison, Winner
from promptlift.evaluation.folder import Answered, Asked, Prompt, RunFolder
from promptlift.evaluation.judging import Match
from promptlift.records import read_jsonl, write_jsonl

EXPORT = "blind"
"""The name that `import-verdicts` reads unless it is told another."""
JUDGE = "me"
SOURCE = "votes"
UNFINISHED = "unfinished-vote.jsonl"
OTHERS = ("texts/prompts.jsonl", "texts/asked.jsonl", "answers.jsonl", "outcomes.jsonl", "verdicts.jsonl", "blind")
"""What a folder holds that somebody else began."""

_TURN = threading.Lock()


@dataclass(frozen=True)
class Vote:
    """What a person said of two answers, not knowing which was which.

    Attributes:
        model: that answered; the report's target.
        prompt: as the person typed it.
        rewrite: what the prompter made of it.
        answer_raw: to the prompt.
        answer_rewritten: to the rewrite.
        winner: whose answer is better.
        first: whose answer was shown first.
    """

    model: str
    prompt: str
    rewrite: str
    answer_raw: str
    answer_rewritten: str
    winner: Literal["raw", "rewritten", "tie"]
    first: Literal["raw", "rewritten"]

    @property
    def shown(self) -> Comparison:
        """What the person saw."""
        rewritten_first = self.match.comparison
        return rewritten_first if self.first == "rewritten" else rewritten_first.swapped()

    @property
    def match(self) -> Match:
        """The row of the run that it is about; its id is the same wherever the answers stood."""
        key = Comparison.of(self.prompt, self.answer_raw, self.answer_rewritten).id
        prompt = Prompt(key, self.prompt, SOURCE)
        return Match(self.model, prompt, "rewritten", "raw", self.answer_rewritten, self.answer_raw)


class Votes:
    """Keeps votes in a folder of their own; threads and processes may add to it at once."""

    def __init__(self, path: Path) -> None:
        """Nothing is written before the first vote.

        Args:
            path: the folder; it is made, or gone on with.

        Raises:
            InputError: the path is a file, or a folder with something else in it.
        """
        self._run = RunFolder(path)
        self._verdicts = path / "verdicts.jsonl"
        self._check_folder()

    @property
    def count(self) -> int:
        """How many votes there are; a vote that replaced another does not add to them.

        Raises:
            RecordError: a line of the verdicts or of the key is damaged.
        """
        winners = self._winners()  # before the key, which has them all at any time
        return sum(len(pairs) for key, pairs in exported(self._run, EXPORT).items() if key in winners)

    @property
    def command(self) -> str:
        """The line that reads the votes and writes their report."""
        words = ["promptlift", "evaluate", "import-verdicts", str(self._run.path), str(self._verdicts)]
        return shlex.join([*words, "--judge", JUDGE])

    def add(self, vote: Vote) -> tuple[str, int]:
        """Keep a vote. One on the same two answers is replaced.

        A vote that is broken off (a kill, a full disk) is not lost once it was written down: the next one finishes it.

        Returns:
            The comparison's id in verdicts.jsonl, and how many votes there are. Where the two texts were voted on
            before in the other order, the id is that order's, and the winner is turned: one pair has one verdict.

        Raises:
            InputError: the vote says nothing, or contradicts what every report takes for granted; the folder holds
                something else, or is damaged.
            OSError: a file can't be written.
        """
        _check(vote)
        self._check_folder()
        with self._turn():
            self._check_folder()  # whatever happened while it waited
            # Before all else: from now on the folder is known as one of votes, however little of it there is.
            if not self._run.settings().get("votes"):
                self._run.keep_settings(format=1, votes=True)
            unfinished = self._run.texts / UNFINISHED
            if unfinished.exists():
                self._keep(_read(unfinished))
            self._run.write_texts(UNFINISHED, [asdict(vote)])
            key = self._keep(vote)
            unfinished.unlink()
            return key, self.count

    def _keep(self, vote: Vote) -> str:
        """Write a vote's files, each before those that refer to it; a second time nothing changes."""
        match, model = vote.match, vote.model
        key = match.prompt.id
        asked = [
            Asked(model, key, "raw", vote.prompt, False),
            Asked(model, key, "rewritten", vote.rewrite, vote.rewrite != vote.prompt),
        ]
        said = [Answered(model, key, "raw", vote.answer_raw), Answered(model, key, "rewritten", vote.answer_rewritten)]
        self._run.add(model, match.prompt, asked, said)
        shown = extend_blind(self._run, EXPORT, vote.shown, match)
        winners = self._winners() | {shown.id: _winner(vote, shown)}
        write_jsonl(self._verdicts, ({"id": key, "winner": winner} for key, winner in winners.items()))
        return shown.id

    def _winners(self) -> dict[str, str]:
        if not self._verdicts.exists():
            return {}
        return {str(row.get("id")): str(row.get("winner")) for _, row in read_jsonl(self._verdicts)}

    def _check_folder(self) -> None:
        path = self._run.path
        if path.exists() and not path.is_dir():
            raise InputError(f"votes can't be kept in {path}: it is a file; name a folder")
        # In this order: whoever began it with a vote has marked run.json before there were any of these.
        found = [name for name in OTHERS if (path / name).exists()]
        settings = self._run.settings()
        if not settings.get("votes") and (found or "prompts_hash" in settings):
            raise InputError(
                f"votes can't be kept in {path}: it was begun by something else and holds "
                f"{found[0] if found else 'run.json'}; name a folder of their own"
            )
        if "prompts_hash" in settings and not (path / OTHERS[0]).exists():
            raise InputError(
                f"votes can't be added to {path}: its {OTHERS[0]} is gone; restore it, or name another folder"
            )

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until nobody else writes: no thread, and where there are locks (not on Windows), no process."""
        with _TURN:
            if sys.platform == "win32":
                yield
                return
            import fcntl

            self._run.texts.mkdir(parents=True, exist_ok=True)
            # In texts/, which git leaves alone. It is never removed: another process may wait for it.
            with (self._run.texts / ".lock").open("ab") as lock:
                with contextlib.suppress(OSError):  # some network disks have no locks
                    fcntl.flock(lock, fcntl.LOCK_EX)
                yield


def _check(vote: Vote) -> None:
    """Refuse a vote that no report can count."""
    for name, value, allowed in (
        ("winner", vote.winner, ("raw", "rewritten", "tie")),
        ("first", vote.first, ("raw", "rewritten")),
    ):
        if value not in allowed:
            raise InputError(f"a vote's {name} is {value!r:.40}; it must be {', '.join(allowed[:-1])} or {allowed[-1]}")
    for name, text in (("model", vote.model), ("prompt", vote.prompt)):
        if not text.strip():
            raise InputError(f"a vote's {name} is {text!r:.40}; it must not be empty")
    settled = vote.match.settled()
    better = "rewritten" if settled == 1 else "raw"
    if settled == 0:
        what = "the same text" if vote.answer_raw.strip() else "empty"
        raise InputError(f"both answers are {what}: there is nothing to vote on; ask again, or another prompt")
    # An empty answer has lost already, in every report. A vote that says so is kept, or its side would seem better.
    if settled is not None and vote.winner != better:
        raise InputError(
            f"the vote is {vote.winner!r}, but one answer is empty and loses without a judge: only {better!r} can win"
        )


def _winner(vote: Vote, shown: Comparison) -> Winner:
    """The vote's winner, in the order of a comparison of the same texts."""
    if vote.winner == "tie":
        return "tie"
    better = vote.answer_raw if vote.winner == "raw" else vote.answer_rewritten
    return "a" if better == shown.answer_a else "b"


def _read(file: Path) -> Vote:
    for _, row in read_jsonl(file):
        with contextlib.suppress(TypeError):
            return Vote(**row)
    raise RecordError(f"{file} holds no vote; delete it to go on without that vote")
