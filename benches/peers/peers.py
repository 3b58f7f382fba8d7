"""How fast is Whisper's encoder here and in others? Prints a table in Markdown; see README.md."""

import argparse
import datetime
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from process import PeerError, Process, Tilewright
from workshop import HERE, ROOT, Workshop

import models

# Between two peers: OpenMP's threads spin for 0.2 s after their work before they sleep.
PAUSE = 0.5
# A resting peer that takes more of a core than this disturbs the others.
DISTURBS = 0.01

Running = Process | Tilewright


@dataclass(frozen=True)
class Setting:
    """What all peers of a comparison have in common."""

    workshop: Workshop
    threads: int
    amx: bool
    tilewright: Path | None

    @property
    def environment(self) -> dict[str, str]:
        threads = str(self.threads)
        names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "CANDLE_NUM_THREADS")
        values = {**os.environ, **dict.fromkeys(names, threads), "HF_HUB_OFFLINE": "1"}
        if not self.amx:
            # OpenVINO looks at the processor itself, and fails if AMX is then denied to it.
            values |= dict.fromkeys(("OV_CPU_MAX_ISA", "ONEDNN_MAX_CPU_ISA"), "AVX512_CORE_FP16")
            values["TILEWRIGHT_ISA"] = "avx512vnni"
        return values

    def out(self, name: str) -> Path:
        return self.workshop.folder / f"{name}.out"

    def start(self, name: str, command: list[str]) -> Process:
        log = self.workshop.folder / f"{name}.log"
        return Process(self.masked(command), self.environment, log)

    def masked(self, command: list[str]) -> list[str]:
        return command if self.amx else [sys.executable, str(HERE / "no_amx.py"), *command]


@dataclass(frozen=True)
class Peer:
    start: Callable[[Setting, str], Running]
    # The output in f32 to compare with.
    reference: str = "reference.f32"


def python(function: str, *kinds: str) -> Peer:
    """A peer of `run.py`."""

    def start(setting: Setting, name: str) -> Process:
        for kind in kinds:
            setting.workshop.prepare(kind)
        size, folder = setting.workshop.size, setting.workshop.folder
        arguments = [function, setting.threads, size.bins, folder, setting.out(name)]
        return setting.start(name, [sys.executable, str(HERE / "run.py"), *map(str, arguments)])

    return Peer(start)


def whisper_cpp(setting: Setting, name: str) -> Process:
    program = setting.workshop.whisper_cpp()
    setting.workshop.prepare("whisper_cpp")
    size, folder = setting.workshop.size, setting.workshop.folder
    mel, model = folder / "mel.f32", folder / "ggml-q8_0.bin"
    arguments = [program, setting.threads, model, size.bins, mel, setting.out(name)]
    return setting.start(name, [*map(str, arguments)])


def tract(setting: Setting, name: str) -> Process:
    program = setting.workshop.rust("peer-tract")
    setting.workshop.prepare("onnx")
    setting.workshop.prepare("onnx_int8")
    size, folder = setting.workshop.size, setting.workshop.folder
    mel, model = folder / "mel.f32", folder / "encoder.int8.onnx"
    arguments = [program, setting.threads, model, size.bins, mel, setting.out(name)]
    return setting.start(name, [*map(str, arguments)])


def candle(setting: Setting, name: str) -> Process:
    program = setting.workshop.rust("peer-candle")
    gguf, folder = setting.workshop.gguf(), setting.workshop.folder
    config, mel = folder / "config.json", folder / "mel.f32"
    arguments = [program, "run", config, gguf, mel, setting.out(name)]
    return setting.start(name, [*map(str, arguments)])


def tilewright(precision: str) -> Peer:
    def start(setting: Setting, name: str) -> Tilewright:
        workshop = setting.workshop
        program = str(setting.tilewright or workshop.tilewright())
        command = [program, "encode", "--backend", "cpu", "--precision", precision]
        model, out = f"whisper-{workshop.size.name}", setting.out(name)
        return Tilewright(setting.masked(command), model, workshop.audio, out, setting.environment)

    return Peer(start)


PEERS = {
    "tilewright i8": tilewright("i8"),
    "tilewright bf16": tilewright("bf16"),
    "tilewright f32": tilewright("f32"),
    "openvino int8": python("openvino_int8", "openvino_int8"),
    "openvino bf16": python("openvino_bf16", "openvino"),
    "pytorch bf16": python("torch_bf16", "safetensors"),
    "pytorch f32": python("torch_f32", "safetensors"),
    "onnxruntime int8": python("onnxruntime_int8", "onnx", "onnx_int8"),
    "ctranslate2 int8": python("ctranslate2_int8", "ctranslate2"),
    "whisper.cpp q8_0": Peer(whisper_cpp),
    "tract int8": Peer(tract),
    "candle q8_0": Peer(candle, reference="sinusoids.f32"),
}


