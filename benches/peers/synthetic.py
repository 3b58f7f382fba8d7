"""Synthetic weights: made of nothing but the names of tensors, as in Tilewright's
`src/weights/synthetic.rs`, which has the rule."""

import math

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
# Elements at a time: what their integers and doubles take stays in the cache.
_CHUNK = 1 << 16


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor of this name, as Hugging Face names it, prefix `model.` included."""
    values = np.empty(math.prod(shape), np.float32)
    seed = _fnv1a64(name)
    for start in range(0, values.size, _CHUNK):
        i = np.arange(start, min(start + _CHUNK, values.size), dtype=np.uint64)
        u = (_splitmix64(np.uint64(seed) + i * np.uint64(_GOLDEN)) >> np.uint64(11)) / 2.0**53
        values[start : start + i.size] = _scale(name, shape, i, 2.0 * u - 1.0)
    return values.reshape(shape)


def _scale(name: str, shape: tuple[int, ...], i: np.ndarray, v: np.ndarray) -> np.ndarray:
    if "layer_norm" in name and name.endswith(".weight"):
        return (1.0 + 0.2 * v) * np.where(i % np.uint64(128) == 5, 4.0, 1.0)
    if "layer_norm" in name and name.endswith(".bias"):
        return 0.2 * v
    if name.endswith(".bias"):
        return 0.1 * v
    if "embed_positions" in name:
        return 0.5 * v
    if "embed_tokens" in name:
        return v * math.sqrt(3.0) * 2.0 / math.sqrt(shape[-1])
    return v * _gain(name) * math.sqrt(3.0 / math.prod(shape[1:]))


def _gain(name: str) -> float:
    if "q_proj" in name or "k_proj" in name:
        return 1.5
    if "out_proj" in name or "fc2" in name:
        return 0.5
    return 1.0


def _fnv1a64(name: str) -> int:
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & _MASK
    return value


def _splitmix64(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
