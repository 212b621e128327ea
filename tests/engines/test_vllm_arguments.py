"""What is said to vLLM: from a table, from a serving.properties as AWS's sample has it, and on GPUs."""

from __future__ import annotations

import json
import logging
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from aural import assembly
from aural.engines.catalog import find
from aural.engines.vllm_arguments import command_line, read_properties
from aural.engines.voxtral import capabilities
from aural.engines.written import language_of
from aural.errors import SettingsError
from aural.serving.placement import Machine
from aural.settings import ModelSettings, Settings
from tests.standin.vllm import parsed

SAMPLE = """
# Voxtral on vLLM
engine=Python
option.model_id=mistralai/Voxtral-Mini-3B-2507
option.tensor_parallel_degree=1
option.rolling_batch=vllm
option.dtype=bfloat16
option.tokenizer_mode=mistral
option.config_format=mistral
option.load_format=mistral
option.trust_remote_code=true
option.download_dir=/tmp/model_cache
option.gpu_memory_utilization=0.9
option.max_model_len=32768
option.pipeline_parallel_size=1
option.block_size=16
option.swap_space=8
option.cpu_offload_gb=4
option.limit_mm_per_prompt=audio:8
option.max_seq_len_to_capture=32768
option.mm_processor_kwargs={"audio_sampling_rate": 16000, "audio_max_length": 1800.0}
option.max_rolling_batch_size=16
option.max_rolling_batch_prefill_tokens=8192
option.max_new_tokens=2048
option.temperature=0.2
option.enable_chunked_prefill=true
option.enforce_eager=false
option.kv_cache_dtype=auto
option.disable_log_stats=false
option.served_model_name=mistralai/Voxtral-Mini-3B-2507
option.worker_use_ray=true
"""
LIVE = {
    "model": "mistralai/Voxtral-Mini-3B-2507",
    "tensor_parallel_size": 1,
    "dtype": "bfloat16",
    **dict.fromkeys(("tokenizer_mode", "config_format", "load_format"), "mistral"),
    "trust_remote_code": True,
    "download_dir": "/tmp/model_cache",
    "gpu_memory_utilization": 0.9,
    "max_model_len": 32768,
    "pipeline_parallel_size": 1,
    "block_size": 16,
    "cpu_offload_gb": 4,
    "limit_mm_per_prompt": {"audio": 8},
    "max_num_seqs": 16,
    "max_num_batched_tokens": 8192,
    "enable_chunked_prefill": True,
    "enforce_eager": False,
    "kv_cache_dtype": "auto",
    "disable_log_stats": False,
}


def written(folder: Path, text: str) -> Path:
    (folder / "serving.properties").write_text(text)
    return folder


def test_the_sample_is_read_and_its_dead_options_are_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert read_properties(written(tmp_path, SAMPLE)) == LIVE
    [record] = caplog.records
    assert {"option.rolling_batch", "option.swap_space", "option.temperature", "option.worker_use_ray"} <= set(
        record.options
    )


@pytest.mark.parametrize("line", ["option.tensor_paralel_degree=1", "tensor_parallel_degree=1", "option.api_key=x"])
def test_options_that_nobody_knows_are_refused(tmp_path, line):
    with pytest.raises(SettingsError, match=line.partition("=")[0]):
        read_properties(written(tmp_path, line))


def test_a_token_does_not_become_an_argument(tmp_path):
    card = find(f"voxtral={written(tmp_path, 'option.hf_token=hf_secret')}")
    for asked, folder in ((ModelSettings(), card.folder), (ModelSettings(vllm={"hf_token": "hf_secret"}), None)):
        with pytest.raises(SettingsError, match="HF_TOKEN in the environment") as told:
            assembly.vllm_specs(asked, card, folder)
        assert "secret" not in str(told.value)


def test_no_file_says_nothing(tmp_path):
    assert read_properties(tmp_path) == read_properties(None) == {}


def test_flags():
    words = command_line({"max_model_len": 8, "enforce_eager": True, "trust_remote_code": False, "model": "m"})
    assert words == ["--max-model-len", "8", "--enforce-eager", "--no-trust-remote-code"]
    assert command_line({"disable_log_stats": True}) == ["--disable-log-stats"]
    assert command_line({"disable_log_stats": False}) == []
    assert command_line({"limit_mm_per_prompt": {"audio": 8}}) == ["--limit-mm-per-prompt", '{"audio": 8}']
    for key in ("port", "host", "api_key", "served_model_name", "max_modle_len"):
        with pytest.raises(SettingsError, match=key):
            command_line({key: 1})


def test_all_of_it_is_a_command_that_vllm_takes(tmp_path):
    card = find(f"voxtral={written(tmp_path, SAMPLE)}")
    [spec] = assembly.vllm_specs(ModelSettings(memory_share=0.5), card, card.folder)
    given = parsed(["serve", spec.source, "--port", "1", *spec.arguments])
    assert (given.model, given.gpu_memory_utilization, given.max_num_seqs) == (LIVE["model"], "0.5", "16")
    assert (given.trust_remote_code, given.enforce_eager) == (True, False)
    assert spec.places == 16


