"""Start llama.cpp's server in process: quiet, closed to others, and safe to drop."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def usable_cores() -> int:
    """The cores that this process may use; llama.cpp and os.cpu_count count those of the machine, not the container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_server(
    gguf: Path,
    context: int,
    slots: int,
    threads: int | None = None,
    batch: int | None = None,
    adapters: Sequence[Path] = (),
) -> Any:
    """Load a GGUF into an `xllamacpp.Server`.

    Args:
        gguf: the model.
        context: tokens a slot can hold (llama.cpp rounds up to a multiple of 256).
        slots: requests in work at once.
        threads: of the computation; the cores that this process may use by default.
        batch: prompt tokens computed in one go; llama.cpp's own default if None.
        adapters: LoRAs to load beside the model; each request must name every one with its scale or 0.

    Raises:
        RuntimeError, ValueError: llama.cpp can't load it; the reason is lost with its silence.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.verbosity = -1
    if adapters:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 0.0) for path in adapters]
    # It listens on a random port of the loopback device: nobody else shall use it.
    params.api_keys = [secrets.token_hex(16)]
    params.ui = False
    params.n_parallel = slots
    params.n_ctx = context * slots
    params.kv_unified = False  # else two long texts could push each other out
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.warmup = False
    if batch is not None:
        params.n_batch = batch
    count = threads or usable_cores()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = count
    params.endpoint_metrics = True
    server = xllamacpp.Server(params)
    server.handle_metrics()  # goes through its queue: a server dropped before its loop runs would hang
    return server
