"""NeMo models: the same text, tokens and times as onnx-asr from the same files, one by one and together."""

from __future__ import annotations

import json
from dataclasses import replace
from fnmatch import fnmatch
from itertools import product
from pathlib import Path

import huggingface_hub
import numpy as np
import onnx
import onnx_asr
import onnxruntime
import pytest
from onnx_asr.preprocessors.numpy_preprocessor import NemoPreprocessorNumpy
from onnx_asr.preprocessors.preprocessor import OnnxPreprocessor
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from aural.audio.decode import decode
from aural.engines import base, catalog, parakeet_network
from aural.engines.base import ModelSpec
from aural.engines.parakeet import ParakeetEngine, _alike_in_length
from aural.engines.parakeet_decoder import Hypothesis
from aural.engines.parakeet_features import log_mel, stack
from aural.engines.parakeet_files import weights_bytes
from aural.engines.parakeet_text import Vocabulary, read_vocabulary, spell
from aural.errors import LoadFailed, SettingsError
from aural.types import SAMPLE_RATE, Clip, Options, Samples
from benchmarks.nemo_models import SIZES, write_random
from tests.conftest import DATA, recordings
from tests.engines.ears import DIGITS, ears, noise

KINDS = ("ctc", "rnnt", "tdt")
CPU = ["CPUExecutionProvider"]
FRAME_S = 0.08


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A small model of each kind with random weights."""
    place = tmp_path_factory.mktemp("nemo")
    return {kind: write_random(place / kind, kind) for kind in KINDS}


@pytest.fixture(scope="session")
def audios() -> list[Samples]:
    """Speech of several lengths."""
    heard = [decode(clip.bytes, limit_s=60).samples for clip in recordings(DATA) if clip.text]
    return [*heard, heard[0][: SAMPLE_RATE // 5], noise(0.1, 0.5), noise(0.1, 1.01)]


def engine(folder: Path, **changes: object) -> ParakeetEngine:
    loaded = base.load(replace(ModelSpec("nemo", "parakeet", folder, compute_type="auto"), **changes))
    assert isinstance(loaded, ParakeetEngine)
    return loaded


def text_of(ours: ParakeetEngine, heard: Hypothesis) -> str:
    spoken = spell(heard, ours._vocabulary, 1280, 10**9)
    return "".join(one.word.text for one in spoken).strip()


@pytest.mark.parametrize("bands", [80, 128])
def test_features_are_those_of_onnx_asr(audios, bands):
    """Of its numpy or its ONNX implementation, whose own rounding sets them further apart than that."""
    theirs = [NemoPreprocessorNumpy(f"nemo{bands}"), OnnxPreprocessor(f"nemo{bands}", {"providers": CPU})]
    expected = [one(*_side_by_side(audios)) for one in theirs]
    ours, lengths = stack([log_mel(samples, bands) for samples in audios])
    for row, length in enumerate(lengths.tolist()):
        assert [lengths[row] for _, lengths in expected] == [length] * 2
        apart = [np.abs(ours[row, :, :length] - features[row, :, :length]) for features, _ in expected]
        assert np.minimum(*apart).max() < 1e-4
        assert not ours[row, :, length:].any()


def _side_by_side(audios: list[Samples]) -> tuple[Samples, np.ndarray]:
    batch = np.zeros((len(audios), max(map(len, audios))), np.float32)
    for row, samples in zip(batch, audios, strict=True):
        row[: len(samples)] = samples
    return batch, np.array([len(samples) for samples in audios])


def test_digital_silence_has_no_features():
    assert not log_mel(np.zeros(SAMPLE_RATE, np.float32), 80).any()


@pytest.mark.parametrize(("kind", "order"), list(product(KINDS, [1, -1])))
def test_what_is_heard_is_what_onnx_asr_hears(folders, audios, kind, order):
    """Text, tokens and times, in batches of mixed length."""
    ours = engine(folders[kind])
    theirs = onnx_asr.load_model(f"nemo-conformer-{kind}", folders[kind], providers=CPU)
    heard = ours._hear(audios[::order])
    expected = theirs.with_timestamps().recognize(audios[::order])
    assert len({len(one.tokens) for one in heard}) > 5
    assert len({token for one in heard for token in one.tokens.tolist()}) > 20
    for one, other in zip(heard, expected, strict=True):
        assert [ours._vocabulary.pieces[token] for token in one.tokens] == other.tokens
        np.testing.assert_allclose(one.starts * FRAME_S, other.timestamps)
        assert text_of(ours, one) == other.text
        if kind != "ctc":  # onnx-asr adds up the frames of a run, we take their mean
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "kind"), [("parakeet", "tdt"), ("parakeet-v3", "tdt"), ("parakeet", "rnnt")])
def test_decoders_of_the_real_size(audios, tmp_path, size, kind):
    folder = write_random(tmp_path, kind, SIZES[size])
    theirs = onnx_asr.load_model(f"nemo-conformer-{kind}", folder, providers=CPU).with_timestamps()
    ours = engine(folder, threads=2)
    for heard, other in zip(ours._hear(audios), theirs.recognize(audios), strict=True):
        assert [ours._vocabulary.pieces[token] for token in heard.tokens] == other.tokens
        np.testing.assert_allclose(heard.starts * FRAME_S, other.timestamps)


def test_durations_vary(folders, audios):
    heard = engine(folders["tdt"])._hear(audios)
    assert {1, 2, 3, 4} <= {length for one in heard for length in (one.ends - one.starts).tolist()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_changes_nothing(folders, audios, kind):
    ours = engine(folders[kind])
    for one, alone in zip(ours._hear(audios), [ours._hear([samples])[0] for samples in audios], strict=True):
        assert one.tokens.tolist() == alone.tokens.tolist()
        assert one.starts.tolist() == alone.starts.tolist()
        assert one.ends.tolist() == alone.ends.tolist()


def test_english_and_multilingual(folders, tmp_path):
    can = engine(folders["tdt"]).capabilities
    assert (can.languages, can.detects_language, can.tasks) == (("en",), False, ("transcribe",))
    write_random(tmp_path, "tdt")
    vocabulary = (tmp_path / "vocab.txt").read_text().replace("\u2581zz", "<|de|>")
    (tmp_path / "vocab.txt").write_text(vocabulary.replace("\u2581b ", "<|de|> "))
    can = engine(tmp_path).capabilities
    assert (len(can.languages), can.detects_language) == (25, True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"languages": ["ru"]}))
    assert engine(tmp_path).capabilities.languages == ("ru",)


def test_clips_are_grouped_by_length():
    assert list(_alike_in_length([100, 10, 80, 9, 75], 0.75)) == [[0, 2, 4], [1, 3]]
    assert list(_alike_in_length([3, 100], 0.0)) == [[1, 0]]
    assert list(_alike_in_length([], 0.5)) == []


def test_the_files_of_a_compute_type(folders, tmp_path):
    with pytest.raises(LoadFailed, match=r"nemo: expected model.onnx, or encoder-model.onnx .* as int8; found none"):
        engine(folders["tdt"], compute_type="int8")
    for path in folders["tdt"].iterdir():
        (tmp_path / path.name.replace("model.onnx", "model.int8.onnx")).write_bytes(path.read_bytes())
    engine(tmp_path)
    engine(tmp_path, compute_type="int8")
    int8 = weights_bytes(tmp_path, "auto", "cpu")
    (tmp_path / "encoder-model.onnx").write_bytes(bytes(1000))
    (tmp_path / "decoder_joint-model.onnx").write_bytes(bytes(1000))
    (tmp_path / "encoder-model.onnx.data").write_bytes(bytes(1000))
    assert weights_bytes(tmp_path, "auto", "cpu") == int8 > 3000
    assert weights_bytes(tmp_path, "auto", "cuda:0") == 3000
    with pytest.raises(LoadFailed, match="float16"):
        engine(tmp_path, compute_type="float16")


@pytest.mark.parametrize(
    ("compute_type", "device", "published", "expected"),
    [
        ("auto", "cpu", ("", ".int8"), [".int8"]),
        ("auto", "cuda", ("", ".int8"), [""]),
        ("auto", "cpu", ("",), [""]),
        ("float32", "cpu", ("", ".int8"), [""]),
        ("tensorrt", "cuda", (".fp16",), [".fp16"]),
        ("int8", "cpu", ("",), []),
    ],
)
def test_a_download_brings_one_compute_type(tmp_path, monkeypatch, compute_type, device, published, expected):
    names = [f"{stem}{suffix}.onnx" for suffix in published for stem in ("encoder-model", "decoder_joint-model")]

    def snapshot(repository, allow_patterns):
        for name in ("vocab.txt", "README.md", *names):
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                (tmp_path / name).touch()
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    card = catalog.find("parakeet-tdt-0.6b-v2")
    if expected:
        assert card.fetch(compute_type, device) == tmp_path
    else:
        with pytest.raises(LoadFailed, match=r"parakeet-tdt-0.6b-v2: expected .*-onnx to have files as int8"):
            card.fetch(compute_type, device)
    models = {path.name for path in tmp_path.iterdir()} - {"vocab.txt"}
    assert models == {f"{stem}{one}.onnx" for one in expected for stem in ("encoder-model", "decoder_joint-model")}


@pytest.mark.parametrize(("source", "family"), [("someone/stt-onnx", "whisper"), ("parakeet:someone/x", "parakeet")])
def test_a_repository_of_another_family_is_told(tmp_path, monkeypatch, source, family):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repository, allow_patterns: str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(LoadFailed, match=rf"expected someone/\S+ to have .*say so: .*{family}:someone/"):
        catalog.find(source).fetch()


@pytest.mark.parametrize("compute_type", ["int8", "float16"])
def test_other_number_types_hear_the_same(tmp_path, compute_type):
    for name in ("vocab.txt", "config.json"):
        (tmp_path / name).write_bytes((DIGITS / name).read_bytes())
    for stem in ("encoder-model", "decoder_joint-model"):
        if compute_type == "int8":
            into = tmp_path / f"{stem}.int8.onnx"
            quantize_dynamic(DIGITS / f"{stem}.onnx", into, op_types_to_quantize=["MatMul"])
        else:
            exact = ("LSTM", "Range", "Where")  # have no float16 kernels on a CPU, or are made of integers
            half = convert_float_to_float16(onnx.load(DIGITS / f"{stem}.onnx"), op_block_list=exact)
            onnx.save(half, tmp_path / f"{stem}.fp16.onnx")
    small = engine(tmp_path, compute_type=compute_type)
    known = ears("parakeet-digits")
    for samples, text in zip(known.sentences, known.texts, strict=True):
        [heard] = small.transcribe([Clip(samples)])
        assert "".join(segment.text for segment in heard.segments).strip() == text


def test_speech_is_heard_as_onnx_asr_hears_it(clips):
    theirs = onnx_asr.load_model("nemo-conformer-tdt", DIGITS, providers=CPU).with_timestamps()
    spoken = [*ears("parakeet-digits").sentences, decode(clips["LJ001-0002"].bytes, limit_s=60).samples]
    ours = engine(DIGITS)
    for heard, other in zip(ours._hear(spoken), theirs.recognize(spoken), strict=True):
        assert (text_of(ours, heard), len(heard.tokens)) == (other.text, len(other.tokens))
        np.testing.assert_allclose(heard.starts * FRAME_S, other.timestamps)


def test_a_person_is_heard(shared_clips):
    said = [clip for clip in shared_clips if clip.text.lower() == "one two three"]
    assert said
    for heard in engine(DIGITS).transcribe([Clip(decode(clip.bytes, limit_s=60).samples) for clip in said]):
        assert "".join(segment.text for segment in heard.segments).strip() == "one two three"


@pytest.mark.parametrize(("compute_type", "provider"), [("auto", "CUDA"), ("tensorrt", "Tensorrt")])
def test_a_gpu_that_is_not_there(folders, compute_type, provider, monkeypatch, tmp_path):
    monkeypatch.setenv("AURAL_CACHE", str(tmp_path))
    with pytest.raises(LoadFailed, match=f"nemo: expected onnxruntime-gpu, with {provider}ExecutionProvider, for cuda"):
        engine(folders["tdt"], device="cuda", compute_type=compute_type)


class OnGpu(onnxruntime.InferenceSession):
    """A session on a CPU that says which of the providers asked for it has."""

    missing = ""

    def __init__(self, model, options, *, providers, **more):
        names = [one if isinstance(one, str) else one[0] for one in providers]
        self._said = [name for name in names if name != self.missing]
        super().__init__(model, options, providers=CPU, **more)

    def get_providers(self):
        return self._said


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """ONNX Runtime as it is on a GPU; gives the sessions' class and what was loaded before the first one."""
    loaded = []
    monkeypatch.setenv("AURAL_CACHE", str(tmp_path))
    providers = [f"{name}ExecutionProvider" for name in ("Tensorrt", "CUDA", "CPU")]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: loaded.append("cuda"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnGpu)
    parakeet_network._load_cuda.cache_clear()
    yield loaded
    parakeet_network._load_cuda.cache_clear()


