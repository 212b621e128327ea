"""Small models in the layout of NVIDIA NeMo's ONNX export: the same files, inputs and outputs, with other networks.

    python -m benchmarks.nemo_models tdt FOLDER [--size parakeet] [--seed 1]

writes one with fixed random weights that emit varied tokens and durations: nonsense, but the same nonsense to every
decoder. scripts/train_digits.py writes one that was trained and hears digits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = dict[str, NDArray[np.float32]]
SUBSAMPLING = 8
DURATIONS = 5
"""TDT's durations are 0 to 4 frames."""
OPSET = 17
FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64


@dataclass(frozen=True)
class Size:
    """What a network has of each."""

    bands: int = 80
    dim: int = 32
    """Of the encoder's frames."""
    layers: int = 1
    """Convolutions after the first."""
    units: int = 24
    """Of each of the prediction network's two LSTM layers, and of the joint network."""
    tokens: int = 64
    """Without the blank."""


SIZES = {
    "small": Size(),
    "parakeet": Size(bands=128, dim=1024, layers=0, units=640, tokens=1024),
    "parakeet-v3": Size(bands=128, dim=1024, layers=0, units=640, tokens=8192),
}
"""The last two have decoders as large as those of parakeet-tdt-0.6b-v2 and v3; their encoders are mere stand-ins."""
SHARPNESS = 4.0
BLANK_TDT, BLANK_RNNT = 0.5, 0.8
KERNEL = 5
LSTM_LAYERS = 2


class Graph:
    """Nodes as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, outputs: int = 1, to: str = "", **attributes: Any) -> Any:
        names = [to or f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, kind: Any = np.int64) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def linear(self, x: str, weights: Weights, name: str) -> str:
        scaled = self.add("MatMul", x, self.constant(weights[f"{name}.weight"].T, np.float32))
        return str(self.add("Add", scaled, self.constant(weights[f"{name}.bias"], np.float32)))

    def conv(self, x: str, weights: Weights, name: str, **attributes: Any) -> str:
        kernel, bias = (self.constant(weights[f"{name}.{part}"], np.float32) for part in ("weight", "bias"))
        return str(self.add("Conv", x, kernel, bias, **attributes))

    def save(self, path: Path, inputs: Mapping[str, tuple[int, list[Any]]], outputs: Mapping[str, Any]) -> None:
        ends = [
            [helper.make_tensor_value_info(name, *kind) for name, kind in side.items()] for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, path.stem, *ends, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))


def _ends(kinds: Mapping[str, tuple[int, list[Any]]]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()]


def random_weights(size: Size, seed: int, *, durations: int = DURATIONS) -> Weights:
    """Weights under which tokens, blanks and durations all come often."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (rng.normal(0, scale / np.sqrt(np.prod(shape[1:]) or 1), shape)).astype(np.float32)

    def layer(name: str, *shape: int, scale: float = 1.0) -> Weights:
        return {f"{name}.weight": normal(*shape, scale=scale), f"{name}.bias": np.zeros(shape[0], np.float32)}

    units, outputs = size.units, size.tokens + 1 + durations
    weights = layer("subsample", size.dim, size.bands, SUBSAMPLING, scale=2.0)
    for i in range(size.layers):
        weights |= layer(f"context{i}", size.dim, size.dim, KERNEL)
    weights |= {"embedding": normal(size.tokens + 1, units, scale=2 * np.sqrt(units))}
    weights["embedding"][size.tokens] = 0  # NeMo's blank starts a text, and embeds as nothing
    for i in range(LSTM_LAYERS):
        weights |= {f"lstm{i}.{part}": normal(4 * units, units, scale=2.0) for part in ("input", "hidden")}
        weights[f"lstm{i}.bias"] = np.zeros(4 * units, np.float32)
    weights |= layer("joint.encoder", units, size.dim, scale=0.5) | layer("joint.prediction", units, units, scale=2.5)
    weights |= layer("joint.output", outputs, units, scale=SHARPNESS)
    weights |= layer("ctc", size.tokens + 1, size.dim, scale=SHARPNESS)
    for name in ("joint.output", "ctc"):  # columns that add up to 0: no token is likely whatever comes in
        weights[f"{name}.weight"] -= weights[f"{name}.weight"].mean(axis=1, keepdims=True)
    blank = SHARPNESS * float(np.sqrt(2 * np.log(size.tokens)))  # about as likely as the likeliest of the tokens
    weights["joint.output.bias"][size.tokens] = BLANK_TDT * blank if durations else BLANK_RNNT * blank
    weights["ctc.bias"][size.tokens] = blank
    return weights


