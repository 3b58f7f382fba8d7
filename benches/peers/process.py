"""The processes that are measured: started once, told to encode, asleep in between."""

import json
import os
import subprocess
import time
from pathlib import Path


class PeerError(Exception):
    """Why a peer has no numbers."""


class Process:
    """A peer that answers a line `run N` with the milliseconds of N runs."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        self._idle_since: tuple[float, float] | None = None
        self._idle_cpu = 0.0
        self._idle_time = 0.0
        with log.open("w") as errors:
            self._child = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.version: str = self._answer()["version"]

    def run(self, runs: int) -> list[float]:
        self._wake()
        try:
            self._child.stdin.write(f"run {runs}\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self._reason()) from None
        return self._answer()["ms"]

    def rest(self) -> None:
        """From now on it should sleep, until the next `run`."""
        self._idle_since = (time.monotonic(), self._cpu_seconds())

    def idle_share(self) -> float:
        """How much of a core it took while others ran."""
        return self._idle_cpu / self._idle_time if self._idle_time else 0.0

    def peak_bytes(self) -> int:
        for line in Path(f"/proc/{self._child.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise PeerError("the system does not tell its memory")

    def close(self) -> None:
        self._child.stdin.close()
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()

    def _wake(self) -> None:
        if self._idle_since:
            since, cpu = self._idle_since
            self._idle_time += time.monotonic() - since
            self._idle_cpu += self._cpu_seconds() - cpu

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _answer(self) -> dict:
        # Libraries may print what they like; answers are objects.
        for line in self._child.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise PeerError(self._reason())

    def _reason(self) -> str:
        status = self._child.wait()
        lines = [line for line in self._log.read_text().splitlines() if line.strip()]
        return f"status {status}: {lines[-1] if lines else 'nothing said'}"


class Tilewright:
    """Tilewright's program: a process each time, which says what its encoder took."""

    def __init__(
        self, program: list[str], model: str, audio: Path, out: Path, environment: dict[str, str]
    ) -> None:
        self._command = [*program, "--json", "--format", "npy", "--out", str(out), str(audio)]
        self._environment = environment
        self._peak = 0
        answer = self._encode(1)
        if answer["model"] != model:
            raise PeerError(f"the program was built for {answer['model']}")
        self.version = f"Tilewright, {answer['isa']}"

    def run(self, runs: int) -> list[float]:
        """The median of the runs, which is all that it tells."""
        return [self._encode(runs)["encoder_ms"]]

    def rest(self) -> None:
        """It has ended."""

    def idle_share(self) -> float:
        return 0.0

    def peak_bytes(self) -> int:
        return self._peak

    def close(self) -> None:
        """It has ended."""

    def _encode(self, runs: int) -> dict:
        done = subprocess.run(
            [*self._command, "--repeat", str(runs)],
            env=self._environment,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise PeerError(done.stderr.strip().splitlines()[-1])
        answer = json.loads(done.stdout)
        self._peak = max(self._peak, answer["peak_memory_bytes"] or 0)
        return answer
