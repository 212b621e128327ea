"""Parts of an ONNX file as models of their own: a transducer's prediction and joint networks come in one file and run
apart, since together every frame would cost a turn of the prediction network, whose result changes with tokens alone.

The file is read and written in protobuf's wire format (https://protobuf.dev/programming-guides/encoding/, with the
field numbers of onnx.proto), because the onnx package is no dependency of the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aural.errors import LoadFailed

MODEL_GRAPH: Final = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE, GRAPH_ANNOTATION = 1, 5, 11, 12, 13, 14
NODE_INPUT, NODE_OUTPUT, NODE_ATTRIBUTE = 1, 2, 5
ATTRIBUTE_GRAPHS: Final = frozenset({6, 11})
TENSOR_NAME: Final = 8
VALUE_NAME, VALUE_TYPE, TYPE_TENSOR, TENSOR_ELEMENTS = 1, 2, 1, 1
ELEMENTS: Final = {"tensor(float)": 1, "tensor(float16)": 10}
"""ONNX Runtime's name of an element type → ONNX's number."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message; what is not looked into is copied as it stands."""

    number: int
    content: memoryview
    whole: memoryview
    """With its tag and length."""

    @property
    def text(self) -> str:
        return str(self.content, "utf-8")


@dataclass(frozen=True, slots=True)
class Node:
    whole: memoryview
    inputs: frozenset[str]
    outputs: frozenset[str]


class Graph:
    """The graph of an ONNX file. Raises LoadFailed when the file has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._read(list(_fields(memoryview(path.read_bytes()))))
        except (IndexError, ValueError, StopIteration) as error:
            raise LoadFailed(f"{path}: expected an ONNX graph: {error!r}") from error

    def _read(self, model: list[Field]) -> None:
        self._beside = [one.whole for one in model if one.number != MODEL_GRAPH]
        fields = list(_fields(next(one.content for one in model if one.number == MODEL_GRAPH)))
        self._nodes = [_node(one) for one in fields if one.number == GRAPH_NODE]
        self._named = {
            number: {_text(one.content, name): one.whole for one in fields if one.number == number}
            for number, name in ((GRAPH_INITIALIZER, TENSOR_NAME), (GRAPH_INPUT, VALUE_NAME))
        }
        taken_apart = {GRAPH_NODE, GRAPH_OUTPUT, GRAPH_VALUE, GRAPH_ANNOTATION, *self._named}
        self._others = [one.whole for one in fields if one.number not in taken_apart]

    def border(self, name: str) -> str:
        """The one tensor, made of other inputs, by which all that depends on the input `name` depends on them. Raises
        LoadFailed when there is none, or more."""
        mine = self._after({name})
        theirs = self._after(self._named[GRAPH_INPUT].keys() - self._named[GRAPH_INITIALIZER].keys() - {name}) - mine
        found = {used for node in self._nodes if node.outputs & mine for used in node.inputs & theirs}
        if len(found) != 1:
            raise LoadFailed(f"{self._path}: expected one tensor to join {name} with, found {len(found)}")
        return found.pop()

    def part(self, outputs: Sequence[str], given: Mapping[str, str] | None = None) -> bytes:
        """A model that computes the tensors `outputs` out of inputs and of `given`, tensors by name with ONNX Runtime's
        name of their type."""
        given = given or {}
        nodes, used = self._before(outputs, given.keys())
        graph: list[bytes | memoryview] = [
            *(node.whole for node in nodes),
            *(whole for named in self._named.values() for name, whole in named.items() if name in used),
            *self._others,
            *(_value(GRAPH_INPUT, name, ELEMENTS[kind]) for name, kind in given.items()),
            *(_value(GRAPH_OUTPUT, name) for name in outputs),
        ]
        return b"".join([*self._beside, _field(MODEL_GRAPH, b"".join(graph))])

    def _after(self, names: Iterable[str]) -> frozenset[str]:
        """These tensors and those made of them. A converter may leave nodes in any order, hence the rounds."""
        found, size = set(names), 0
        while len(found) > size:
            size = len(found)
            for node in self._nodes:
                if node.inputs & found:
                    found |= node.outputs
        return frozenset(found)

    def _before(self, names: Iterable[str], given: Iterable[str]) -> tuple[list[Node], set[str]]:
        """The nodes that make these tensors, and all names that they use."""
        used, stop, size = set(names), set(given), 0
        while len(used) > size:
            size = len(used)
            nodes = [node for node in self._nodes if node.outputs & used - stop]
            used = used.union(*(node.inputs for node in nodes))
        return nodes, used


def _node(field: Field) -> Node:
    parts = list(_fields(field.content))
    outputs = frozenset(one.text for one in parts if one.number == NODE_OUTPUT)
    return Node(field.whole, frozenset(_used(parts)) - {""}, outputs - {""})


def _used(node: Iterable[Field]) -> Iterator[str]:
    """A node's inputs, and what the graphs in its attributes use."""
    for part in node:
        if part.number == NODE_INPUT:
            yield part.text
        elif part.number == NODE_ATTRIBUTE:
            for inner in _fields(part.content):
                if inner.number in ATTRIBUTE_GRAPHS:
                    yield from _used_in(inner.content)


def _used_in(graph: memoryview) -> Iterator[str]:
    for one in _fields(graph):
        if one.number == GRAPH_NODE:
            yield from _used(_fields(one.content))


def _text(message: memoryview, number: int) -> str:
    return next(one.text for one in _fields(message) if one.number == number)


def _value(number: int, name: str, elements: int | None = None) -> bytes:
    """A graph's input or output; ONNX Runtime finds the type of an output by itself."""
    content = _field(VALUE_NAME, name.encode())
    if elements is not None:
        tensor = bytes([TENSOR_ELEMENTS << 3 | VARINT, elements])
        content += _field(VALUE_TYPE, _field(TYPE_TENSOR, tensor))
    return _field(number, content)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(high) if high else bytes([low])


def _fields(message: memoryview) -> Iterator[Field]:
    place = 0
    while place < len(message):
        start = place
        tag, place = _read_varint(message, place)
        size, place = _size(message, tag & 7, place)
        if place + size > len(message):
            raise ValueError("the message ends too soon")
        yield Field(tag >> 3, message[place : place + size], message[start : place + size])
        place += size


def _size(message: memoryview, wire: int, place: int) -> tuple[int, int]:
    """How many bytes a field's content has and where it begins."""
    if wire == BYTES:
        return _read_varint(message, place)
    if wire == VARINT:
        return _read_varint(message, place)[1] - place, place
    if wire in (FIXED64, FIXED32):
        return (8 if wire == FIXED64 else 4), place
    raise ValueError(f"wire type {wire}")


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    """The number and where the next thing begins."""
    value = shift = 0
    while message[place] & 0x80:
        value |= (message[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return value | message[place] << shift, place + 1
