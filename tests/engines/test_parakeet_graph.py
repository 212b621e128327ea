"""Parts of ONNX files compute what the whole computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from aural.engines import base
from aural.engines.base import ModelSpec
from aural.engines.parakeet_graph import Graph
from aural.errors import LoadFailed
from tests.engines.ears import DIGITS, ears

FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


def saved(path: Path, nodes: list[onnx.NodeProto], outputs: list[str], **inputs: int) -> Graph:
    """A graph of such nodes with scalar inputs; `two` is a constant."""
    ends = [
        [helper.make_tensor_value_info(name, kind, []) for name, kind in side.items()]
        for side in (inputs, dict.fromkeys(outputs, FLOAT))
    ]
    two = helper.make_tensor("two", FLOAT, [], [2.0])
    model = helper.make_model(
        helper.make_graph(nodes, "graph", *ends, [two]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.save(model, path)
    return Graph(path)


def run(model: bytes, **inputs: float | bool) -> list[float]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == inputs.keys()
    typed = {name: np.array(value, bool if isinstance(value, bool) else np.float32) for name, value in inputs.items()}
    return [float(one) for one in session.run(None, typed)]


def test_both_sides_of_a_border(tmp_path):
    nodes = [  # not in the order of computing: converters leave such files
        helper.make_node("Mul", ["frame", "told"], ["joined"]),
        helper.make_node("Add", ["joined", "two"], ["sum"]),
        helper.make_node("Mul", ["token", "two"], ["told"]),
        helper.make_node("Neg", ["told"], ["state"]),
    ]
    graph = saved(tmp_path / "model.onnx", nodes, ["sum", "state"], frame=FLOAT, token=FLOAT)
    assert graph.border("frame") == "told"
    assert run(graph.part(["told", "state"]), token=3) == [6, -6]
    assert run(graph.part(["sum"], {"told": "tensor(float)"}), told=6, frame=5) == [32]


def test_what_a_branch_uses(tmp_path):
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Add", ["told", other], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, FLOAT, [])],
        )
        for name, other in (("then", "two"), ("else", "frame"))
    }
    nodes = [helper.make_node("Neg", ["token"], ["told"]), helper.make_node("If", ["yes"], ["sum"], **branches)]
    graph = saved(tmp_path / "model.onnx", nodes, ["sum"], yes=BOOL, frame=FLOAT, token=FLOAT)
    assert run(graph.part(["sum"]), yes=False, frame=5, token=3) == [2]
    assert run(graph.part(["sum"], {"told": "tensor(float)"}), yes=True, frame=5, told=3) == [5]


def test_no_border_and_two(tmp_path):
    apart = [helper.make_node("Neg", ["frame"], ["a"]), helper.make_node("Neg", ["token"], ["b"])]
    twice = [*apart, helper.make_node("Add", ["a", "b"], ["c"]), helper.make_node("Add", ["c", "token"], ["d"])]
    for nodes, outputs, count in ((apart, ["a", "b"], 0), (twice, ["d"], 2)):
        graph = saved(tmp_path / "model.onnx", nodes, outputs, frame=FLOAT, token=FLOAT)
        with pytest.raises(LoadFailed, match=rf"model\.onnx: expected one tensor to join frame with, found {count}"):
            graph.border("frame")


@pytest.mark.parametrize("content", [b"", b"\x3a", b"\x3a\x05a", b"\xff" * 9, b"\x3b", b"\x3a\x02\x0a\x00"])
def test_no_graph(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(LoadFailed, match=r"model\.onnx: expected an ONNX graph|expected one tensor"):
        Graph(tmp_path / "model.onnx").border("frame")


def test_a_file_that_cannot_be_cut_runs_whole(tmp_path, caplog):
    for path in DIGITS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    name = "decoder_joint-model.onnx"
    model = onnx.load(tmp_path / name)
    border = Graph(tmp_path / name).border("encoder_outputs")
    for node in model.graph.node:
        node.output[:] = ["before" if one == "outputs" else one for one in node.output]
    model.graph.initializer.append(helper.make_tensor("none", FLOAT, [], [0.0]))
    model.graph.node.extend(  # a second way from the tokens to the scores, which changes nothing
        [
            helper.make_node("ReduceMax", [border], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "none"], ["naught"]),
            helper.make_node("Add", ["before", "naught"], ["outputs"]),
        ]
    )
    onnx.save(model, tmp_path / name)
    ours, other = (
        base.load(ModelSpec("nemo", "parakeet", folder, compute_type="auto")) for folder in (tmp_path, DIGITS)
    )
    assert [record.message for record in caplog.records] == ["decoder runs whole"]
    sentences = ears("parakeet-digits").sentences
    for clips in (sentences, sentences[:1]):
        for whole, apart in zip(ours._hear(clips), other._hear(clips), strict=True):
            assert whole.tokens.tolist() == apart.tokens.tolist() != []
            assert whole.starts.tolist() == apart.starts.tolist()
            np.testing.assert_allclose(whole.logprobs, apart.logprobs, atol=1e-5)


def test_weights_in_a_file_of_their_own(tmp_path):
    for path in DIGITS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    name = "decoder_joint-model.onnx"
    onnx.save(onnx.load(DIGITS / name), tmp_path / name, save_as_external_data=True, location=f"{name}.data")
    assert (tmp_path / f"{name}.data").is_file()
    digits = ears("parakeet-digits")
    alike = [
        base.load(ModelSpec("nemo", "parakeet", folder, compute_type="auto"))._hear(digits.sentences[:2])
        for folder in (DIGITS, tmp_path)
    ]
    assert alike[0][0].tokens.tolist() == alike[1][0].tokens.tolist() != []
