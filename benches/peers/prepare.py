"""Makes what the peers load, one kind a call: `prepare.py KIND SIZE AUDIO FOLDER`.

Each in a process of its own, apart from the measured ones: a converter's memory is not the peer's.
"""

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

import models
from models import Size

INPUT, OUTPUT = "mel", "features"


def reference(size: Size, audio: Path, folder: Path) -> None:
    """The input, the output in f32 that peers are compared with, and candle's: it does not read the
    embedding of positions, but computes the sinusoids that trained checkpoints have there."""
    import torch

    mel = models.mel(size, audio)
    mel.tofile(folder / "mel.f32")
    encoder = models.whisper(size).model.encoder
    with torch.inference_mode():
        encoder(torch.from_numpy(mel)).last_hidden_state.numpy().tofile(folder / "reference.f32")
        encoder.embed_positions.weight.copy_(_sinusoids(*encoder.embed_positions.weight.shape))
        encoder(torch.from_numpy(mel)).last_hidden_state.numpy().tofile(folder / "sinusoids.f32")


def safetensors(size: Size, _audio: Path, folder: Path) -> None:
    """The weights and the configuration, as Hugging Face writes them."""
    from safetensors.torch import save_file

    model = models.whisper(size)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    del weights["proj_out.weight"]
    save_file(weights, folder / "model.safetensors")
    # Candle's decoder may have no layers at all.
    model.config.decoder_layers = 0
    model.config.to_json_file(folder / "config.json", use_diff=False)


def onnx(size: Size, _audio: Path, folder: Path) -> None:
    """The encoder as PyTorch exports it."""
    import torch

    torch.onnx.export(
        _Encoder.of(size),
        (torch.zeros(1, size.bins, models.FRAMES),),
        folder / "encoder.onnx",
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=20,
        external_data=True,
        dynamo=True,
    )


def onnx_int8(_size: Size, _audio: Path, folder: Path) -> None:
    """ONNX Runtime's dynamic quantisation: weights a channel, activations a tensor, at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        folder / "encoder.onnx",
        folder / "encoder.int8.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        use_external_data_format=True,
        extra_options={"MatMulConstBOnly": True},
    )


def openvino(size: Size, _audio: Path, folder: Path) -> None:
    """OpenVINO's own conversion from PyTorch, which keeps attention whole."""
    import openvino

    openvino.save_model(_openvino_model(size), folder / "encoder.xml", compress_to_fp16=False)


def openvino_int8(size: Size, _audio: Path, folder: Path) -> None:
    """NNCF's static quantisation of weights and activations, for transformers."""
    import nncf
    import openvino

    mel = np.fromfile(folder / "mel.f32", np.float32).reshape(1, size.bins, models.FRAMES)
    model = nncf.quantize(
        _openvino_model(size),
        nncf.Dataset([mel]),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=1,
    )
    openvino.save_model(model, folder / "encoder.int8.xml", compress_to_fp16=False)


def ctranslate2(size: Size, _audio: Path, folder: Path) -> None:
    """CTranslate2's converter, on the model in memory instead of a checkpoint."""
    _ctranslate2(size, folder / "ctranslate2", {})


def ctranslate2_decoder(size: Size, _audio: Path, folder: Path) -> None:
    """The same with the whole decoder."""
    whole = {"decoder_layers": size.decoder_layers, "vocabulary": size.vocabulary}
    _ctranslate2(size, folder / "ctranslate2_decoder", whole)


def _ctranslate2(size: Size, folder: Path, decoder: dict[str, int]) -> None:
    from ctranslate2.converters.transformers import WhisperLoader

    model = models.whisper(size, **decoder)
    loader = WhisperLoader()
    spec = loader.get_model_spec(model)
    fill = model.config.vocab_size - len(models.SPECIAL)
    loader.set_vocabulary(spec, models.SPECIAL + [f"<|{i / 50:.2f}|>" for i in range(fill)])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = []
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.optimize(quantization="int8")
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))