@pytest.mark.parametrize("page", ["models.md", "voxtral.md"])
def test_the_files_that_the_documents_show_are_settings(page):
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    examples = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        for model in Settings.of(tomllib.loads(example)).models:
            command_line(model.vllm)


@pytest.mark.parametrize(
    ("device", "size", "replicas", "cards"),
    [
        ("auto", 1, 0, [(0,), (1,), (2,), (3,)]),
        ("auto", 2, 0, [(0, 1), (2, 3)]),
        ("auto", "max", 0, [(0, 1, 2, 3)]),
        ("cuda:1,3", 1, 0, [(1,), (3,)]),
        ("cuda:2", 1, 2, [(2,), (2,)]),
        ("cpu", 1, 0, [()]),
    ],
)
def test_cards(monkeypatch, device, size, replicas, cards):
    monkeypatch.setattr(assembly, "this_machine", lambda: Machine(8, 2**36, 4))
    share = 0.5 if replicas else 0.0
    asked = ModelSettings(device=device, replicas=replicas, memory_share=share, vllm={"tensor_parallel_size": size})
    specs = assembly.vllm_specs(asked, find("voxtral-small-24b"), None)
    assert [spec.cards for spec in specs] == cards
    assert {spec.source for spec in specs} == {"mistralai/Voxtral-Small-24B-2507"}
    if replicas:
        for greedy, said in ((0.0, "None"), (0.6, r"0\.6")):
            with pytest.raises(SettingsError, match=f"memory_share up to 0.5 for 2 vLLMs on a card, got {said}"):
                assembly.vllm_specs(replace(asked, memory_share=greedy), find("voxtral-small-24b"), None)
    wide = replace(asked, device="cuda", vllm={"tensor_parallel_size": 8})
    with pytest.raises(SettingsError, match="expected 8 CUDA devices"):
        assembly.vllm_specs(wide, find("voxtral-small-24b"), None)


def test_the_realtime_model_has_no_full_graphs_on_gpus(monkeypatch, tmp_path):
    """Nor has one in a folder, whatever its name; what the table says wins."""
    encoder = {"encoder_args": {"causal": True}}
    (tmp_path / "params.json").write_text(json.dumps({"multimodal": {"whisper_model_args": encoder}}))
    words = '{"cudagraph_mode": "PIECEWISE"}'
    for name in ("voxtral-mini-4b-realtime", f"speech={tmp_path}"):
        card = find(name)
        for gpus, told in ((1, [words]), (0, [])):
            monkeypatch.setattr(assembly, "this_machine", lambda gpus=gpus: Machine(8, 2**36, gpus))
            [spec] = assembly.vllm_specs(ModelSettings(), card, card.folder)
            assert [word for word in spec.arguments if "cudagraph" in word] == told
    monkeypatch.setattr(assembly, "this_machine", lambda: Machine(8, 2**36, 1))
    own = ModelSettings(vllm={"compilation_config": {"cudagraph_mode": "NONE"}})
    [spec] = assembly.vllm_specs(own, card, card.folder)
    assert words not in spec.arguments
    [spec] = assembly.vllm_specs(ModelSettings(), find("voxtral-mini-3b"), None)
    assert "--compilation-config" not in spec.arguments


def test_what_a_model_can_do_is_read_from_its_folder(tmp_path):
    folder = tmp_path / "realtime"
    folder.mkdir()
    (folder / "params.json").write_text('{"multimodal": {"whisper_model_args": {"encoder_args": {}}}}')
    assert capabilities(str(folder)).understanding
    realtime = capabilities("mistralai/Voxtral-Mini-4B-Realtime-2602")
    assert (realtime.understanding, len(realtime.languages)) == (False, 13)


@pytest.mark.parametrize("key", ["max_num_seqs", "tensor_parallel_size", "pipeline_parallel_size"])
@pytest.mark.parametrize("value", ["many", 0, 1.5, True])
def test_what_is_no_number_is_refused(key, value):
    with pytest.raises(SettingsError, match=f"expected {key} of vLLM as a whole number above 0, got {value!r}"):
        assembly.vllm_specs(ModelSettings(vllm={key: value}), find("voxtral-mini-3b"), None)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("So what I wanted to say is that they have been here for a week", "en"),
        ("Ich habe das nicht gewusst, und er hat es auch nicht gesagt", "de"),
        ("Je ne sais pas si elle est dans la maison avec nous", "fr"),
        ("No sé lo que está pasando, pero el tren es muy lento", "es"),
        ("Eu não sei o que é isso, mas ele foi para uma casa", "pt"),
        ("Non è una cosa che mi piace, ma anche gli altri sono qui", "it"),
        ("Het is niet zo dat ik er nog nooit ben geweest", "nl"),
        ("मुझे नहीं पता कि क्या हो रहा है", "hi"),
        ("لا أعرف ماذا يحدث هنا", "ar"),
    ],
)
def test_which_language_a_text_is_written_in(text, language):
    got, sure = language_of(text, ("en", "ar", "de", "es", "fr", "hi", "it", "nl", "pt"))
    assert (got, sure > 0.5) == (language, True)


def test_a_text_without_common_words_is_the_first_language_and_not_sure():
    assert language_of("Kayak", ("en", "de")) == ("en", 0.0)
