"""The files for whoever runs the server: they name things that are there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.testing

from promptlift.cli.app import app
from promptlift.serving.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def options_of_serve() -> str:
    return typer.testing.CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output


def test_the_example_of_settings_is_valid() -> None:
    found = load_settings({}, DEPLOY / "promptlift.toml", {})
    assert found.port == Settings.model_fields["port"].default and found.targets == {"text-embedding-*": False}
    commented = re.sub(r"(?m)^# (\w+ = )", r"\1", (DEPLOY / "promptlift.toml").read_text())
    assert "\nupstream_key_env" in commented


def test_the_settings_are_all_documented() -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    missing = [name for name in Settings.model_fields if f"`{name}`" not in text]
    assert missing == []


def test_the_container_runs_what_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    entry = json.loads(re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)[0])
    help_text = options_of_serve()
    assert entry[:2] == ["promptlift", "serve"]
    assert all(word in help_text for word in [*entry, *re.findall(r"--[a-z-]+env", text)] if word.startswith("--"))
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split()[:-1]), line
    check = json.loads(re.findall(r"CMD (\[.*\])$", text, re.MULTILINE)[0])
    compile(check[2], "healthcheck", "exec")


def test_the_unit_runs_what_there_is() -> None:
    text = (DEPLOY / "promptlift.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    words = shlex.split(command)
    assert words[1] == "serve" and all(word in options_of_serve() for word in words if word.startswith("--"))
    drain = load_settings({"upstream": "http://x"}, None, {}).drain_seconds
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(stop) > drain


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "promptlift.service"
    text = (DEPLOY / "promptlift.service").read_text()
    # the program and its user are not on this machine
    unit.write_text(
        re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", re.sub(r"(?m)^(User|Group)=.*$", r"\1=root", text))
    )
    run = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    mine = [line for line in run.stderr.splitlines() if "promptlift.service" in line]
    assert mine == []
