"""Builds and prepares what peers need, each thing once, in the cache."""

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from process import PeerError

from models import Size

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# Its source package has the whole of whisper.cpp in it.
PYWHISPERCPP = "pywhispercpp==1.5.1"


@dataclass(frozen=True)
class Workshop:
    size: Size
    audio: Path
    cache: Path
    jobs: int

    @cached_property
    def folder(self) -> Path:
        """What belongs to this size."""
        folder = self.cache / self.size.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def prepare(self, kind: str) -> None:
        """One of the kinds of `prepare.py`."""
        done = self.folder / f"{kind}.done"
        if not done.exists():
            print(f"preparing {kind} of {self.size.name}", file=sys.stderr)
            script = [sys.executable, str(HERE / "prepare.py")]
            arguments = [kind, self.size.name, str(self.audio), str(self.folder)]
            self._call([*script, *arguments], self.folder / f"{kind}.log")
            done.touch()

    def whisper_cpp(self) -> Path:
        build = self.cache / "whisper_cpp"
        program = build / "peer-whisper-cpp"
        if not program.exists():
            print("building whisper.cpp", file=sys.stderr)
            build.mkdir(parents=True, exist_ok=True)
            log = self.cache / "whisper_cpp.log"
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(self.cache)]
            self._call([*pip, "--no-binary", "pywhispercpp", PYWHISPERCPP], log)
            name = PYWHISPERCPP.replace("==", "-")
            with tarfile.open(self.cache / f"{name}.tar.gz") as package:
                package.extractall(self.cache, filter="data")
            sources = f"-DWHISPER_CPP={self.cache / name / 'whisper.cpp'}"
            # The cmake of requirements.txt.
            cmake = str(Path(sys.executable).parent / "cmake")
            self._call([cmake, "-S", str(HERE / "whisper_cpp"), "-B", str(build), sources], log)
            self._call([cmake, "--build", str(build), "--parallel", str(self.jobs)], log)
        return program

    def rust(self, program: str) -> Path:
        """A program of the crate beside this file, for the very machine."""
        native = {"RUSTFLAGS": "-C target-cpu=native"}
        return self._cargo(HERE / "rust", self.cache / "rust", native) / program

    def gguf(self) -> Path:
        """Candle's model."""
        path = self.folder / "encoder.gguf"
        if not path.exists():
            self.prepare("safetensors")
            weights = str(self.folder / "model.safetensors")
            convert = [str(self.rust("peer-candle")), "convert", weights, str(path)]
            self._call(convert, self.folder / "gguf.log")
        return path

    def tilewright(self) -> Path:
        """Tilewright of this checkout for this size, as it would be released."""
        model = {"TILEWRIGHT_MODEL": f"models/whisper-{self.size.name}.toml"}
        folder = self.cache / f"tilewright-{self.size.name}"
        return self._cargo(ROOT, folder, model) / "tilewright"

    def _cargo(self, crate: Path, target: Path, environment: dict[str, str]) -> Path:
        print(f"building {target.name}", file=sys.stderr)
        command = ["cargo", "build", "--release", "--locked", "--jobs", str(self.jobs)]
        environment = {**environment, "CARGO_TARGET_DIR": str(target)}
        self._call(command, self.cache / f"{target.name}.log", crate, environment)
        return target / "release"

    def _call(
        self,
        command: list[str],
        log: Path,
        folder: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        with log.open("w") as output:
            try:
                status = subprocess.run(
                    command,
                    cwd=folder,
                    env={**os.environ, **(environment or {})},
                    stdout=output,
                    stderr=output,
                ).returncode
            except FileNotFoundError:
                raise PeerError(f"there is no {command[0]}") from None
        if status != 0:
            lines = [line for line in log.read_text().splitlines() if line.strip()]
            raise PeerError(f"{lines[-1] if lines else status} ({log})")
