"""Compares the synthetic encoders with outputs that were made elsewhere: `check.py FOLDER SIZE…`.

FOLDER has SIZE.safetensors with some rows of the output, `encoder.rows` at `encoder.row_index`, and
the spectrograms mel80.safetensors and mel128.safetensors.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

import models


def main(folder: Path, names: list[str]) -> None:
    for name in names:
        size = models.SIZES[name]
        mel = load_file(folder / f"mel{size.bins}.safetensors")["mel"]
        expected = load_file(folder / f"{name}.safetensors")
        with torch.inference_mode():
            output = models.whisper(size).model.encoder(mel[None]).last_hidden_state[0]
        difference = output[expected["encoder.row_index"].long()] - expected["encoder.rows"]
        print(f"{name}: differs by {difference.abs().max():.1e} at most")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
