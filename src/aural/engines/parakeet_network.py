"""The networks of NeMo's models in ONNX Runtime: which files, on which device, with which inputs and outputs."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from aural.engines.base import ModelSpec
from aural.engines.parakeet_decoder import (
    Floats,
    Hypothesis,
    Ints,
    Network,
    State,
    decode_ctc,
    decode_transducer,
)
from aural.engines.parakeet_files import TENSORRT, Config
from aural.engines.parakeet_graph import Graph
from aural.engines.weights import cache_folder
from aural.errors import LoadFailed

log = logging.getLogger("aural.parakeet")

_NUMPY_TYPES: Final = {
    **{"tensor(float)": np.float32, "tensor(float16)": np.float16},
    **{"tensor(int32)": np.int32, "tensor(int64)": np.int64},
}
_STATES_BEFORE, _STATES_AFTER = ("input_states_1", "input_states_2"), ("output_states_1", "output_states_2")
_NO_SPINNING: Final = {"intra_op.allow_spinning": "0"}
_TRANSPOSED: Final = ["MatmulTransposeFusion"]
"""With it frames of several utterances are multiplied one by one."""
_TENSORRT_SHAPES: Final = {"min": (1, 8), "opt": (8, 1000), "max": (32, 3000)}
"""Clips and feature frames that TensorRT prepares its engine for."""


class CtcModel:
    """An encoder with a linear layer over the vocabulary."""

    def __init__(self, spec: ModelSpec, path: Path, config: Config, blank: int) -> None:
        self._session = _Session(spec, path, config.bands)
        self._blank = blank
        self._subsampling = config.subsampling

    def encode(self, features: Floats, lengths: Ints) -> tuple[Floats, Ints]:
        [logprobs] = self._session.run(["logprobs"], {"audio_signal": features, "length": lengths})
        return logprobs, (lengths - 1) // self._subsampling + 1

    def decode(self, encoded: Floats, lengths: Ints) -> list[Hypothesis]:
        return decode_ctc(encoded, lengths, self._blank)


class TransducerModel:
    """An encoder, and a prediction and joint network, which come in one file and run apart where they can."""

    def __init__(self, spec: ModelSpec, files: dict[str, Path], config: Config, vocabulary: int, blank: int) -> None:
        self._encoder = _Session(spec, files["encoder"], config.bands)
        pair = _pair(spec, files["decoder_joint"])
        self.network = Network(pair.predict, pair.join, pair.start, vocabulary, blank, config.max_tokens_per_frame)

    def encode(self, features: Floats, lengths: Ints) -> tuple[Floats, Ints]:
        outputs, counts = self._encoder.run(
            ["outputs", "encoded_lengths"], {"audio_signal": features, "length": lengths}
        )
        return outputs.transpose(0, 2, 1), np.minimum(counts, outputs.shape[2])

    def decode(self, encoded: Floats, lengths: Ints) -> list[Hypothesis]:
        return decode_transducer(self.network, encoded, lengths)


def _pair(spec: ModelSpec, path: Path) -> _Apart | _Whole:
    """The networks of a file that has both; raises LoadFailed."""
    graph = Graph(path)
    try:
        border = graph.border("encoder_outputs")
    except LoadFailed as error:
        log.warning("decoder runs whole", extra={"model": spec.name, "why": str(error)})
        return _Whole(spec, path)
    return _Apart(spec, path.parent, graph, border)


class _Apart:
    """The prediction network and the joint network, each for itself."""

    def __init__(self, spec: ModelSpec, folder: Path, graph: Graph, border: str) -> None:
        self._border = border
        self._prediction = _Session(spec, folder, part=graph.part([border, *_STATES_AFTER]))
        kind = self._prediction.output_type(border)
        self._joint = _Session(spec, folder, part=graph.part(["outputs"], {border: kind}))

    def start(self, count: int) -> State:
        return _nothing_heard(self._prediction, count)

    def predict(self, tokens: Ints, state: State) -> tuple[Floats, State]:
        predicted, first, second = self._prediction.run([self._border, *_STATES_AFTER], _told(tokens, state))
        return predicted, (first, second)

    def join(self, frames: Floats, predicted: Floats) -> Floats:
        [logits] = self._joint.run(["outputs"], {"encoder_outputs": frames[:, :, None], self._border: predicted})
        scores: Floats = logits[:, 0, 0]
        return scores


class _Whole:
    """Both networks at once, for a file that cannot be cut in two: what is to be joined with frames is then what the
    prediction network would be told, and it computes anew with each of them."""

    def __init__(self, spec: ModelSpec, path: Path) -> None:
        self._both = _Session(spec, path.parent, part=path.read_bytes())
        self._dim = int(self._both.shape("encoder_outputs")[1])

    def start(self, count: int) -> State:
        return _nothing_heard(self._both, count)

    def predict(self, tokens: Ints, state: State) -> tuple[Floats, State]:
        silence = np.zeros((len(tokens), self._dim, 1), np.float32)
        first, second = self._both.run([*_STATES_AFTER], {"encoder_outputs": silence} | _told(tokens, state))
        rows = [one.transpose(1, 0, 2).reshape(len(tokens), -1) for one in state]
        return np.concatenate([tokens[:, None].astype(np.float32), *rows], axis=1), (first, second)

    def join(self, frames: Floats, predicted: Floats) -> Floats:
        first, second = (self._both.shape(name) for name in _STATES_BEFORE)
        tokens, *rows = np.split(predicted, [1, 1 + first[0] * first[2]], axis=1)
        state = _unfolded(rows[0], first), _unfolded(rows[1], second)
        inputs = {"encoder_outputs": frames[:, :, None]} | _told(tokens[:, 0].astype(np.int64), state)
        [logits] = self._both.run(["outputs"], inputs)
        scores: Floats = logits[:, 0, 0]
        return scores


def _unfolded(rows: Floats, shape: list[Any]) -> Floats:
    """A row for each utterance → a state of the LSTM."""
    return rows.reshape(len(rows), shape[0], shape[2]).transpose(1, 0, 2)


def _nothing_heard(session: _Session, count: int) -> State:
    first, second = (session.shape(name) for name in _STATES_BEFORE)
    return (np.zeros((first[0], count, first[2]), np.float32), np.zeros((second[0], count, second[2]), np.float32))


def _told(tokens: Ints, state: State) -> dict[str, Any]:
    """Inputs of the prediction network."""
    inputs: dict[str, Any] = {"targets": tokens[:, None], "target_length": np.ones(len(tokens), np.int32)}
    return inputs | dict(zip(_STATES_BEFORE, state, strict=True))


class _Session:
    """An ONNX Runtime session that takes arrays in whatever type its file wants and gives float32. With `part` of a
    file, `path` is the folder that its external data would be in."""

    def __init__(self, spec: ModelSpec, path: Path, bands: int = 0, part: bytes = b"") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = spec.threads
        options.inter_op_num_threads = 1
        for key, value in (_part_entries(path) if part else _NO_SPINNING).items():
            options.add_session_config_entry(f"session.{key}", value)
        unwanted = _TRANSPOSED if part else []
        if part:  # no convolutions to lay out; ONNX Runtime 1.32 has crashed trying that with float16 on a CPU
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        providers = _providers(spec, bands)
        if spec.device != "cpu":
            _load_cuda()
        self._session = onnxruntime.InferenceSession(
            part or str(path), options, providers=providers, disabled_optimizers=unwanted
        )
        wanted, got = _name(providers[0]), self._session.get_providers()[0]
        if got != wanted:
            raise LoadFailed(f"expected ONNX Runtime to use {wanted} on {spec.device}, it fell back to {got}")
        self._inputs = {one.name: one for one in self._session.get_inputs()}
        self._types = {name: _NUMPY_TYPES[one.type] for name, one in self._inputs.items()}
        self._is_half = np.float16 in self._types.values()

    def shape(self, name: str) -> list[Any]:
        shape: list[Any] = self._inputs[name].shape
        return shape

    def output_type(self, name: str) -> str:
        """As ONNX Runtime calls it."""
        return next(str(one.type) for one in self._session.get_outputs() if one.name == name)

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
        """Inputs that the file does not ask for are left out."""
        got: list[Any] = self._session.run(
            outputs, {name: inputs[name].astype(kind, copy=False) for name, kind in self._types.items()}
        )
        return [_full(one) for one in got] if self._is_half else got


def _part_entries(folder: Path) -> dict[str, str]:
    """A part is over in less time than a thread takes to wake up for each of its pieces, so threads wait for the next
    one awake, but not for long and never between runs."""
    return {
        "intra_op.spin_duration_us": "100",
        "force_spinning_stop": "1",
        "model_external_initializers_file_folder_path": str(folder),
    }


def _full(array: Any) -> Any:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _providers(spec: ModelSpec, bands: int) -> list[Any]:
    """ONNX Runtime's execution providers for a device, the fallback last; TensorRT for encoders alone (they have
    `bands` of features), because the joint network is asked for many shapes. Raises LoadFailed."""
    if spec.device == "cpu":
        return ["CPUExecutionProvider"]
    chosen: list[Any] = [("CUDAExecutionProvider", {"device_id": spec.device_index}), "CPUExecutionProvider"]
    if spec.compute_type == TENSORRT and bands:
        chosen.insert(0, ("TensorrtExecutionProvider", _tensorrt_options(spec, bands)))
    if chosen[0][0] not in onnxruntime.get_available_providers():
        raise LoadFailed(f"expected onnxruntime-gpu, with {chosen[0][0]}, for {spec.device}; found it lacking")
    return chosen


def _name(provider: Any) -> str:
    return str(provider if isinstance(provider, str) else provider[0])


@cache
def _load_cuda() -> None:
    """The CUDA libraries that came as packages, which lie where no loader looks for them; once, before the first
    session. Raises LoadFailed."""
    if not hasattr(onnxruntime, "preload_dlls"):
        raise LoadFailed(f"expected onnxruntime-gpu 1.21 or newer, found {onnxruntime.__version__}")
    onnxruntime.preload_dlls()


def _tensorrt_options(spec: ModelSpec, bands: int) -> dict[str, Any]:
    cache = cache_folder() / "tensorrt" / spec.name
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "device_id": spec.device_index,
        "trt_fp16_enable": True,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        **{f"trt_profile_{edge}_shapes": _shapes(bands, *shape) for edge, shape in _TENSORRT_SHAPES.items()},
    }


def _shapes(bands: int, clips: int, frames: int) -> str:
    return f"audio_signal:{clips}x{bands}x{frames},length:{clips}"
