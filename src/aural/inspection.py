"""`aural models` and `aural doctor`: what is here, and what would be chosen and why."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from aural.assembly import VLLM_FAMILY, fetched, model_specs, vllm_specs
from aural.engines.catalog import DEFAULT_MODEL, Card, find, known, weights
from aural.engines.voxtral import capabilities, is_realtime
from aural.engines.weights import cache_folder, digest
from aural.errors import AuralError
from aural.serving.placement import Machine, this_machine
from aural.serving.supervisor import worker_environment
from aural.serving.vllm_link import vllm_command
from aural.settings import ModelSettings, Settings

INSTRUCTION_SETS = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
LIBRARIES = ("ctranslate2", "faster-whisper", "onnxruntime", "av", "numpy", "tokenizers", "starlette", "uvicorn")


def show_models() -> None:
    """A table of every model that a name alone can ask for."""
    table = Table(
        title="Models", caption="Also: [FAMILY:]OWNER/REPOSITORY on the Hugging Face Hub, or a folder of weights."
    )
    table.add_column("name", no_wrap=True)
    for column in ("here", "hears", "does", "weights"):
        table.add_column(column, overflow="fold")
    for card in known():
        english = card.name.endswith(".en") or "distil" in card.name
        hears = "English" if english else "99 languages"
        if card.family == "parakeet":
            hears = "25 European languages" if card.name.endswith("-v3") else "English"
        if card.family == "voxtral":
            hears = f"{len(capabilities(card.name).languages)} languages"
        translates = card.family == "whisper" and not english
        table.add_row(
            f"{card.name} (default)" if card.name == DEFAULT_MODEL else card.name,
            "yes" if card.is_here else "no",
            hears,
            _does(card, translates),
            card.source,
        )
    Console().print(table)


def _does(card: Card, translates: bool) -> str:
    if card.family == "voxtral":
        return "text through vLLM" if is_realtime(card.name) else "text and answers through vLLM"
    return "text, times of words, translation to English" if translates else "text, times of words"


def show_doctor(settings: Settings) -> bool:
    """Everything that decides how well the server will run; returns whether it would start."""
    console = Console()
    machine = this_machine()
    console.print(_machine_table(machine))
    console.print(_library_table())
    results = [_show_model(console, asked) for asked in settings.models]
    return all(results)


def _machine_table(machine: Machine) -> Table:
    table = Table(title="Machine", show_header=False)
    flags = _cpu_flags()
    table.add_row("cores", str(machine.cores))
    table.add_row("memory", f"{machine.memory_bytes / 2**30:.1f} GiB")
    table.add_row("CUDA devices", str(machine.gpus) if machine.gpus else "none: models run on the CPU")
    table.add_row("instructions", " ".join(name for name in INSTRUCTION_SETS if name in flags) or "unknown")
    table.add_row("CTranslate2 uses", _isa(flags))
    return table


def _isa(flags: frozenset[str]) -> str:
    forced = os.environ.get("CT2_FORCE_CPU_ISA")
    if forced:
        return f"{forced}, forced by CT2_FORCE_CPU_ISA"
    note = "; CT2_FORCE_CPU_ISA=AVX512 may be faster, and changes some texts" if "avx512f" in flags else ""
    return f"its own choice (AVX2 on AMD processors){note}"


def _library_table() -> Table:
    table = Table(title="Libraries", show_header=False)
    for name in LIBRARIES:
        table.add_row(name, _version(name))
    table.add_row("cache", str(cache_folder()))
    return table


def _show_model(console: Console, asked: ModelSettings) -> bool:
    table = Table(title=f"Model {asked.model}", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    try:
        card = find(asked.model)
        table.add_row("weights", card.source)
        works = _check_weights(table, asked, card)
    except AuralError as error:
        table.add_row("problem", f"[red]{error}")
        works = False
    console.print(table)
    return works


def _check_weights(table: Table, asked: ModelSettings, card: Card) -> bool:
    if not card.is_here:
        table.add_row("here", f"no: the first start {card.source}")
        return True
    folder = fetched(asked, card)
    if card.family == VLLM_FAMILY:
        return _check_vllm(table, asked, card, folder)
    works = _check_digest(table, card, folder)
    specs = model_specs(asked, card, folder)
    first = specs[0]
    where = "a GPU each" if first.device == "cuda" else f"{first.threads} thread(s) each"
    why = "one per GPU" if first.device == "cuda" else "one-thread workers never wait for each other; memory allows"
    table.add_row("replicas", f"{len(specs)}, {where} ({'as set' if asked.replicas else why})")
    table.add_row("compute type", first.compute_type)
    table.add_row("fitted windows", _fitted_words(first.fitted_windows, card))
    for variable, value in worker_environment(first).items():
        table.add_row("worker environment", f"{variable}={value}")
    return works


def _check_vllm(table: Table, asked: ModelSettings, card: Card, folder: Path | None) -> bool:
    specs = vllm_specs(asked, card, folder)
    table.add_row("replicas", f"{len(specs)}, {specs[0].places} clips at once each, on {specs[0].device}")
    if not card.upstream:
        table.add_row("command", " ".join([*vllm_command(), "serve", specs[0].source, *specs[0].arguments]))
    return True


def _check_digest(table: Table, card: Card, folder: Path | None) -> bool:
    if folder is None:
        return True
    got = digest(weights(folder)[0])
    expected = card.sha256
    matches = expected in (None, got)
    verdict = "as published" if expected == got else "nothing published to compare" if matches else f"NOT {expected}"
    table.add_row("sha256", f"{got} ({verdict})")
    return matches


def _fitted_words(fitted: bool, card: Card) -> str:
    if fitted:
        return "on: the encoder hears the clip, not 30 s"
    return "off" if card.fits_windows else "off: not shown to keep this model's text"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "[red]missing"


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
