"""Stage 2 on tiny real models: the head against plain torch, then whole runs from pairs to what is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file
from tiny_hf import FAMILIES, one_thread, taught_pairs, tiny_model, tiny_trunk  # noqa: F401
from torch.nn.functional import cross_entropy

from promptlift import adapters, artifacts, template
from promptlift.artifacts import PrompterFolder
from promptlift.engines.base import Sampling
from promptlift.engines.torch import TorchEngine
from promptlift.errors import InputError
from promptlift.records import Pair
from promptlift.training import adapt as adapting
from promptlift.training import head_loss as module
from promptlift.training import sft
from promptlift.training import trunk as trunks
from promptlift.training.adapt import adapt, head_from, write_adapter
from promptlift.training.features import FeatureRequest, features
from promptlift.training.head import AdaptedHead, BaseHead, FullHead, LowRankHead
from promptlift.training.head_loss import head_loss, token_losses
from promptlift.training.layout import written_tokens
from promptlift.training.settings import StageTwoSettings
from promptlift.training.stage_two import train_head, whole_head
from promptlift.training.trunk import Trunk

pytestmark = pytest.mark.usefixtures("one_thread")

FORMS = ["low-rank", "full"]
V, D, N = 50, 12, 30


def new_head(base: BaseHead, form: str, ids: torch.Tensor | None = None) -> AdaptedHead:
    return FullHead(base) if form == "full" else LowRankHead(base, 3, 2, ids)


def shaken(head: AdaptedHead, by: float = 0.3) -> AdaptedHead:
    """The head with random numbers added to every parameter."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * by)
    return head


def by_definition(head: Any, e: torch.Tensor) -> torch.Tensor:
    """Y = H (W E + b), before capping and scaling, with W, b and H written out; tokens left alone keep H₀ E."""
    base = head.base
    if isinstance(head, FullHead):
        y = (e @ head.linear_weight.T + head.linear_bias) @ head.head_weight.T
    else:
        w = torch.eye(e.shape[-1], dtype=e.dtype) + head.linear_b @ head.linear_a
        ids = torch.arange(len(base.weight)) if head.ids is None else head.ids
        h = base.weight.index_add(0, ids, head.head_b @ head.head_a)
        adapted = torch.zeros(len(h), dtype=torch.bool)
        adapted[ids] = True
        adapted[list(base.fixed)] = False
        y = torch.where(adapted, e @ w.T @ h.T, e @ base.weight.T)
    return y if base.bias is None else y + base.bias


def some_base(bias: bool = True, softcap: float | None = 3.0, scale: float = 0.5, dtype: str = "float64") -> BaseHead:
    torch.manual_seed(1)
    kind = getattr(torch, dtype)
    weight, added = torch.randn(V, D, dtype=kind), torch.randn(V, dtype=kind)
    return BaseHead(weight, added if bias else None, softcap, scale, fixed=(4, 31))


def some_positions(dtype: str = "float64") -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    return torch.randn(N, D, dtype=getattr(torch, dtype)), torch.randint(0, V, (N,))


