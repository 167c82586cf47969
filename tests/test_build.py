"""The engine-ready GGUF: merged as PEFT merges, and whole or not there at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tiny import HIDDEN, tiny_llama_gguf, tiny_prompter_folder

from promptlift.artifacts import PrompterFolder
from promptlift.engines import inspect
from promptlift.engines.build import engine_gguf
from promptlift.engines.lora import lora_gguf
from promptlift.errors import EngineError, InputError, ModelError

KINDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30}  # of tensors, in GGUF's numbers


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_llama_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def folder(tmp_path: Path, base: Path) -> PrompterFolder:
    return tiny_prompter_folder(tmp_path / "prompter", base)


def weights(path: Path, name: str) -> npt.NDArray[np.float32]:
    from gguf import GGMLQuantizationType, quants

    opened = inspect.read(path)
    found: npt.NDArray[np.float32] = quants.dequantize(
        opened.array(name), GGMLQuantizationType(opened.tensors[name].kind)
    )
    return found


def loaded_by_transformers(path: Path) -> Any:
    """The model in fp32, with the rows of Q and K back in transformers' order."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(
        str(path.parent),
        gguf_file=path.name,
        quantization_config=transformers.GgufConfig(dequantize=True),
        dtype="float32",
    )


def generated(path: Path, lora: Path | None = None) -> str:
    xllamacpp = pytest.importorskip("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.verbosity, params.warmup = 256, 1, -1, False
    params.cpuparams.n_threads = 2
    if lora is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(lora), 1.0)]
    server = xllamacpp.Server(params)
    request = {"prompt": "### Prompt\nyes", "n_predict": 16, "temperature": 0, "ignore_eos": True}
    reply = server.handle_completions(request)
    assert reply["usage"]["completion_tokens"] == 16
    return str(reply["choices"][0]["text"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("rslora", [False, True])
def test_merge_equals_pefts(tmp_path: Path, architecture: str, rslora: bool) -> None:
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    base = tiny_llama_gguf(tmp_path / "tiny.gguf", architecture=architecture)
    folder = tiny_prompter_folder(tmp_path / "prompter", base, config={"use_rslora": rslora})
    ours = loaded_by_transformers(engine_gguf(folder, base, cache=tmp_path, quantization="F32")).state_dict()
    plain = loaded_by_transformers(base)
    before = {k: v.clone() for k, v in plain.state_dict().items()}
    theirs = peft.PeftModel.from_pretrained(plain, str(folder.path)).merge_and_unload().state_dict()
    assert set(ours) >= set(theirs)
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=2e-6, msg=name)
    q = "model.layers.1.self_attn.q_proj.weight"
    assert (theirs[q] - before[q]).abs().max() > 0.01  # the LoRA does something


def test_a_tied_head_is_untied_and_takes_its_own_lora(tmp_path: Path, base: Path) -> None:
    plain = tiny_prompter_folder(tmp_path / "plain", base)
    built = engine_gguf(plain, base, cache=tmp_path, quantization="F32")
    np.testing.assert_array_equal(weights(built, "output.weight"), weights(base, "token_embd.weight"))
    with_head = tiny_prompter_folder(tmp_path / "head", base, modules=("q_proj", "lm_head"))
    built = engine_gguf(with_head, base, cache=tmp_path, quantization="F32")
    np.testing.assert_array_equal(weights(built, "token_embd.weight"), weights(base, "token_embd.weight"))
    assert np.abs(weights(built, "output.weight") - weights(base, "token_embd.weight")).max() > 0.01
    with pytest.raises(EngineError, match="untied"):
        lora_gguf(with_head, base, tmp_path / "lora.gguf")
    untied = tiny_llama_gguf(tmp_path / "untied.gguf", tied=False)
    built = engine_gguf(tiny_prompter_folder(tmp_path / "own", untied), untied, cache=tmp_path, quantization="F32")
    np.testing.assert_array_equal(weights(built, "output.weight"), weights(untied, "output.weight"))


@pytest.mark.parametrize("quantization", ["Q8_0", "Q4_0", "F16", "BF16"])
def test_quantizations(tmp_path: Path, base: Path, folder: PrompterFolder, quantization: str) -> None:
    exact = engine_gguf(folder, base, cache=tmp_path, quantization="F32")
    built = engine_gguf(folder, base, cache=tmp_path, quantization=quantization)
    opened = inspect.read(built)
    for name, tensor in opened.tensors.items():
        assert tensor.kind == KINDS["F32" if len(tensor.shape) == 1 else quantization], name
        span = np.abs(weights(exact, name)).max()
        step = {"Q8_0": 1 / 127, "Q4_0": 1 / 8, "F16": 2**-10, "BF16": 2**-7}[quantization]
        np.testing.assert_allclose(weights(built, name), weights(exact, name), rtol=0, atol=span * step, err_msg=name)


def test_rows_that_fill_no_block_become_f16(
    tmp_path: Path, base: Path, folder: PrompterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    # As if blocks were of 64: the rows of ffn_down, 96 long, don't fill them.
    monkeypatch.setitem(GGML_QUANT_SIZES, GGMLQuantizationType.Q4_0, (HIDDEN, 36))
    monkeypatch.setattr("gguf.quants.Q4_0.block_size", HIDDEN)
    monkeypatch.setattr("gguf.quants.Q4_0.type_size", 36)
    monkeypatch.setattr(
        "gguf.quants.Q4_0.quantize_blocks", lambda blocks: np.zeros((len(blocks), 36), np.uint8), raising=True
    )
    opened = inspect.read(engine_gguf(folder, base, cache=tmp_path, quantization="Q4_0"))
    assert opened.tensors["blk.0.ffn_down.weight"].kind == KINDS["F16"]
    assert opened.tensors["blk.0.ffn_up.weight"].kind == KINDS["Q4_0"]


def test_llama_cpp_runs_merged_and_base_with_adapter_alike(tmp_path: Path, base: Path, folder: PrompterFolder) -> None:
    merged = generated(engine_gguf(folder, base, cache=tmp_path, quantization="F32"))
    assert generated(base, lora_gguf(folder, base, tmp_path / "lora.gguf")) == merged
    assert generated(base) != merged
    assert generated(engine_gguf(folder, base, cache=tmp_path))  # Q8_0 loads too


def test_building_again_gives_the_same_bytes_and_a_kept_file_is_not_built(
    tmp_path: Path, base: Path, folder: PrompterFolder
) -> None:
    shares: list[float] = []
    first = engine_gguf(folder, base, cache=tmp_path / "a", progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
    second = engine_gguf(folder, base, cache=tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert first.name == second.name and first.name.startswith("tiny-test-")
    assert inspect.read(first).get("promptlift.key") in first.name
    assert engine_gguf(folder, base, cache=tmp_path / "a", progress=lambda _: pytest.fail("built")) == first
    os.utime(first, (1, 1))  # copied: another time, the same bytes
    assert engine_gguf(folder, base, cache=tmp_path / "a", progress=lambda _: pytest.fail("built")) == first


def test_another_lora_setting_or_quantization_is_another_file(tmp_path: Path, base: Path) -> None:
    built = {
        engine_gguf(tiny_prompter_folder(tmp_path / "f", base, seed=seed, alpha=alpha), base, cache=tmp_path)
        for seed in (1, 2)
        for alpha in (8, 16)
    }
    assert len(built) == 4


@pytest.mark.parametrize("how", ["cut", "changed", "no stamp", "foreign"])
def test_a_damaged_file_is_built_again(tmp_path: Path, base: Path, folder: PrompterFolder, how: str) -> None:
    path = engine_gguf(folder, base, cache=tmp_path)
    good = path.read_bytes()
    if how == "cut":
        path.write_bytes(good[: len(good) // 2])
    elif how == "changed":
        path.write_bytes(good[:-100] + bytes(100))
    elif how == "foreign":
        path.write_bytes(b"x" * len(good))
    else:
        path.with_name(path.name + ".stamp").unlink()
    shares: list[float] = []
    assert engine_gguf(folder, base, cache=tmp_path, progress=shares.append) == path
    assert shares and path.read_bytes() == good


def test_two_processes_at_once(tmp_path: Path, base: Path, folder: PrompterFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from promptlift import artifacts; "
        "from promptlift.engines.build import engine_gguf; "
        "print(engine_gguf(artifacts.load(sys.argv[1]), Path(sys.argv[2]), cache=Path(sys.argv[3])))"
    )
    command = [sys.executable, "-c", code, str(folder.path), str(base), str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) for _ in range(2)]
    printed = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert printed == {str(engine_gguf(folder, base, cache=tmp_path / "cache"))}
    kept = sorted(p.suffix for p in (tmp_path / "cache" / "engines").iterdir())
    assert kept == [".gguf", ".stamp"]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


@pytest.mark.parametrize("where", ["os.fsync", "os.replace", "write"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, base: Path, folder: PrompterFolder, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "write":
        whole = os.fdopen

        def handed_out(*args: Any, **options: Any) -> Any:
            handle = whole(*args, **options)
            return _Full(handle)

        monkeypatch.setattr(os, "fdopen", handed_out)
    else:
        monkeypatch.setattr(where, full)
    with pytest.raises(EngineError, match=r"No space left.*PROMPTLIFT_CACHE") as caught:
        engine_gguf(folder, base, cache=tmp_path / "cache")
    assert str(tmp_path / "cache" / "engines") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache" / "engines").iterdir()) == []


class _Full:
    """A file that takes its first bytes and then no more."""

    def __init__(self, handle: Any) -> None:
        self._handle, self._writes = handle, 0

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def write(self, data: bytes) -> None:
        self._writes += 1
        if self._writes > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._handle.write(data)


def test_a_cache_that_cant_be_written_to_falls_back_to_the_temporary_folder(
    tmp_path: Path, base: Path, folder: PrompterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (tmp_path / "file").write_text("no folder")
    path = engine_gguf(folder, base, cache=tmp_path / "file" / "cache")
    assert path.is_relative_to(temporary)
    assert path.parent.parent.stat().st_mode & 0o077 == 0
    again = engine_gguf(folder, base, cache=tmp_path / "file" / "cache", progress=lambda _: pytest.fail("built"))
    assert again == path
    # A folder that others can write to is not trusted.
    path.parent.parent.chmod(0o777)
    with pytest.raises(EngineError, match=r"Not a directory.*nor to .*not this user's.*PROMPTLIFT_CACHE"):
        engine_gguf(folder, base, cache=tmp_path / "file" / "cache")


def test_a_read_only_cache_serves_what_it_holds(
    tmp_path: Path, base: Path, folder: PrompterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = engine_gguf(folder, base, cache=tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    os.utime(path, (1, 1))
    assert engine_gguf(folder, base, cache=tmp_path) == path
    with pytest.raises(EngineError, match="Read-only file system"):
        engine_gguf(folder, base, cache=tmp_path, quantization="F16")


def test_leftovers_of_dead_builds_are_removed(tmp_path: Path, base: Path, folder: PrompterFolder) -> None:
    place = tmp_path / "engines"
    place.mkdir()
    old, young = place / ".x.gguf.aaa.tmp", place / ".x.gguf.bbb.tmp"
    for left in (old, young):
        left.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    engine_gguf(folder, base, cache=tmp_path)
    assert not old.exists() and young.exists()


def test_the_name_of_a_foreign_manifest_stays_in_the_cache(tmp_path: Path, base: Path) -> None:
    folder = tiny_prompter_folder(tmp_path / "prompter", base, name="../../etc/x y")
    path = engine_gguf(folder, base, cache=tmp_path / "cache")
    assert path.parent == tmp_path / "cache" / "engines" and "/" not in path.name


def test_files_that_are_no_gguf_are_one_line(tmp_path: Path, base: Path, folder: PrompterFolder) -> None:
    whole = base.read_bytes()
    broken = {
        "empty": b"",
        "text": b"hello, this is not a model",
        "magic": b"GGUF",
        "version": b"GGUF\x63\0\0\0" + bytes(64),
        "counts": b"GGUF\3\0\0\0" + b"\xff" * 16,
        "string": b"GGUF\3\0\0\0" + bytes(8) + b"\1" + bytes(7) + b"\xff" * 8,
    } | {f"cut at {n}": whole[:n] for n in (30, 200, 3000, 6000)}
    for name, data in broken.items():
        path = tmp_path / "broken.gguf"
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        with pytest.raises(ModelError) as caught:
            inspect.architecture(path)
        assert "\n" not in str(caught.value) and "broken.gguf" in str(caught.value), name
    for missing in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ModelError):
            inspect.read(missing)
    # Cut among the tensors: seen before anything is written.
    path.write_bytes(whole[:-5000])
    cut = tiny_prompter_folder(tmp_path / "of-a-cut-base", path)
    with pytest.raises(ModelError, match="damaged GGUF: it ends in tensor"):
        engine_gguf(cut, path, cache=tmp_path)
    with pytest.raises(ModelError, match="another base"):
        engine_gguf(folder, path, cache=tmp_path)


def test_inspect_reads_what_gguf_wrote(base: Path) -> None:
    from gguf import GGUFReader

    theirs = GGUFReader(base)
    ours = inspect.read(base)
    for name, value in theirs.fields.items():
        if not name.startswith("GGUF."):
            assert ours.get(name) == value.contents(), name
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        assert ours.array(tensor.name).tobytes() == tensor.data.tobytes()
    assert inspect.architecture(base) == "llama"
    assert (inspect.chat_template(base) or "").startswith("{% for m in messages %}")


@pytest.mark.parametrize(
    ("option", "value"),
    [("use_dora", True), ("bias", "all"), ("modules_to_save", ["lm_head"]), ("peft_type", "LOHA"), ("lora_alpha", 0)],
)
def test_what_is_no_plain_lora_is_refused(tmp_path: Path, base: Path, option: str, value: object) -> None:
    folder = tiny_prompter_folder(tmp_path / "prompter", base, config={option: value})
    with pytest.raises(EngineError, match=option):
        engine_gguf(folder, base, cache=tmp_path)


def test_a_lora_that_doesnt_fit_is_refused(tmp_path: Path, base: Path, folder: PrompterFolder) -> None:
    other = tiny_llama_gguf(tmp_path / "phi.gguf", architecture="phi2")
    with pytest.raises(EngineError, match=r"gate_proj.*no name of its own"):
        engine_gguf(tiny_prompter_folder(tmp_path / "p", other), other, cache=tmp_path)
    other = tiny_llama_gguf(tmp_path / "bert.gguf", architecture="bert")
    with pytest.raises(EngineError, match="architecture 'bert'"):
        engine_gguf(tiny_prompter_folder(tmp_path / "p", other), other, cache=tmp_path)
    with pytest.raises(InputError, match=r"Q9_9.*Q8_0"):
        engine_gguf(folder, base, cache=tmp_path, quantization="Q9_9")
