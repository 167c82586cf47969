"""The prompter folder: what is wrong with one is said in one line that names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_llama_gguf, tiny_prompter_folder

from promptlift import adapters, artifacts
from promptlift.bases import base_gguf, fetch_base, remember_base
from promptlift.errors import ArtifactError, ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tiny_llama_gguf(tmp_path / "base.gguf")
    return tiny_prompter_folder(tmp_path / "prompter", base).path


def edit(folder: Path, **values: Any) -> None:
    path = folder / artifacts.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        artifacts.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_folder_loads_and_keeps_unknown_keys(folder: Path) -> None:
    edit(folder, mood="good")
    loaded = artifacts.load(folder)
    assert loaded.manifest.model_extra == {"mood": "good"}
    assert loaded.version.startswith("tiny-test@")


def test_what_a_prompter_may_say_is_a_part_of_its_version(folder: Path) -> None:
    free = artifacts.load(folder)
    edit(folder, guide={"qualities": False, "said_again": 0.8})
    bound = artifacts.load(folder)
    assert bound.manifest.guide.own_words == 0.0 and not bound.manifest.guide.qualities
    assert bound.version != free.version and bound.trunk == free.trunk
    edit(folder, guide={"qualities": False, "said": 0.8})
    assert "guide" in refused(folder)


def test_a_newer_format(folder: Path) -> None:
    edit(folder, format=99, strengths="unknown here")
    assert "format 99" in refused(folder)
    assert "pip install --upgrade promptlift" in refused(folder)


def test_another_template(folder: Path) -> None:
    edit(folder, template=0)
    assert "template 0" in refused(folder)


@pytest.mark.parametrize("name", [artifacts.ADAPTER, artifacts.ADAPTER_CONFIG])
def test_a_file_that_is_cut_short_changed_or_missing(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    assert name in refused(folder)
    assert "cut short or changed" in refused(folder)
    (folder / name).unlink()
    assert f"{name} is missing" in refused(folder)


def test_a_damaged_manifest(folder: Path) -> None:
    edit(folder, threshold=7)
    assert "threshold" in refused(folder)
    edit(folder, threshold=0.5, files={})
    assert "no hash" in refused(folder)
    (folder / artifacts.MANIFEST).write_text("{")
    assert "can't be read" in refused(folder)
    (folder / artifacts.MANIFEST).write_text("[]")
    refused(folder)
    (folder / artifacts.MANIFEST).unlink()
    assert "manifest.json is missing" in refused(folder)


def test_a_foreign_base(folder: Path, tmp_path: Path) -> None:
    manifest = artifacts.load(folder).manifest
    other = tiny_llama_gguf(tmp_path / "other.gguf", seed=9)
    with pytest.raises(ModelError, match="is another base"):
        base_gguf(manifest.base, other)
    with pytest.raises(ModelError, match="no such file"):
        base_gguf(manifest.base, tmp_path / "none.gguf")


def test_no_such_prompter(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no prompter 'nobody'.*promptlift train"):
        artifacts.load("nobody")


def test_the_shipped_prompters_are_whole_and_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTLIFT_DATA", str(tmp_path))
    assert artifacts.DEFAULT in artifacts.builtin_names()
    for name in artifacts.builtin_names():
        loaded = artifacts.load(name)
        own = sum(p.stat().st_size for p in loaded.path.iterdir() if p.is_file())
        assert own <= 10_000_000, "the package carries at most 10 MB of it"
        for target, path in adapters.paths(loaded).items():
            assert path.is_relative_to(loaded.path) and adapters.find(loaded, target).manifest.form == "low-rank"
            size = sum(p.stat().st_size for p in path.iterdir())
            assert size <= 1_000_000, "and a megabyte for each target"
        copy = tmp_path / name
        shutil.copytree(loaded.path, copy)
        assert artifacts.load(copy).version == loaded.version


def test_the_shipped_adapters_are_those_that_the_readings_were_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMPTLIFT_DATA", str(tmp_path))
    folder = artifacts.load()
    found = {target: adapters.find(folder, target).manifest for target in adapters.paths(folder)}
    assert set(found) == {"qwen2.5-coder:0.5b", "qwen2.5-coder:1.5b", "smollm2"}
    assert all(m.standing == "worse" and m.why and m.loss_after < m.loss_before for m in found.values())


def test_a_base_is_remembered_once_it_is_set_up(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "cache"))
    info = artifacts.load(folder).manifest.base
    base = tiny_llama_gguf(tmp_path / "base.gguf")
    info = info.model_copy(update={"sha256": artifacts.sha256_of(base)})
    with pytest.raises(ModelError, match="not on this machine; say where its GGUF is with: --base-gguf PATH"):
        base_gguf(info)
    remember_base(info, base)
    assert base_gguf(info) == base
    base.write_bytes(b"GGUF, but another")
    with pytest.raises(ModelError, match="is another base"):
        base_gguf(info)
    base.unlink()
    with pytest.raises(ModelError, match="not on this machine"):
        base_gguf(info)
    with pytest.raises(ModelError, match="is of no hub"):
        fetch_base(info)