def write(folder: Path, kind: str, weights: Weights, pieces: list[str], **config: Any) -> Path:
    """The files of a model of `kind` (ctc, rnnt, tdt) whose tokens are `pieces`; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{piece} {token}\n" for token, piece in enumerate([*pieces, "<blk>"])]
    (folder / "vocab.txt").write_text("".join(lines), encoding="utf-8")
    bands = weights["subsample.weight"].shape[1]
    named = {"model_type": f"nemo-conformer-{kind}", "features_size": bands, "subsampling_factor": SUBSAMPLING}
    (folder / "config.json").write_text(json.dumps(named | config), encoding="utf-8")
    if kind == "ctc":
        _write_ctc(folder / "model.onnx", weights)
    else:
        _write_encoder(folder / "encoder-model.onnx", weights)
        _write_decoder_joint(folder / "decoder_joint-model.onnx", weights)
    return folder


def write_random(folder: Path, kind: str, size: Size = SIZES["small"], seed: int = 1) -> Path:
    """A model with random weights; see `write`."""
    weights = random_weights(size, seed, durations=DURATIONS if kind == "tdt" else 0)
    return write(folder, kind, weights, pieces(size.tokens))


def pieces(count: int) -> list[str]:
    """Made-up SentencePiece pieces: of letters, half of them beginning a word, and some punctuation."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    marks = ["\u2581", ".", ",", "?"]
    names = [letters[i % 26] + (letters[i // 26 % 26] + letters[i // 676 % 26]) * (i >= 26) for i in range(count)]
    return [*marks, *(("\u2581" if i % 2 else "") + name for i, name in enumerate(names))][:count]


def _frames(graph: Graph, weights: Weights) -> tuple[str, str]:
    """Encoder frames (clips, dim, frames) and how many count: padding is masked as NeMo's encoders mask it."""
    zero, one = graph.constant(0), graph.constant(1)
    less = graph.add("Sub", "length", one)
    counts = graph.add("Add", graph.add("Div", less, graph.constant(SUBSAMPLING)), one)
    x = graph.conv("audio_signal", weights, "subsample", strides=[SUBSAMPLING], pads=[0, SUBSAMPLING - 1])
    count = graph.add("Gather", graph.add("Shape", x), graph.constant(2))
    places = graph.add("Unsqueeze", graph.add("Range", zero, count, one), graph.constant([0]))
    valid = graph.add("Less", places, graph.add("Unsqueeze", counts, graph.constant([1])))
    as_float = graph.add("Where", valid, graph.constant(1, np.float32), graph.constant(0, np.float32))
    mask = graph.add("Unsqueeze", as_float, graph.constant([1]))
    x = graph.add("Mul", x, mask)
    i = 0
    while f"context{i}.weight" in weights:
        y = graph.add("Relu", graph.conv(x, weights, f"context{i}", pads=[KERNEL // 2, KERNEL // 2]))
        x = graph.add("Mul", graph.add("Add", x, y), mask)
        i += 1
    return x, counts


def _write_encoder(path: Path, weights: Weights) -> None:
    graph = Graph()
    frames, counts = _frames(graph, weights)
    graph.add("Identity", frames, to="outputs")
    graph.add("Identity", counts, to="encoded_lengths")
    dim = weights["subsample.weight"].shape[0]
    outputs = {"outputs": (FLOAT, ["batch", dim, "frames"]), "encoded_lengths": (INT64, ["batch"])}
    graph.save(path, _audio(weights), outputs)


def _write_ctc(path: Path, weights: Weights) -> None:
    graph = Graph()
    frames, _ = _frames(graph, weights)
    logits = graph.linear(graph.add("Transpose", frames, perm=[0, 2, 1]), weights, "ctc")
    graph.add("LogSoftmax", logits, axis=-1, to="logprobs")
    outputs = {"logprobs": (FLOAT, ["batch", "frames", len(weights["ctc.bias"])])}
    graph.save(path, _audio(weights), outputs)


def _audio(weights: Weights) -> dict[str, tuple[int, list[Any]]]:
    bands = weights["subsample.weight"].shape[1]
    return {"audio_signal": (FLOAT, ["batch", bands, "features"]), "length": (INT64, ["batch"])}


def _write_decoder_joint(path: Path, weights: Weights) -> None:
    graph = Graph()
    units = weights["embedding"].shape[1]
    embedded = graph.add("Gather", graph.constant(weights["embedding"], np.float32), "targets")
    x = graph.add("Transpose", embedded, perm=[1, 0, 2])
    states: list[tuple[str, str]] = []
    for i in range(LSTM_LAYERS):
        x, *state = _lstm(graph, x, weights, i, units)
        states.append((state[0], state[1]))
    for place, name in enumerate(("output_states_1", "output_states_2")):
        graph.add("Concat", *(state[place] for state in states), axis=0, to=name)
    predicted = graph.linear(graph.add("Transpose", x, perm=[1, 0, 2]), weights, "joint.prediction")
    heard = graph.linear(graph.add("Transpose", "encoder_outputs", perm=[0, 2, 1]), weights, "joint.encoder")
    both = graph.add(
        "Add",
        graph.add("Unsqueeze", heard, graph.constant([2])),
        graph.add("Unsqueeze", predicted, graph.constant([1])),
    )
    graph.add("Identity", graph.linear(graph.add("Relu", both), weights, "joint.output"), to="outputs")
    graph.add("Identity", "target_length", to="prednet_lengths")
    dim = weights["joint.encoder.weight"].shape[1]
    state_kind = (FLOAT, [LSTM_LAYERS, "batch", units])
    graph.save(
        path,
        {
            "encoder_outputs": (FLOAT, ["batch", dim, "frames"]),
            "targets": (INT32, ["batch", "tokens"]),
            "target_length": (INT32, ["batch"]),
            "input_states_1": state_kind,
            "input_states_2": state_kind,
        },
        {
            "outputs": (FLOAT, ["batch", "frames", "tokens", len(weights["joint.output.bias"])]),
            "prednet_lengths": (INT32, ["batch"]),
            "output_states_1": state_kind,
            "output_states_2": state_kind,
        },
    )


def _lstm(graph: Graph, x: str, weights: Weights, layer: int, units: int) -> tuple[str, str, str]:
    """One layer over (tokens, batch, units), gates in ONNX's order: input, output, forget, cell."""
    first, last = graph.constant([layer]), graph.constant([layer + 1])
    hidden, cell = (graph.add("Slice", f"input_states_{i}", first, last) for i in (1, 2))
    parts = (weights[f"lstm{layer}.{part}"][None] for part in ("input", "hidden"))
    kernel, recurrent = (graph.constant(part, np.float32) for part in parts)
    bias = np.concatenate([weights[f"lstm{layer}.bias"], np.zeros(4 * units)])[None]
    inputs = (x, kernel, recurrent, graph.constant(bias, np.float32), "", hidden, cell)
    y, hidden, cell = graph.add("LSTM", *inputs, outputs=3, hidden_size=units)
    return graph.add("Squeeze", y, graph.constant([1])), hidden, cell


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=["ctc", "rnnt", "tdt"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    print(write_random(wanted.folder, wanted.kind, SIZES[wanted.size], wanted.seed))


if __name__ == "__main__":
    main()