def gradients(loss: torch.Tensor, head: AdaptedHead) -> dict[str, torch.Tensor]:
    names, parameters = zip(*head.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def assert_same_gradients(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].abs().max() > 1e-6, f"{name} learns nothing"
        torch.testing.assert_close(one[name], other[name], rtol=1e-7, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module", params=FAMILIES)
def trunk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trunk:
    return tiny_trunk(tmp_path_factory.mktemp("base") / "m", request.param)


@pytest.mark.parametrize("form", FORMS)
def test_an_untrained_head_gives_the_models_own_logits(trunk: Trunk, form: str) -> None:
    ids = torch.tensor([trunk.tokenizer("How do bees find home? 42").input_ids])
    e = trunk.hidden(ids, torch.ones_like(ids))[0]
    with torch.no_grad():
        own = trunk.model(input_ids=ids).logits[0]
        plain = e @ trunk.head.weight.T
        plain = trunk.head.read(plain if trunk.head.bias is None else plain + trunk.head.bias)
        found = new_head(trunk.head, form)(e)
    assert torch.equal(found, plain)
    torch.testing.assert_close(found, own, rtol=1e-9, atol=1e-9)


def test_capped_scaled_and_shifted_logits_are_among_the_families(trunk: Trunk) -> None:
    family = trunk.model.config.model_type
    assert (trunk.head.softcap is not None) == (family == "gemma2")
    assert (trunk.head.scale != 1) == (family == "granite")
    assert (trunk.head.bias is not None) == (family == "phi")
    assert [trunk.tokenizer.decode([token]) for token in trunk.head.fixed] == ["yes", "no"]


@pytest.mark.parametrize("form", FORMS)
def test_gradients_from_cached_features_are_the_whole_models(trunk: Trunk, form: str, tmp_path: Path) -> None:
    pairs = taught_pairs(2)
    found = features(FeatureRequest("0" * 16, pairs, ("light",), dtype="float64"), lambda: trunk, cache=tmp_path)
    head = shaken(new_head(found.head, form))

    class InItsPlace(torch.nn.Module):
        """The head as the model's own last layer: capping and scaling are left to the model."""

        weight = torch.nn.Parameter(found.head.weight)

        def forward(self, e: torch.Tensor) -> torch.Tensor:
            return by_definition(head, e)

    before = trunk.model.get_output_embeddings()
    trunk.model.set_output_embeddings(InItsPlace())
    losses = []
    for pair in pairs:
        ids, start = written_tokens(trunk.tokenizer, pair, "light")
        logits = trunk.model(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1]
        losses.append(cross_entropy(logits, torch.tensor(ids[start:]), reduction="none"))
    trunk.model.set_output_embeddings(before)
    whole = torch.cat(losses).mean()
    cached = head_loss(head, found.values, found.goals)
    torch.testing.assert_close(cached, whole, rtol=1e-6, atol=0)
    one, other = gradients(cached, head), gradients(whole, head)
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-7)
        assert one[name].abs().max() > 1e-4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 7, N])