@dataclass
class Result:
    """What a peer showed, or why it did not."""

    name: str
    running: Running | None = None
    error: str = ""
    cosine: float = 0.0
    rounds: list[float] = field(default_factory=list)
    best: float = float("inf")
    peak: int = 0

    def start(self, setting: Setting) -> None:
        peer = PEERS[self.name]
        try:
            self.running = peer.start(setting, self.name)
            self.running.rest()
            reference = np.fromfile(setting.workshop.folder / peer.reference, np.float32)
            self.cosine = _cosine(_output(setting.out(self.name)), reference)
        except (PeerError, OSError, ValueError) as error:
            self.fail(error)

    def measure(self, runs: int) -> None:
        try:
            times = self.running.run(runs)
        except PeerError as error:
            self.fail(error)
            return
        self.rounds.append(statistics.median(times))
        self.best = min(self.best, *times)
        time.sleep(PAUSE)
        self.running.rest()

    def finish(self) -> None:
        if self.running:
            self.peak = self.running.peak_bytes()
            self.running.close()

    def fail(self, error: Exception) -> None:
        self.error = str(error) or type(error).__name__
        if self.running:
            self.running.close()
        self.running = None
        print(f"{self.name}: {self.error}", file=sys.stderr)

    def row(self) -> str:
        if self.error:
            return f"| {self.name} | failed: {self.error.replace('|', '/')} | | | | |"
        median = statistics.median(self.rounds)
        cells = (
            *(self.name, self.running.version, f"{median:.0f}", f"{self.best:.0f}"),
            *(f"{self.cosine:.5f}", f"{self.peak / 2**20:.0f}"),
        )
        return f"| {' | '.join(cells)} |"


def _output(path: Path) -> np.ndarray:
    """Raw numbers, or a file of NumPy's."""
    magic = path.read_bytes()[:6]
    return np.load(path).ravel() if magic == b"\x93NUMPY" else np.fromfile(path, np.float32)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def compare(setting: Setting, names: list[str], rounds: int, runs: int) -> list[Result]:
    """Rounds that visit every peer, each time from another one on, while the others sleep."""
    setting.workshop.prepare("reference")
    results = [Result(name) for name in names]
    for result in results:
        print(f"starting {result.name}", file=sys.stderr)
        result.start(setting)
    time.sleep(PAUSE)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        first = number % len(results)
        for result in results[first:] + results[:first]:
            if result.running:
                result.measure(runs)
    for result in results:
        result.finish()
    return results


def _machine() -> str:
    processor = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return f"{processor}, {cores} cores, {platform.system()} {platform.release()}"


def report(setting: Setting, results: list[Result], began: str, runs: int) -> str:
    rounds = max(len(result.rounds) for result in results)
    load = "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg())
    masked = "" if setting.amx else ", without AMX"
    done = sorted((r for r in results if not r.error), key=lambda r: statistics.median(r.rounds))
    lines = [
        f"{setting.workshop.size.name}, {setting.threads} threads{masked}: "
        f"medians of {rounds} rounds of {runs} runs.",
        f"{_machine()}; {began}; load at the end {load}.",
        "",
        "| peer | version | median ms | best ms | cosine | peak MiB |",
        "|---|---|---|---|---|---|",
        *(result.row() for result in done + [result for result in results if result.error]),
    ]
    busy = [r for r in results if r.running and r.running.idle_share() > DISTURBS]
    for result in busy:
        share = result.running.idle_share()
        lines += ["", f"{result.name} took {share:.1%} of a core while others were measured."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=models.SIZES, default="base")
    parser.add_argument("--amx", choices=("on", "off"), default="on", help="off: for no peer")
    parser.add_argument("--tilewright", type=Path, help="a program built for this size")
    parser.add_argument("--peers", default=",".join(PEERS), help="which, with commas: %(default)s")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=3, help="of each peer in a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2, help="for builds")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tilewright" / "peers"
    parser.add_argument("--cache", type=Path, default=cache)
    parser.add_argument("--audio", type=Path, default=ROOT / "samples" / "speech.wav")
    args = parser.parse_args()

    names = args.peers.split(",")
    if unknown := set(names) - set(PEERS):
        parser.error(f"no peer is called {', '.join(sorted(unknown))}")
    size = models.SIZES[args.size]
    workshop = Workshop(size, args.audio.resolve(), args.cache.resolve(), args.jobs)
    program = args.tilewright.resolve() if args.tilewright else None
    setting = Setting(workshop, args.threads, args.amx == "on", program)
    began = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    results = compare(setting, names, args.rounds, args.runs)
    print(report(setting, results, began, args.runs))


if __name__ == "__main__":
    main()
