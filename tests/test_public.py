"""The public surface: what is exported, typed, documented, and quick to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import promptlift

SOURCE = Path(promptlift.__file__).parent


def test_every_public_name_is_there_and_nothing_else() -> None:
    assert dir(promptlift) == promptlift.__all__
    for name in promptlift.__all__:
        assert getattr(promptlift, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        promptlift.nothing  # noqa: B018


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, promptlift; "
        "heavy = {'torch', 'transformers', 'numpy', 'openai', 'xllamacpp', 'pydantic', 'rich', 'typer'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_runtime_does_not_load_training() -> None:
    code = (
        "import sys; from promptlift import Prompter; p = Prompter.load(slots=1); p.rewrite('explain tides'); "
        "heavy = {m for m in sys.modules if m.split('.')[0] in {'torch', 'transformers', 'peft', 'trl'}}; "
        "assert not heavy, heavy; assert not any(m.startswith('promptlift.training') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)


def test_public_functions_and_classes_are_documented() -> None:
    missing = []
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            missing.append(f"{path.name}: module")
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                missing.append(f"{path.name}: {node.name}")
    assert missing == []


def test_leaves_import_no_stage_and_the_runtime_no_training() -> None:
    leaves = {"errors", "records", "template", "spans", "passages", "pointers", "language", "similarity"}
    for path in SOURCE.rglob("*.py"):
        relative = path.relative_to(SOURCE)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            node.module.removeprefix("promptlift.")
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("promptlift.")
        }
        if len(relative.parts) == 1 and path.stem in leaves:
            assert {name.split(".")[0] for name in imported} <= leaves, relative
        if relative.parts[0] not in ("training", "cli") and relative.name != "torch.py":
            assert not any(name.startswith("training") for name in imported), relative


def test_nothing_is_evaluated_or_unpickled() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, path
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"pickle", "shelve", "marshal"}, path
