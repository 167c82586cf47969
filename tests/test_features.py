"""The feature cache on tiny real models: what it holds, when it is used, and how a killed run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from tiny_hf import FAMILIES, one_thread, taught_pairs, tiny_trunk  # noqa: F401
from torch.nn.functional import cross_entropy

from promptlift.errors import InputError
from promptlift.training import features as module
from promptlift.training.features import FeatureRequest, features, hidden_states, read
from promptlift.training.layout import written_tokens
from promptlift.training.shortlist import base_logits, base_mass
from promptlift.training.trunk import Trunk

pytestmark = pytest.mark.usefixtures("one_thread")

REQUEST = FeatureRequest("0" * 16, taught_pairs(14, identities=3), ("light",), dtype="float64")


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Trunk:
    return tiny_trunk(tmp_path_factory.mktemp("base") / "m")


def never() -> Trunk:
    raise AssertionError("the trunk was loaded")


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_and_company_do_not_change_the_features(family: str, tmp_path: Path) -> None:
    trunk = tiny_trunk(tmp_path / "m", family, "float32")  # transformers' eager attention masks with NaN in float64
    pairs = [replace(p, prompt=p.prompt * (1 + i % 4)) for i, p in enumerate(taught_pairs(8))]
    rows = [written_tokens(trunk.tokenizer, pair, "full") for pair in pairs]
    assert len({len(ids) for ids, _ in rows}) > 5
    for (ids, start), found in zip(rows, hidden_states(trunk, rows), strict=True):
        alone = hidden_states(trunk, [(ids, start)])[0]
        with torch.no_grad():
            bare = trunk.model.get_decoder()(input_ids=torch.tensor([ids])).last_hidden_state[0, start - 1 : -1]
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found, bare, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_goals_and_head_from_the_cache_give_the_models_own_loss(family: str, tmp_path: Path) -> None:
    trunk = tiny_trunk(tmp_path / "m", family)
    pairs = REQUEST.pairs[-6:]
    found = features(replace(REQUEST, pairs=pairs, strengths=("light", "full")), lambda: trunk, cache=tmp_path)
    assert found.rows == [(p.id, strength) for p in pairs[:3] for strength in ("light", "full")]
    assert found.offsets[-1] == len(found.goals) == len(found.values)
    losses = base_mass(found, None, []).losses
    by_id = {p.id: p for p in pairs}
    for k, (pair, strength) in enumerate(found.rows):
        ids, start = written_tokens(trunk.tokenizer, by_id[pair], strength)
        part = slice(found.offsets[k], found.offsets[k + 1])
        assert found.goals[part].tolist() == ids[start:]
        with torch.no_grad():
            logits = trunk.model(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1]
        own = cross_entropy(logits, torch.tensor(ids[start:]), reduction="none")
        torch.testing.assert_close(losses[part], own, rtol=1e-5, atol=1e-6)


def test_the_learnt_tokens_are_what_follows_the_opening(trunk: Trunk) -> None:
    pair = REQUEST.pairs[0]
    ids, start = written_tokens(trunk.tokenizer, pair, "light")
    assert trunk.tokenizer.decode(ids[start:]) == "Give reasons.<|end|>"
    assert trunk.tokenizer.decode(ids[:start]).endswith("yes\n\n### Advice\n")


def test_what_was_computed_once_needs_no_trunk(trunk: Trunk, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    first = features(REQUEST, lambda: trunk, lambda *at: told.append(at), tmp_path)
    again = features(replace(REQUEST, pairs=list(REQUEST.pairs)), never, cache=tmp_path)
    assert told == [(8, 11), (11, 11)]
    assert torch.equal(first.values, again.values)
    assert torch.equal(first.goals, again.goals)
    assert torch.equal(again.head.weight, trunk.head.weight)
    assert (first.rows, first.offsets) == (again.rows, again.offsets)
    assert again.head.fixed == trunk.head.fixed


def test_whatever_changes_the_features_changes_the_key() -> None:
    pairs = list(REQUEST.pairs)
    others = [
        replace(REQUEST, trunk="1" * 16),
        replace(REQUEST, dtype="float32"),
        replace(REQUEST, max_tokens=100),
        replace(REQUEST, strengths=("full",)),
        replace(REQUEST, strengths=("light", "full")),
        replace(REQUEST, pairs=pairs[:-1]),
        replace(REQUEST, pairs=pairs[::-1]),
        replace(REQUEST, pairs=[replace(pairs[0], optimized_light=pairs[0].light + "!"), *pairs[1:]]),
        replace(REQUEST, pairs=[replace(pairs[0], id="another"), *pairs[1:]]),
    ]
    keys = [request.key for request in [REQUEST, *others]]
    assert len(set(keys)) == len(keys)
    assert replace(REQUEST, pairs=tuple(pairs)).key == REQUEST.key


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    trunk: Trunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "EVERY", 2)
    unbroken = features(REQUEST, lambda: trunk, cache=tmp_path / "unbroken").folder

    def dies(done: int, _: int) -> None:
        if done == 8:  # in the fourth of six batches; the first two are noted as done
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features(REQUEST, lambda: trunk, dies, tmp_path)
    folder = tmp_path / "features" / REQUEST.key
    assert (folder / "features.bin").read_bytes() != (unbroken / "features.bin").read_bytes()
    told: list[int] = []
    assert features(REQUEST, lambda: trunk, lambda done, _: told.append(done), tmp_path).folder == folder
    assert told == [6, 8, 10, 11]
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in unbroken.iterdir()}


def test_the_positions_of_rows_come_in_the_rows_order(trunk: Trunk, tmp_path: Path) -> None:
    found = features(REQUEST, lambda: trunk, cache=tmp_path)
    assert torch.equal(found.positions(range(len(found.rows))), torch.arange(len(found.goals)))
    (_, a, b), last = found.offsets[:3], found.offsets[-2:]
    assert found.positions([len(found.rows) - 1, 1]).tolist() == [*range(*last), *range(a, b)]


@pytest.mark.parametrize("state", [b"", b"{", b"{}", b'{"whole": false, "done": 11}'])
def test_a_folder_that_says_nothing_of_itself_is_made_anew(state: bytes, trunk: Trunk, tmp_path: Path) -> None:
    good = features(REQUEST, lambda: trunk, cache=tmp_path / "good")
    folder = tmp_path / "features" / REQUEST.key
    folder.mkdir(parents=True)
    (folder / "state.json").write_bytes(state)
    (folder / "features.bin").write_bytes(b"\0" * (good.folder / "features.bin").stat().st_size)
    assert torch.equal(features(REQUEST, lambda: trunk, cache=tmp_path).values, good.values)


def test_identity_pairs_and_long_ones_are_passed_over(trunk: Trunk, tmp_path: Path) -> None:
    pairs = list(REQUEST.pairs)
    long = replace(pairs[0], prompt="x" * 300, optimized_light="x" * 300 + "\n\nGive reasons.")
    found = features(replace(REQUEST, pairs=[long, *pairs[1:]], max_tokens=200), lambda: trunk, cache=tmp_path)
    assert [pair for pair, _ in found.rows] == [p.id for p in pairs[1:11]]
    without = features(replace(REQUEST, pairs=pairs[1:11]), lambda: trunk, cache=tmp_path)
    assert torch.equal(without.values, found.values)
    assert read(found.folder).rows == found.rows


@pytest.mark.parametrize("change", [{"pairs": taught_pairs(5, identities=5)}, {"max_tokens": 20}])
def test_pairs_that_teach_nothing_are_one_line(change: dict[str, object], trunk: Trunk, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of the \d+ pairs has a change to learn that fits into \d+ tokens$"):
        features(replace(REQUEST, **change), lambda: trunk, cache=tmp_path)  # type: ignore[arg-type]
    assert not (tmp_path / "features").exists()


def test_a_shortlist_holds_every_goal_and_the_mass_of_the_rest(tmp_path: Path) -> None:
    trunk = tiny_trunk(tmp_path / "m", "phi")
    request = replace(REQUEST, pairs=taught_pairs(4), strengths=("full",))
    found = features(request, lambda: trunk, cache=tmp_path)
    mass, all_of_it = base_mass(found, 40, [0, 1]), base_mass(found, None, [0, 1])
    assert mass.ids is not None and mass.tail is not None and all_of_it.ids is None
    assert len(mass.ids) == 40
    assert set(found.goals[: found.offsets[2]].tolist()) <= set(mass.ids.tolist())
    assert torch.equal(mass.ids, mass.ids.sort().values)
    logits = base_logits(found.head, found.values)
    others = [token for token in range(len(found.head.weight)) if token not in set(mass.ids.tolist())]
    torch.testing.assert_close(mass.tail, logits[:, others].logsumexp(dim=1))
    torch.testing.assert_close(mass.losses, cross_entropy(logits, found.goals, reduction="none"))
    assert torch.equal(mass.losses, all_of_it.losses)
    again = base_mass(replace(found, values=found.values * 0), 40, [0, 1])  # kept beside the features
    assert torch.equal(again.tail, mass.tail)
    few = base_mass(found, 1, [0, 1])
    assert set(few.ids.tolist()) == set(found.goals[: found.offsets[2]].tolist())
    assert base_mass(found, 10**6, [0, 1]).ids is None
