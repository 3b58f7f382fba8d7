"""How fast windows become tokens here and in CTranslate2, which is faster-whisper's engine."""

import argparse
import re
import statistics
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
from workshop import ROOT, Workshop

import models

END, START, NO_TIMESTAMPS = 0, 1, 3
SAMPLE = ROOT / "samples/speech.wav"
SECONDS = 30
# Between two programs: OpenMP's threads spin for 0.2 s after their work before they sleep.
PAUSE = 0.5


class CTranslate2:
    """From spectrograms, which are there already, to tokens; the end is never chosen."""

    def __init__(self, folder: Path, mel: np.ndarray, threads: int) -> None:
        import ctranslate2

        self.name = f"CTranslate2 {ctranslate2.__version__} int8"
        self._storage = ctranslate2.StorageView.from_array
        self._mel = mel
        path = str(folder)
        self._model = ctranslate2.models.Whisper(
            path, device="cpu", compute_type="int8", intra_threads=threads, inter_threads=1
        )

    def run(self, windows: int, tokens: int, batch: int) -> float:
        start = time.perf_counter()
        for first in range(0, windows, batch):
            count = min(batch, windows - first)
            mel = np.ascontiguousarray(np.repeat(self._mel, count, axis=0))
            results = self._model.generate(
                self._storage(mel),
                [[START, NO_TIMESTAMPS]] * count,
                beam_size=1,
                # Half of it is for the prompt.
                max_length=2 * tokens,
                suppress_blank=False,
                suppress_tokens=[END],
                return_no_speech_prob=False,
            )
            lengths = {len(result.sequences_ids[0]) for result in results}
            if lengths != {tokens}:
                sys.exit(f"CTranslate2 gave {lengths} tokens, not {tokens}")
        return time.perf_counter() - start


class Tilewright:
    """From a sound file to a transcript; its own clock leaves out loading."""

    name = "tilewright i8"

    def __init__(self, program: Path, folder: Path, threads: int) -> None:
        self._program, self._folder, self._threads = program, folder, threads

    def run(self, windows: int, tokens: int, batch: int) -> float:
        sound = self._folder / f"speech-{windows}.wav"
        if not sound.exists():
            _repeat(SAMPLE, sound, windows * SECONDS)
        command = [self._program, "transcribe", sound, "--backend", "cpu", "--language", "en"]
        command += ["--no-context", "--no-timestamps", "--temperature-increment", "0", "--again"]
        command += ["--max-tokens", tokens, "--batch", batch, "--out", self._folder]
        command += ["--format", "json", "--no-speech-threshold", "2"]
        done = subprocess.run(
            [str(part) for part in command],
            env={"RAYON_NUM_THREADS": str(self._threads), "HOME": str(Path.home())},
            capture_output=True,
            text=True,
            check=True,
        )
        text = (self._folder / f"speech-{windows}.json").read_text()
        found = sum(
            len(tokens.split(",")) for tokens in re.findall(r'"tokens": ?\[([^\]]*)\]', text)
        )
        if found != windows * tokens:
            sys.exit(f"tilewright gave {found} tokens, not {windows * tokens}")
        return float(re.search(r" s in ([0-9.]+) s", done.stderr).group(1))


def _repeat(source: Path, target: Path, seconds: int) -> None:
    with wave.open(str(source)) as file:
        parameters, samples = file.getparams(), file.readframes(file.getnframes())
    length = seconds * parameters.framerate * parameters.sampwidth
    with wave.open(str(target), "wb") as file:
        file.setparams(parameters)
        file.writeframes((samples * (length // len(samples) + 1))[:length])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=[*models.SIZES], default="base")
    parser.add_argument("--tilewright", type=Path, help="a program that was built for the size")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/tilewright/peers")
    given = parser.parse_args()

    size = models.SIZES[given.size]
    workshop = Workshop(size, SAMPLE, given.cache, given.threads)
    workshop.prepare("ctranslate2_decoder")
    folder = workshop.folder / "ctranslate2_decoder"
    mel = models.mel(size, SAMPLE)
    program = given.tilewright or workshop.tilewright()
    programs = [
        Tilewright(program.resolve(), workshop.folder, given.threads),
        CTranslate2(folder, mel, given.threads),
    ]
    seconds = {(program.name, batch): [] for program in programs for batch in given.batch}
    for program in programs:
        program.run(given.windows, given.tokens, max(given.batch))
    for _ in range(given.rounds):
        for batch in given.batch:
            for program in programs:
                time.sleep(PAUSE)
                seconds[program.name, batch].append(program.run(given.windows, given.tokens, batch))
    print(f"{given.windows} windows of {given.tokens} tokens, whisper-{size.name}, median (best)\n")
    print("| program | windows at a time | seconds | × real time |\n|---|---|---|---|")
    for (name, batch), times in sorted(seconds.items(), key=lambda item: item[0][1]):
        median = statistics.median(times)
        speed = given.windows * SECONDS / median
        print(f"| {name} | {batch} | {median:.2f} ({min(times):.2f}) | {speed:.0f} |")


if __name__ == "__main__":
    main()
