"""From pairs to an adapter folder: features, filter, split, training, files."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift import __version__, adapters
from promptlift.adapters import TENSORS, AdapterManifest
from promptlift.artifacts import PrompterFolder, sha256_of, write_manifest
from promptlift.errors import InputError, MissingExtraError
from promptlift.records import Pair, Strength
from promptlift.training.folder import work_folder
from promptlift.training.layout import hash_pairs

if TYPE_CHECKING:
    from promptlift.training.features import Features
    from promptlift.training.head import AdaptedHead
    from promptlift.training.settings import StageTwoSettings
    from promptlift.training.shortlist import BaseMass

LEAST = 20
"""Pairs below which nothing is trained: the held-out ones would be one or two."""
Progress = Callable[[str, int, int], None]
"""Called with (stage, done, in all)."""


@dataclass(frozen=True)
class Prepared:
    """Features, the base's word on them, and which rows are learnt from."""

    found: Features
    mass: BaseMass
    training: list[int]
    held_out: list[int]
    strange: int
    """Rows left out because the unadapted prompter finds them too strange."""


def prepare(
    folder: PrompterFolder,
    pairs: Sequence[Pair],
    settings: StageTwoSettings,
    base: str | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Prepared:
    """What stage 2 trains on.

    Raises:
        InputError: too few pairs are left.
    """
    from promptlift.training.features import FeatureRequest, features
    from promptlift.training.shortlist import base_mass
    from promptlift.training.split import split
    from promptlift.training.trunk import load_trunk

    told = progress or (lambda stage, done, total: None)
    strengths = sides_of(pairs, folder.manifest.strengths)
    request = FeatureRequest(folder.trunk, pairs, strengths, settings.max_tokens, settings.dtype)
    found = features(
        request, lambda: load_trunk(folder, settings.dtype, base), lambda a, b: told("features", a, b), cache
    )
    learnt, _ = split(pairs, settings.validation, settings.seed)
    known = {pair.id for pair in learnt}
    training = [k for k, (pair, _) in enumerate(found.rows) if pair in known]
    if not training or len(training) == len(found.rows):
        raise InputError(f"{len(pairs)} pairs can't be split; give more, or change --validation")
    mass = base_mass(found, settings.shortlist, training, lambda a, b: told("vocabulary", a, b))
    spans = list(zip(found.offsets, found.offsets[1:], strict=False))
    most = settings.most_loss
    usual = {k for k, (start, end) in enumerate(spans) if most is None or mass.losses[start:end].mean() <= most}
    training, held_out = [k for k in training if k in usual], sorted(usual - set(training))
    if len(usual) < LEAST or not training or not held_out:
        raise InputError(
            f"{len(usual)} of {len(spans)} pairs can be learnt from, {LEAST} are needed, one of them held out; give "
            f"more pairs, or raise --most-loss (now {most}): it leaves out what the unadapted prompter finds stranger"
        )
    return Prepared(found, mass, training, held_out, len(spans) - len(usual))


def sides_of(pairs: Sequence[Pair], known: Sequence[Strength]) -> tuple[Strength, ...]:
    """The strengths of the prompter that the pairs can teach.

    Raises:
        InputError: none.
    """
    from promptlift import template

    def fits(pair: Pair, strength: Strength) -> bool:
        try:
            return pair.is_identity or bool(template.completion(pair, strength))
        except ValueError:
            return False

    found = tuple(strength for strength in known if all(fits(pair, strength) for pair in pairs))
    if not found:
        raise InputError(f"the pairs have no side that this prompter knows ({', '.join(known)}) for every prompt")
    return found


def adapt(
    folder: PrompterFolder,
    target: str,
    pairs: Sequence[Pair],
    settings: StageTwoSettings,
    *,
    source: dict[str, Any] | None = None,
    base: str | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> adapters.Adapter:
    """Train a target's adapter and put it beside the prompter's others.

    Args:
        folder: the prompter.
        target: its name.
        pairs: in the target's words.
        settings: of stage 2.
        source: where the pairs come from, for the manifest.
        base: where the prompter's base is, if not where the manifest says.
        resume: go on from a killed run's checkpoint.
        progress: told about the advance.
        cache: instead of the user's.

    Raises:
        InputError: the name or the pairs can't be used.
        MissingExtraError: torch is not installed.
        ModelError: the base can't be loaded.
    """
    place = adapters.place_of(folder, target)
    try:
        from promptlift.training.head_loss import token_losses
        from promptlift.training.progress import TrainerProgress
        from promptlift.training.stage_two import train_head
    except ImportError as error:
        raise MissingExtraError(f"adapting ({error.name})", "train") from None
    ready = prepare(folder, pairs, settings, base, progress, cache)
    place.parent.mkdir(parents=True, exist_ok=True)
    data = hash_pairs(pairs)
    work = work_folder(place, {"trunk": folder.trunk, "data": data, **asdict(settings)}, resume)
    found = train_head(
        ready.found, ready.mass, ready.training, ready.held_out, settings, work, [TrainerProgress(progress)]
    )
    head = rounded(found.head)
    at = ready.found.positions(ready.held_out)
    after = float(token_losses(head, ready.found.values[at], ready.found.goals[at]).mean())
    low_rank = settings.form == "low-rank"
    manifest = AdapterManifest(
        format=adapters.FORMAT,
        target=target,
        form=settings.form,
        rank=settings.rank if low_rank else 0,
        linear_rank=settings.linear_rank if low_rank else 0,
        trunk=folder.trunk,
        strengths=sorted({strength for _, strength in ready.found.rows}),
        fixed=list(ready.found.head.fixed),
        standing="unmeasured",
        why=None,
        pairs=len({ready.found.rows[k][0] for k in [*ready.training, *ready.held_out]}),
        loss_before=round(float(ready.mass.losses[at].mean()), 4),
        loss_after=round(after, 4),
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        training=asdict(replace(settings, learning_rate=settings.rate))
        | {
            "promptlift": __version__,
            "left_out_as_strange": ready.strange,
            "held_out_rows": len(ready.held_out),
            "seconds": round(found.seconds, 1),
            "history": found.history,
        },
        data_sha256=data,
        source=source or {},
        files={},
    )
    at_last = write_adapter(head, folder, manifest)
    shutil.rmtree(work, ignore_errors=True)
    return at_last


def rounded(head: AdaptedHead) -> AdaptedHead:
    """The head with its weights as fp16 holds them: what is saved is what was measured."""
    import torch

    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(parameter.half().to(parameter.dtype))
    return head


def write_adapter(head: AdaptedHead, folder: PrompterFolder, manifest: AdapterManifest) -> adapters.Adapter:
    """Write tensors and manifest beside their place, then put them there."""
    import torch
    from safetensors.torch import save_file

    from promptlift.training.head import LowRankHead

    home = adapters.homes(folder)[0]
    fresh = home / f".{adapters.slug(manifest.target)}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    tensors = {_STORED[name]: p.detach().half().contiguous() for name, p in head.named_parameters()}
    if isinstance(head, LowRankHead) and head.ids is not None:
        tensors["head.ids"] = head.ids.to(torch.int32)
    save_file(tensors, fresh / TENSORS)
    manifest.files = {TENSORS: sha256_of(fresh / TENSORS)}
    write_manifest(fresh, manifest)
    return adapters.load(adapters.place(folder, manifest.target, fresh), folder)


_STORED = {
    "linear_a": "linear.A", "linear_b": "linear.B", "head_a": "head.A", "head_b": "head.B",
    "linear_weight": "linear.weight", "linear_bias": "linear.bias", "head_weight": "head.weight",
}  # fmt: skip


def head_from(adapter: adapters.Adapter, base: Any) -> AdaptedHead:
    """A saved adapter as a module over a base's head.

    Raises:
        ArtifactError: the tensors don't fit the base.
    """
    import torch

    from promptlift.errors import ArtifactError
    from promptlift.training.head import FullHead, LowRankHead

    m = adapter.manifest
    stored = adapter.tensors()
    ids = torch.from_numpy(stored["head.ids"]).long() if "head.ids" in stored else None
    head: AdaptedHead = FullHead(base) if m.form == "full" else LowRankHead(base, m.rank, m.linear_rank, ids)
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            tensor = torch.from_numpy(stored[_STORED[name]])
            if tensor.shape != parameter.shape:
                raise ArtifactError(
                    f"{adapter.path / TENSORS}: {_STORED[name]} is {tuple(tensor.shape)}, the base needs "
                    f"{tuple(parameter.shape)}; adapt again with: promptlift adapt"
                )
            parameter.copy_(tensor)
    return head
