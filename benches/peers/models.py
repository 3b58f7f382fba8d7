"""Whisper's encoders as Hugging Face has them, with synthetic weights, and what they listen to."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import synthetic

FRAMES = 3000
# What CTranslate2 looks for in a vocabulary, at the places 0 to 3.
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|nospeech|>", "<|notimestamps|>"]


@dataclass(frozen=True)
class Size:
    """What distinguishes one size of Whisper from another."""

    name: str
    layers: int
    width: int
    heads: int
    bins: int = 80
    vocabulary: int = 51865
    # Fewer than the encoder's in one of them.
    decoder: int = 0

    @property
    def decoder_layers(self) -> int:
        return self.decoder or self.layers


SIZES = {
    size.name: size
    for size in (
        Size("tiny", 4, 384, 6),
        Size("base", 6, 512, 8),
        Size("small", 12, 768, 12),
        Size("medium", 24, 1024, 16),
        Size("large-v3", 32, 1280, 20, bins=128, vocabulary=51866),
        Size("large-v3-turbo", 32, 1280, 20, bins=128, vocabulary=51866, decoder=4),
    )
}


def whisper(size: Size, decoder_layers: int = 1, vocabulary: int = 32):
    """The whole model in evaluation mode, in f32: all of the encoder, and, if nothing else is
    said, as little of a decoder as the peers load that cannot do without."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=vocabulary,
        num_mel_bins=size.bins,
        d_model=size.width,
        encoder_layers=size.layers,
        encoder_attention_heads=size.heads,
        encoder_ffn_dim=4 * size.width,
        decoder_layers=decoder_layers,
        decoder_attention_heads=size.heads,
        decoder_ffn_dim=4 * size.width,
        max_target_positions=448,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        attn_implementation="sdpa",
    )
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    weights = {
        name: torch.from_numpy(synthetic.tensor(name, tuple(value.shape)))
        for name, value in model.state_dict().items()
        if name != "proj_out.weight"
    }
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    return model.eval()


def mel(size: Size, audio: Path) -> np.ndarray:
    """The log-mel spectrogram [1, bins, 3000] of a sound file: WAV, 16 kHz, mono, 16 bits."""
    from transformers import WhisperFeatureExtractor

    with wave.open(str(audio)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / np.float32(32768)
        rate = file.getframerate()
    extractor = WhisperFeatureExtractor(feature_size=size.bins)
    return extractor(samples, sampling_rate=rate, return_tensors="np").input_features
