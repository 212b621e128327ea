"""What is said to `vllm serve`: arguments from a table of settings, and from a serving.properties as DJL reads it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aural.errors import SettingsError

log = logging.getLogger("aural.vllm")

PROPERTIES = "serving.properties"
ARGUMENTS = frozenset(
    {
        "block_size",
        "chat_template",
        "config_format",
        "cpu_offload_gb",
        "data_parallel_size",
        "disable_custom_all_reduce",
    }
    | {"disable_log_stats", "download_dir", "dtype", "enable_auto_tool_choice", "enable_chunked_prefill"}
    | {"enable_prefix_caching", "enforce_eager", "gpu_memory_utilization", "kv_cache_dtype", "load_format"}
    | {"kv_cache_memory_bytes", "limit_mm_per_prompt", "max_model_len", "max_num_batched_tokens", "max_num_seqs"}
    | {"mm_processor_kwargs", "model", "pipeline_parallel_size", "quantization", "revision", "seed"}
    | {
        "skip_mm_profiling",
        "tensor_parallel_size",
        "tokenizer",
        "tokenizer_mode",
        "tool_call_parser",
        "compilation_config",
    }
    | {"trust_remote_code", "mm_encoder_tp_mode", "response_role", "hf_overrides", "enable_log_requests"}
)
"""Those that a model may need, by name with underscores. The rest belongs to the server: address, keys, names."""
TOKEN = "hf_token"
"""An argument can be read by everybody on the machine, and lands in logs."""
VOXTRAL = {"tokenizer_mode": "mistral", "config_format": "mistral", "load_format": "mistral", "dtype": "bfloat16"}
"""What Mistral's weights want."""
REALTIME_ON_GPUS = {"compilation_config": {"cudagraph_mode": "PIECEWISE"}}
"""vLLM's realtime Voxtral does not start with full CUDA graphs, which are the default."""
LONE = frozenset({"disable_log_stats"})
"""Switches that vLLM has no `--no-` form of: they are off unless said."""

RENAMED = {
    "model_id": "model",
    "tensor_parallel_degree": "tensor_parallel_size",
    "pipeline_parallel_degree": "pipeline_parallel_size",
    "max_rolling_batch_size": "max_num_seqs",
    "max_rolling_batch_prefill_tokens": "max_num_batched_tokens",
    "quantize": "quantization",
}
"""DJL's name of an option → vLLM's."""
DEAD = frozenset(
    {"rolling_batch", "entryPoint", "async_mode", "batch_size", "max_batch_delay", "predict_timeout", "mpi_mode"}
    | {"model_loading_timeout", "health_check_grace_period", "served_model_name", "api_key_enabled", "swap_space"}
    | {"max_seq_len_to_capture", "mm_processor_kwargs", "max_new_tokens", "temperature", "top_p", "repetition_penalty"}
    | {"use_v2_block_manager", "log_level", "enable_metrics", "scheduler_delay_factor", "enable_batch_padding"}
    | {"preemption_mode", "worker_use_ray", "distributed_executor_backend", "engine_use_ray", "response_role"}
    | {"worker_multiproc_method", "output_formatter", "task", "device_map", "job_queue_size", "disable_log_requests"}
)
"""Options that mean nothing here: another server's, gone from vLLM, or said by each request."""


def command_line(table: Mapping[str, Any]) -> list[str]:
    """The table as flags; raises SettingsError for a key that vLLM would not know, or that is not a model's to say."""
    if TOKEN in table:
        raise SettingsError(f"expected the token for the Hub as HF_TOKEN in the environment, got {TOKEN} in a file")
    unknown = sorted(table.keys() - ARGUMENTS)
    if unknown:
        raise SettingsError(f"expected arguments of vLLM among {', '.join(sorted(ARGUMENTS))}; got {unknown[0]!r}")
    words: list[str] = []
    for key, value in table.items():
        flag = "--" + key.replace("_", "-")
        if value is False and key in LONE:
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif key != "model":
            words += [flag, json.dumps(value) if isinstance(value, Mapping | list) else str(value)]
    return words


def read_properties(folder: Path | None) -> dict[str, Any]:
    """What the serving.properties of a folder says to vLLM; nothing when there is none. Options without a meaning here
    are logged. Raises SettingsError for one that nobody knows."""
    path = folder / PROPERTIES if folder else None
    if path is None or not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith(("#", "!")))
    said = {key.strip(): value.strip() for key, _, value in pairs}
    return _translated({key: value for key, value in said.items() if key not in ("engine", "job_queue_size")}, path)


def _translated(said: Mapping[str, str], path: Path) -> dict[str, Any]:
    table: dict[str, Any] = {}
    dead: list[str] = []
    for key, value in said.items():
        option = key.removeprefix("option.")
        name = RENAMED.get(option, option)
        if option in DEAD:
            dead.append(key)
        elif key.startswith("option.") and name in ARGUMENTS | {TOKEN}:
            table[name] = _parsed(name, value)
        else:
            raise SettingsError(f"{path}: expected option.NAME of DJL or vLLM, got {key!r}")
    if dead:
        log.warning("options without a meaning here", extra={"file": str(path), "options": dead})
    return table


def _parsed(name: str, value: str) -> Any:
    """`audio:8` is `{"audio": 8}`, `true` a switch, and what reads as JSON is JSON."""
    if name == "limit_mm_per_prompt" and not value.startswith("{"):
        return {kind.strip(): int(most) for kind, _, most in (pair.partition(":") for pair in value.split(","))}
    try:
        return json.loads(value.lower() if value.lower() in ("true", "false") else value)
    except ValueError:
        return value
