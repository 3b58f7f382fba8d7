#!/bin/sh
# Makes the files of this folder again, except divides-by-zero.ogg and breaks-assertion.ogg, which
# the fuzzer made of tone.ogg. Needs SoX, FFmpeg and Python with numpy and transformers.
set -eu
cd "$(dirname "$0")"

# 0.4 s: 440 Hz at 0.5 on the left, the same at 0.25 on the right, so that the mix has 0.375.
tone() { sox -D -R -n -r "$1" -b "$2" "$3" synth 0.4 sine 440 sine 440 remix 1v0.5 2v0.25; }
tone 44100 16 tone.wav
tone 22050 16 tone.flac
ffmpeg -y -loglevel error -bitexact -i tone.wav -c:a libmp3lame -q:a 2 tone.mp3
ffmpeg -y -loglevel error -bitexact -i tone.wav -c:a libvorbis -q:a 0 tone.ogg
ffmpeg -y -loglevel error -bitexact -i tone.wav -c:a libopus -b:a 24k opus.ogg
ffmpeg -y -loglevel error -bitexact -i tone.wav -ar 8000 -ac 1 -c:a pcm_mulaw telephone.wav
rm tone.wav

# 0.5 s in small packets, so that one can be damaged among many.
sox -D -R -n -r 16000 -b 16 long.wav synth 0.5 sine 300:600 vol 0.5
ffmpeg -y -loglevel error -bitexact -i long.wav -c:a flac -frame_size 512 long.flac
rm long.wav

# Some frames of what WhisperFeatureExtractor makes of samples/speech.wav: f32, frame by frame.
python3 - <<'P'
import wave
import numpy as np
from transformers import WhisperFeatureExtractor

with wave.open("../../samples/speech.wav") as file:
    sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
for bins in 80, 128:
    extractor = WhisperFeatureExtractor(feature_size=bins)
    mel = extractor(sound, sampling_rate=16000, return_tensors="np").input_features[0]
    assert mel.shape == (bins, 3000)
    frames = [0, 1, 2, 100, 333, 500, 700, 900, 1050, 1203, 1205, 2999]
    mel[:, frames].T.astype("<f4").tofile(f"mel{bins}.f32")
P