def test_cuda_libraries_are_loaded_once(folders, gpu):
    engine(folders["tdt"])
    assert gpu == []
    engine(folders["tdt"], device="cuda")
    engine(folders["tdt"], device="cuda", compute_type="tensorrt")
    assert gpu == ["cuda"]


@pytest.mark.parametrize(
    ("compute_type", "missing", "got"), [("auto", "CUDA", "CPU"), ("tensorrt", "Tensorrt", "CUDA")]
)
def test_no_provider_stands_in_for_another(folders, gpu, monkeypatch, compute_type, missing, got):
    monkeypatch.setattr(OnGpu, "missing", f"{missing}ExecutionProvider")
    with pytest.raises(LoadFailed, match=f"use {missing}ExecutionProvider on cuda, it fell back to {got}"):
        engine(folders["tdt"], device="cuda", compute_type=compute_type)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", "a b c\n", "expected lines of a piece"),
        ("vocab.txt", "a 0\nb 2\n", "expected tokens numbered from 0"),
        ("vocab.txt", "a 0\nb 1\n", "<blk>"),
        ("config.json", "[]", "expected a JSON object"),
        ("config.json", "{", "expected a JSON object"),
        ("config.json", '{"features_size": "many"}', "expected a JSON object"),
        ("encoder-model.onnx", "no model", "could not be loaded"),
        ("decoder_joint-model.onnx", "no model", "expected an ONNX graph"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    write_random(tmp_path, "tdt")
    (tmp_path / name).write_text(content)
    with pytest.raises(LoadFailed, match=message) as failure:
        engine(tmp_path)
    assert str(tmp_path) in str(failure.value)


def test_no_folder():
    with pytest.raises(LoadFailed, match="expected a folder"):
        base.load(ModelSpec("nemo", "parakeet", None))


def test_a_vocabulary_with_spaces_in_its_pieces(tmp_path):
    (tmp_path / "vocab.txt").write_text("\u2581a 0\n<unk> 1\n<|en|> 2\n<blk> 3\n")
    vocabulary = read_vocabulary(tmp_path / "vocab.txt")
    assert vocabulary == Vocabulary((" a", "", "", "<blk>"), 3, frozenset({"en"}))


def test_names_and_folders(folders, tmp_path):
    assert catalog.find("parakeet-tdt-0.6b-v3").repository == "istupakov/parakeet-tdt-0.6b-v3-onnx"
    named = catalog.find(f"parakeet-tdt-0.6b-v2={folders['tdt']}")
    assert (named.name, named.family, named.folder) == ("parakeet-tdt-0.6b-v2", "parakeet", folders["tdt"])
    assert catalog.find(str(folders["ctc"])).family == "parakeet"
    assert catalog.find("someone/parakeet-other-onnx").family == "parakeet"
    assert catalog.find("istupakov/stt_ru_fastconformer_hybrid_large_pc_onnx").family == "parakeet"
    other = catalog.find("speech=parakeet:someone/stt-onnx")
    assert (other.name, other.family, other.repository) == ("speech", "parakeet", "someone/stt-onnx")
    assert catalog.find("whisper:someone/parakeet-like").family == "whisper"
    with pytest.raises(SettingsError, match="got 'wisper:someone/x'"):
        catalog.find("wisper:someone/x")
    for name in ("vocab.txt", "decoder_joint-model.onnx"):
        (tmp_path / name).write_bytes((folders["tdt"] / name).read_bytes())
    with pytest.raises(SettingsError, match=r"vocab\.txt"):
        catalog.find(str(tmp_path))  # its encoder is missing


def test_what_it_cannot_do_is_refused(folders):
    can = engine(folders["rnnt"]).capabilities
    for options in (Options(prompt="a"), Options(beam_size=2), Options(task="translate"), Options(language="de")):
        with pytest.raises(Exception, match="nemo cannot honour"):
            can.check(options, "nemo")
