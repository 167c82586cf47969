"""What a server is told: flags over environment over a TOML file, and nothing unknown in any of them."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from promptlift.errors import InputError
from promptlift.records import Strength, read_text

PREFIX = "PROMPTLIFT_SERVE_"
KEY_ENV = "PROMPTLIFT_API_KEY"
Turns = Literal["first", "every", "never"]


class Settings(BaseModel):
    """Everything that can be set; secrets are named by the environment variable that holds them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    upstream: str = Field(description="the LLM's base URL, such as https://api.openai.com/v1")
    upstream_key_env: str | None = Field(
        None, description="the environment variable with the LLM's key; without it the client's own header is sent on"
    )
    upstream_timeout: float = Field(600.0, gt=0, description="seconds until the upstream's next byte")
    host: str = Field("127.0.0.1", description="address to listen on; beyond loopback an API key is required")
    port: int = Field(8800, ge=0, le=65535, description="0 takes a free one")
    api_key_env: str = Field(KEY_ENV, description="the environment variable with the key that clients must give")
    hosts: list[str] = Field([], description="names that clients may call this server by, besides --host")
    origins: list[str] = Field([], description="web origins that may call this server (CORS); none by default")
    prompter: str | None = Field(None, description="a prompter's name or folder")
    base_gguf: str | None = Field(None, description="the base's GGUF, if it is not the embedded one")
    unproven: bool = Field(False, description="also give advice, and use adapters, that were not measured to help")
    strength: Strength | None = Field(None, description="of the rewrites")
    target: str | None = Field(None, description="the adapter for models that no entry of `targets` names")
    targets: dict[str, str | bool] = Field(
        {}, description="model, or a pattern with * and ?, to the adapter's name; false: leave its prompts alone"
    )
    turns: Turns = Field("first", description="which user turns of a conversation are rewritten")
    deadline: float = Field(1.5, gt=0, le=60, description="seconds a request waits for its rewrite")
    slots: int = Field(1, ge=1, le=64, description="prompts rewritten at once; with 1 the same prompt always gives "
                       "the same bytes")  # fmt: skip
    threads: int | None = Field(None, ge=1, description="of the prompter's computation; all cores but one by default")
    queue: int = Field(64, ge=1, description="prompts that may wait; with more, they go through as they are")
    memory: int = Field(10_000, ge=1, description="rewrites that are remembered")
    memory_mb: int = Field(64, ge=1, description="megabytes of them")
    max_body_mb: int = Field(100, ge=1, description="of a request; a larger one is refused with 413")
    inspect_mb: int = Field(16, ge=1, description="of a request whose prompt is looked for; larger ones go through")
    buffer_mb: int = Field(256, ge=1, description="of all requests being read at once; beyond it they go through")
    body_seconds: float = Field(60.0, gt=0, description="a request's body must have come by then")
    max_requests: int = Field(1000, ge=1, description="in work at once; more are told to come back (503)")
    drain_seconds: float = Field(120.0, ge=0, description="running answers may take so long after SIGTERM")
    votes: str | None = Field(None, description="the folder of the page's votes; in the user's data folder by default")
    page: bool = Field(True, description="serve the page at /")
    log_prompts: bool = Field(False, description="write prompts and rewrites to the log")

    @field_validator("upstream")
    @classmethod
    def _is_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        try:
            httpx2.URL(value)
        except httpx2.InvalidURL:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or "?" in value or "#" in value:
            raise ValueError("an http(s) URL such as http://localhost:11434/v1 is needed")
        if parts.username or parts.password:
            raise ValueError(
                "no name or password in the URL: put the key into a variable, and name it as upstream_key_env"
            )
        return value.rstrip("/")

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not re.fullmatch(r"https?://[^\s/?#*@]+", origin.rstrip("/")):
                raise ValueError(f"{origin!r} is no origin: https://example.com is one")
        return [origin.rstrip("/").lower() for origin in value]

    @field_validator("targets")
    @classmethod
    def _no_true(cls, value: dict[str, str | bool]) -> dict[str, str | bool]:
        for model, target in value.items():
            if target is True or target == "":
                raise ValueError(f"{model!r} is {target!r}: an adapter's name or false is needed")
        return value

    @model_validator(mode="after")
    def _sizes(self) -> Settings:
        if self.inspect_mb > self.max_body_mb:
            raise ValueError(f"inspect_mb, {self.inspect_mb}, must not be above max_body_mb, {self.max_body_mb}")
        return self

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def api_key(self) -> str | None:
        """The key that clients must give, if there is one.

        Raises:
            InputError: the server listens beyond loopback and there is none.
        """
        key = os.environ.get(self.api_key_env) or None
        if key is None and not self.loopback:
            raise InputError(
                f"--host {self.host} is open to others and needs a key: set {self.api_key_env}, or leave --host out"
            )
        return key

    def upstream_key(self) -> str | None:
        """The LLM's key, if the server is to send its own.

        Raises:
            InputError: the variable is named, and empty.
        """
        if self.upstream_key_env is None:
            return None
        if not (key := os.environ.get(self.upstream_key_env)):
            raise InputError(
                f"--upstream-key-env {self.upstream_key_env}: this variable is empty; set it, or leave it out"
            )
        return key


def load_settings(
    flags: Mapping[str, Any], file: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Join the three sources; a flag that is None was not given.

    Args:
        flags: by field name.
        file: a TOML file of the same names.
        environment: variables; those that begin with PROMPTLIFT_SERVE_ count, lists separated by commas.

    Raises:
        InputError: a key is unknown or a value not allowed; the message names the source.
    """
    environment = os.environ if environment is None else environment
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}
    if file is not None:
        try:
            from_file = tomllib.loads(read_text(file))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file} is no TOML: {error}") from None
        found |= from_file
        origin |= {key: str(file) for key in from_file}
    for name, value in environment.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower()
            found[key] = (
                [part.strip() for part in value.split(",") if part.strip()] if key in ("hosts", "origins") else value
            )
            origin[key] = f"${name}"
    for key, value in flags.items():
        if value is not None:
            found[key] = value
            origin[key] = f"--{key.replace('_', '-')}"
    try:
        return Settings(**found)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, Settings.model_fields, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(Settings.model_fields)}"
            raise InputError(f"{origin[key]}: there is no setting {key!r}; {hint}") from None
        if first["type"] == "missing":
            raise InputError(
                "which LLM? Name its base URL: promptlift serve --upstream http://localhost:11434/v1"
            ) from None
        value = "" if key == "" else f": {key} is {_shown(found.get(key))}"
        raise InputError(
            f"{origin.get(key, 'settings')}{value}: {first['msg'].removeprefix('Value error, ')}"
        ) from None


def _shown(value: Any) -> str:
    """A value for an error message: without a password in a URL, and not too long."""
    return re.sub(r"(?<=://)[^/\s@]+@", "…@", repr(value))[:200]