@pytest.mark.parametrize(("bias", "softcap", "scale"), [(False, None, 1.0), (True, 3.0, 0.5), (True, None, 4.0)])
def test_the_loss_in_chunks_of_any_size_is_cross_entropy(
    rows: int, form: str, bias: bool, softcap: float | None, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", rows * 4 * V)
    head = shaken(new_head(some_base(bias, softcap, scale), form))
    e, goals = some_positions()
    logits = by_definition(head, e) * scale
    plain = cross_entropy(logits if softcap is None else softcap * torch.tanh(logits / softcap), goals)
    loss = head_loss(head, e, goals)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(token_losses(head, e, goals).mean(), plain.detach())
    assert_same_gradients(gradients(loss, head), gradients(plain, head))


def test_the_gradient_scales_with_what_follows_the_loss() -> None:
    head, (e, goals) = shaken(new_head(some_base(), "low-rank")), some_positions()
    once, thrice = (gradients(k * head_loss(head, e, goals), head) for k in (1, 3))
    assert_same_gradients({name: 3 * grad for name, grad in once.items()}, thrice)


@pytest.mark.parametrize("kept", [[0, 4, 7, 20, 21, 49], [1, 2, 3, 8]])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_a_shortlists_loss_and_gradients_are_those_of_the_whole_vocabulary(
    kept: list[int], softcap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 7 * 4 * len(kept))
    base, ids = some_base(softcap=softcap), torch.tensor(kept)
    e, _ = some_positions()
    places = torch.randint(0, len(ids), (N,))
    others = [token for token in range(V) if token not in kept]
    unadapted = base.read(e @ base.weight.T + base.bias)
    short = shaken(LowRankHead(base.only(ids), 3, 2))
    whole = whole_head(short, base, ids)
    loss = head_loss(short, e, places, tail=unadapted[:, others].logsumexp(dim=1))
    exact = head_loss(whole, e, ids[places])
    torch.testing.assert_close(loss, exact)
    torch.testing.assert_close(loss.detach(), token_losses(whole, e, ids[places]).mean())
    assert_same_gradients(gradients(loss, short), gradients(exact, whole))
    assert torch.equal(whole(e)[:, others], unadapted[:, others])


@pytest.mark.parametrize("ids", [None, [0, 4, 7, 20, 49]])
def test_the_folded_lora_is_the_linear_layer_and_the_head(ids: list[int] | None) -> None:
    base = some_base()
    head = shaken(LowRankHead(base, 3, 2, None if ids is None else torch.tensor(ids)))
    e, _ = some_positions()
    down, up = (t.detach() for t in head.fold())
    assert (down.shape, up.shape) == ((5, D), (V, 5))
    definition = by_definition(head, e)
    torch.testing.assert_close(e @ (base.weight + up @ down).T + base.bias, definition)
    torch.testing.assert_close(head.linear(e), definition)
    assert torch.equal(head.frozen()(e), head.linear(e))
    alone = sorted({*base.fixed, *(set(range(V)) - set(range(V) if ids is None else ids))})
    assert not up[alone].any()
    unadapted = base.read(e @ base.weight.T + base.bias)
    assert torch.equal(head(e)[:, alone], unadapted[:, alone])
    moved = [token for token in range(V) if token not in alone]
    assert (head(e) - unadapted)[:, moved].abs().amax(dim=0).min() > 1e-3


@pytest.mark.parametrize("ids", [None, [0, 4, 7, 20, 49]])
@pytest.mark.parametrize("linear_rank", [0, 2])
def test_numpy_folds_as_torch_does(ids: list[int] | None, linear_rank: int) -> None:
    base = some_base(dtype="float32")
    head = shaken(LowRankHead(base, 3, linear_rank, None if ids is None else torch.tensor(ids)))
    stored = {"linear_a": "linear.A", "linear_b": "linear.B", "head_a": "head.A", "head_b": "head.B"}
    tensors: dict[str, Any] = {stored[name]: p.detach().numpy() for name, p in head.named_parameters()}
    if head.ids is not None:
        tensors["head.ids"] = head.ids.to(torch.int32).numpy()
    found = adapters.fold(tensors, base.weight.numpy(), list(base.fixed))
    for one, other in zip(found, head.fold(), strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_a_head_moves_with_its_base(form: str) -> None:
    head = new_head(some_base(), form, torch.tensor([1, 2])).to("meta")
    assert {t.device.type for t in (*head.parameters(), head.base.weight, head.base.bias)} == {"meta"}


PAIRS = taught_pairs(26, identities=2)
QUICK = StageTwoSettings(
    rank=3, linear_rank=2, epochs=2, vocabulary=60, validation=0.2, most_loss=None, dtype="float32", learning_rate=0.05,
    batch_size=4,
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A prompter with an adapter of each form, and what stood in memory and on the disk before them."""

    folder: PrompterFolder
    trunk: Trunk
    cache: Path
    weights: dict[str, torch.Tensor]
    files: dict[str, bytes]
    heads: list[AdaptedHead]
    made: list[adapters.Adapter]


def files_in(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def some_run(at: Path, family: str) -> Run:
    """Stage 1 in one step, then stage 2 in both forms, on a random model."""
    stage_one = sft.StageOneSettings(
        rank=2, epochs=1, batch_size=32, validation=0.2, dtype="float32", dropout=0.0, learning_rate=1e-2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TRL warns about its own settings
        sft.train(PAIRS, str(tiny_model(at / "base", family)), at / "prompter", stage_one)
    folder = artifacts.load(at / "prompter")
    trunk = trunks.load_trunk(folder, "float32")
    weights = {name: tensor.clone() for name, tensor in trunk.model.state_dict().items()}
    files = files_in(folder.path) | files_in(at / "base")
    heads: list[AdaptedHead] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trunks, "load_trunk", lambda *_: trunk)
        patch.setattr(adapting, "write_adapter", lambda head, *rest: heads.append(head) or write_adapter(head, *rest))
        made = [adapt(folder, form, PAIRS, replace(QUICK, form=form), cache=at / "cache") for form in FORMS]
    return Run(folder, trunk, at / "cache", weights, files, heads, made)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    return cache(lambda family: some_run(tmp_path_factory.mktemp(family), family))


@pytest.fixture(params=["llama", "qwen2", "phi", "gemma2", "gemma3"])
def run(request: pytest.FixtureRequest, runs: Callable[[str], Run]) -> Run:
    return runs(request.param)


@pytest.fixture
def llama(runs: Callable[[str], Run]) -> Run:
    return runs("llama")


def test_the_trunk_and_the_files_of_stage_one_stay_as_they_were(run: Run) -> None:
    now = run.trunk.model.state_dict()
    assert now.keys() == run.weights.keys()
    assert all(torch.equal(now[name], tensor) for name, tensor in run.weights.items())
    own = run.trunk.model.get_output_embeddings().weight
    assert torch.equal(own, run.trunk.head.weight)
    assert own.data_ptr() != run.trunk.head.weight.data_ptr(), "what trains the head would train the embedding"
    assert files_in(run.folder.path) | files_in(run.folder.path.parent / "base") == run.files
    assert artifacts.load(run.folder.path).trunk == run.folder.trunk


def test_what_was_learnt_holds_for_prompts_that_were_held_out(run: Run) -> None:
    for adapter, form in zip(run.made, FORMS, strict=True):
        assert adapter.manifest.loss_after < 0.9 * adapter.manifest.loss_before
        assert adapter.manifest.form == form
        assert adapter.manifest.pairs == 24
        assert adapter.manifest.training["held_out_rows"] >= 1
    assert len(run.made[0].tensors()["head.ids"]) == 60
    assert run.made[0].manifest.loss_before == run.made[1].manifest.loss_before


def test_a_saved_adapter_gives_the_logits_that_were_measured(run: Run) -> None:
    ids = torch.tensor([run.trunk.tokenizer(template.question("Why is the sea salty?")).input_ids])
    e = run.trunk.hidden(ids, torch.ones_like(ids))[0]
    for adapter, head in zip(run.made, run.heads, strict=True):
        loaded = head_from(adapters.find(run.folder, adapter.manifest.target), run.trunk.head)
        assert torch.equal(loaded(e), head(e))
        assert not torch.allclose(loaded(e), new_head(run.trunk.head, "full")(e), atol=1e-3)
    tensors, fixed = run.made[0].tensors(), run.made[0].manifest.fixed
    folded = adapters.fold(tensors, run.trunk.head.weight.numpy(), fixed)
    for one, other in zip(folded, run.heads[0].fold(), strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other.detach(), rtol=1e-4, atol=1e-5)
    assert not folded[1][fixed].any()


def test_the_torch_engine_writes_what_the_leased_adapter_says_and_scores_as_without(run: Run) -> None:
    wild = shaken(head_from(run.made[1], run.trunk.head), 3.0)
    named = run.made[1].manifest.model_copy(update={"target": "wild"})
    made = [*run.made, write_adapter(adapting.rounded(wild), run.folder, named)]
    engine = TorchEngine(run.folder)
    question = template.question("tea rope 5")
    parts = [question, template.YES, template.opening("light")]

    def use(version: str | None) -> tuple[float, str]:
        slot = engine.lease(version)
        try:
            return engine.score(question, slot), engine.write("".join(parts), slot, Sampling(), 12).text
        finally:
            engine.release(slot)

    def greedy(head: AdaptedHead) -> str:
        ids = engine._ids(parts)
        start = ids.shape[1]
        while ids.shape[1] < start + 12 and ids[0, -1] != run.trunk.tokenizer.eos_token_id:
            token = head(run.trunk.hidden(ids, torch.ones_like(ids))[0, -1:]).argmax(dim=1)
            ids = torch.cat([ids, token[None]], dim=1)
        return str(run.trunk.tokenizer.decode(ids[0, start:], skip_special_tokens=True))

    before = use(None)
    engine.add(made)
    engine.add(made)
    assert engine.adapters == {adapter.version for adapter in made}
    found = [use(adapter.version) for adapter in made]
    assert [score for score, _ in found] == [before[0]] * 3
    assert [text for _, text in found] == [greedy(head_from(adapter, run.trunk.head)) for adapter in made]
    assert found[2][1] != before[1]
    assert use(None) == before
    engine.close()


@pytest.mark.parametrize("form", FORMS)
def test_training_that_changes_nothing_has_the_losses_of_the_base(form: str, llama: Run, tmp_path: Path) -> None:
    settings = replace(QUICK, form=form, learning_rate=0.0, epochs=1, batch_size=64)
    ready = adapting.prepare(llama.folder, PAIRS, settings, cache=llama.cache)
    found = train_head(ready.found, ready.mass, ready.training, ready.held_out, settings, tmp_path)
    learnt, held_out = (
        float(torch.cat([ready.mass.losses[ready.found.offsets[k] : ready.found.offsets[k + 1]] for k in rows]).mean())
        for rows in (ready.training, ready.held_out)
    )
    assert found.train_loss == pytest.approx(learnt, abs=1e-4)
    assert [row["held_out_loss"] for row in found.history] == [pytest.approx(held_out, abs=1e-4)]


@pytest.mark.parametrize(
    ("pairs", "change", "said"),
    [
        (PAIRS[:5], {}, "5 of 5 pairs can be learnt from, 20 are needed"),
        (PAIRS[:1], {}, "1 pairs can't be split; give more"),
        (PAIRS, {"most_loss": 0.1}, "0 of 24 pairs can be learnt from, .* raise --most-loss"),
        (PAIRS[-2:], {}, "none of the 2 pairs has a change to learn"),
        (
            [Pair(str(i), f"{i} why", f"Explain {i}") for i in range(30)],
            {},
            r"no side that this prompter knows \(light\)",
        ),
    ],
)
def test_pairs_that_cant_be_learnt_from_are_one_line(
    pairs: list[Pair], change: dict[str, Any], said: str, llama: Run
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        adapt(llama.folder, "none", pairs, replace(QUICK, **change), cache=llama.cache)
    assert "\n" not in str(caught.value)
    assert "none" not in adapters.paths(llama.folder)


def test_a_killed_training_leaves_the_old_adapter_and_goes_on_later(llama: Run) -> None:
    longer = replace(QUICK, epochs=3)
    told: list[int] = []

    def dies(stage: str, done: int, total: int) -> None:
        if stage == "training" and done > total / 2:
            raise KeyboardInterrupt

    old = adapt(llama.folder, "mine", PAIRS, QUICK, cache=llama.cache)
    with pytest.raises(KeyboardInterrupt):
        adapt(llama.folder, "mine", PAIRS, longer, progress=dies, cache=llama.cache)
    assert adapters.find(llama.folder, "mine") == old
    new = adapt(llama.folder, "mine", PAIRS, longer, progress=lambda *now: told.append(now[1]), cache=llama.cache)
    assert told[0] > 1, "it began anew"
    assert adapters.find(llama.folder, "mine") == new != old
    unbroken = adapt(llama.folder, "unbroken", PAIRS, longer, cache=llama.cache)
    kept, whole = (load_file(adapter.path / adapters.TENSORS) for adapter in (new, unbroken))
    assert all(torch.equal(kept[name], tensor) for name, tensor in whole.items())
    assert new.manifest.training["history"] == unbroken.manifest.training["history"]
    assert not [p for p in new.path.parent.iterdir() if p.name.startswith(".")]