def whisper_cpp(size: Size, _audio: Path, folder: Path) -> None:
    """A model file of whisper.cpp in q8_0; what its own quantiser leaves in f16 and f32 is so."""
    model = models.whisper(size)
    config = model.config
    with (folder / "ggml-q8_0.bin").open("wb") as file:
        header = (
            *(config.vocab_size, config.max_source_positions, config.d_model),
            *(config.encoder_attention_heads, config.encoder_layers),
            *(config.max_target_positions, config.d_model),
            *(config.decoder_attention_heads, config.decoder_layers, size.bins),
        )
        mostly_q8_0, version = 7, 2
        file.write(struct.pack("<12i", 0x67676D6C, *header, 1000 * version + mostly_q8_0))
        # Empty filters, as the spectrogram is given, and no words.
        file.write(struct.pack("<3i", size.bins, 0, 0))
        for name, value in model.model.state_dict().items():
            _write_ggml(file, _ggml_name(name), value.numpy())


def _ggml_name(name: str) -> str:
    for theirs, ours in (
        ("embed_positions.weight", "positional_embedding"),
        ("embed_tokens", "token_embedding"),
        ("layers.", "blocks."),
        ("self_attn_layer_norm", "attn_ln"),
        ("encoder_attn_layer_norm", "cross_attn_ln"),
        ("final_layer_norm", "mlp_ln"),
        ("self_attn", "attn"),
        ("encoder_attn", "cross_attn"),
        ("q_proj", "query"),
        ("k_proj", "key"),
        ("v_proj", "value"),
        ("out_proj", "out"),
        ("fc1", "mlp.0"),
        ("fc2", "mlp.2"),
    ):
        name = name.replace(theirs, ours)
    system, _, rest = name.partition(".")
    ends = {"encoder": "ln_post", "decoder": "ln"}
    return f"{system}.{rest.replace('layer_norm', ends[system])}"


def _write_ggml(file: BinaryIO, name: str, value: np.ndarray) -> None:
    f32, f16, q8_0 = 0, 1, 8
    if "positional_embedding" in name:
        kind, data = f32, value.tobytes()
    elif value.ndim == 3:
        kind, data = f16, value.astype(np.float16).tobytes()
    elif value.ndim == 2:
        kind, data = q8_0, _q8_0(value)
    else:
        if "conv" in name:
            value = value[:, None]
        kind, data = f32, value.tobytes()
    shape = value.shape[::-1]
    file.write(struct.pack("<3i", len(shape), len(name), kind))
    file.write(struct.pack(f"<{len(shape)}i", *shape))
    file.write(name.encode())
    file.write(data)


def _q8_0(value: np.ndarray) -> bytes:
    """Blocks of 32 numbers with a scale of f16, quantised as ggml does."""
    blocks = value.reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    packed = np.empty(len(blocks), [("scale", "<f2"), ("numbers", "i1", 32)])
    packed["scale"] = scale[:, 0]
    packed["numbers"] = np.round(blocks * inverse)
    return packed.tobytes()


def _sinusoids(length: int, width: int):
    import torch

    inverse = torch.exp(-np.log(10000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(length)[:, None] * inverse[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class _Encoder:
    """The encoder as a module from a tensor to a tensor."""

    @staticmethod
    def of(size: Size):
        import torch

        class Encoder(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder = models.whisper(size).model.encoder

            def forward(self, mel: torch.Tensor) -> torch.Tensor:
                return self.encoder(mel).last_hidden_state

        return Encoder().eval()


def _openvino_model(size: Size):
    import openvino
    import torch

    mel = torch.zeros(1, size.bins, models.FRAMES)
    return openvino.convert_model(_Encoder.of(size), example_input=mel, input=[mel.shape])


KINDS: dict[str, Callable[[Size, Path, Path], None]] = {
    kind.__name__: kind
    for kind in (
        *(reference, safetensors, onnx, onnx_int8, openvino, openvino_int8),
        *(ctranslate2, ctranslate2_decoder, whisper_cpp),
    )
}

if __name__ == "__main__":
    kind, size, audio, folder = sys.argv[1:]
    KINDS[kind](models.SIZES[size], Path(audio), Path(folder))
