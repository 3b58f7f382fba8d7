"""A peer with an interface for Python: `run.py PEER THREADS BINS FOLDER OUT`.

It loads what `prepare.py` made, warms up, writes its output to OUT and says what it is. Then it
encodes as often as each line `run N` asks for and answers with the times.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models import FRAMES

WARM_UP = 3

Encode = Callable[[], np.ndarray]


def torch_bf16(threads: int, mel: np.ndarray, folder: Path) -> tuple[str, Encode]:
    return _torch(threads, mel, folder, "bfloat16")


def torch_f32(threads: int, mel: np.ndarray, folder: Path) -> tuple[str, Encode]:
    return _torch(threads, mel, folder, "float32")


def _torch(threads: int, mel: np.ndarray, folder: Path, kind: str) -> tuple[str, Encode]:
    import torch
    from safetensors.torch import load_file
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.set_num_threads(threads)
    dtype = getattr(torch, kind)
    config = WhisperConfig.from_json_file(folder / "config.json")
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        encoder = WhisperEncoder(config)
    prefix = "model.encoder."
    weights = {
        name.removeprefix(prefix): value.to(dtype)
        for name, value in load_file(folder / "model.safetensors").items()
        if name.startswith(prefix)
    }
    encoder.load_state_dict(weights, assign=True)
    encoder.eval()
    given = torch.from_numpy(mel).to(dtype)

    def encode() -> np.ndarray:
        with torch.inference_mode():
            return encoder(given).last_hidden_state.float().numpy()

    return f"PyTorch {torch.__version__.partition('+')[0]}", encode


def openvino_bf16(threads: int, mel: np.ndarray, folder: Path) -> tuple[str, Encode]:
    return _openvino(threads, mel, folder / "encoder.xml")


def openvino_int8(threads: int, mel: np.ndarray, folder: Path) -> tuple[str, Encode]:
    return _openvino(threads, mel, folder / "encoder.int8.xml")


def _openvino(threads: int, mel: np.ndarray, model: Path) -> tuple[str, Encode]:
    import openvino
    from openvino import properties
    from openvino.properties import hint

    config = {
        properties.inference_num_threads: threads,
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        # What is not int8 runs in bf16, also in the int8 model.
        hint.inference_precision: openvino.Type.bf16,
    }
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()

    def encode() -> np.ndarray:
        return request.infer([mel], share_inputs=True, share_outputs=True)[0]

    return f"OpenVINO {openvino.__version__.partition('-')[0]}", encode


def onnxruntime_int8(threads: int, mel: np.ndarray, folder: Path) -> tuple[str, Encode]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its threads spin within a run, as they do unless told otherwise, but not between runs, when
    # others are measured.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        folder / "encoder.int8.onnx", options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def encode() -> np.ndarray:
        return session.run(None, {name: mel})[0]

    return f"ONNX Runtime {onnxruntime.__version__}", encode


def ctranslate2_int8(threads: int, mel: np.ndarray, folder: Path) -> tuple[str, Encode]:
    import ctranslate2

    model = ctranslate2.models.Whisper(
        str(folder / "ctranslate2"), device="cpu", compute_type="int8", intra_threads=threads
    )
    given = ctranslate2.StorageView.from_array(mel)

    def encode() -> np.ndarray:
        return np.asarray(model.encode(given, to_cpu=True))

    return f"CTranslate2 {ctranslate2.__version__}", encode


PEERS = {
    peer.__name__: peer
    for peer in (
        *(torch_bf16, torch_f32, openvino_bf16, openvino_int8),
        *(onnxruntime_int8, ctranslate2_int8),
    )
}


def _answer(value: dict[str, object]) -> None:
    print(json.dumps(value), flush=True)


def main(peer: str, threads: int, bins: int, folder: Path, out: Path) -> None:
    mel = np.fromfile(folder / "mel.f32", np.float32).reshape(1, bins, FRAMES)
    version, encode = PEERS[peer](threads, mel, folder)
    for _ in range(WARM_UP):
        output = encode()
    output.astype(np.float32).tofile(out)
    _answer({"version": version})
    for line in sys.stdin:
        times = []
        for _ in range(int(line.removeprefix("run "))):
            start = time.perf_counter()
            encode()
            times.append((time.perf_counter() - start) * 1000)
        _answer({"ms": times})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
