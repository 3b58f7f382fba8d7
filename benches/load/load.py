"""Keeps `tilewright serve` busy with clients good and bad: see README.md."""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import shlex
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = (ROOT / "samples/speech.wav").read_bytes()
QUICK = ["--max-tokens", "24", "--temperature-increment", "0", "--no-speech-threshold", "2"]
QUICK += ["--logprob-threshold", "-1000"]
PATHS = ["/v1/audio/transcriptions", "/v1/audio/translations"]
BOUNDARY = "boundary-of-the-load"
# Seconds that a client waits; the server's own limit is shorter.
PATIENCE = 900

# What clients do, how often, and which statuses are right. None is a connection that ends.
KINDS = {
    "json": (20, {200}),
    "text": (10, {200}),
    "srt": (10, {200}),
    "vtt": (10, {200}),
    "words": (10, {200}),
    "stream": (20, {200}),
    "hangs up": (10, {None}),
    "hangs up streaming": (5, {None}),
    "slow": (3, {200}),
    "too slow": (2, {408, None}),
    "no sound": (4, {400}),
    "bad parameter": (4, {400}),
    "health": (4, {200}),
}


def wav(seconds: float) -> bytes:
    """The sample, cut off or repeated."""
    sound = (SAMPLE[44:] * 4)[: int(seconds * 16000) * 2]
    head = bytearray(SAMPLE[:44])
    for at, size in [(4, len(sound) + 36), (40, len(sound))]:
        head[at : at + 4] = size.to_bytes(4, "little")
    return bytes(head) + sound


SOUNDS = [wav(seconds) for seconds in [1, 3, 12, 12, 36]]


def request(kind: str, source: random.Random) -> tuple[bytes, bytes]:
    """The head and the body of a request."""
    if kind == "health":
        return b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b""
    fields = {"model": "whisper-1"}
    if kind in ("text", "srt", "vtt"):
        fields["response_format"] = kind
    if kind == "words":
        fields |= {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    if "stream" in kind:
        fields["stream"] = "true"
    if kind == "bad parameter":
        fields["temperature"] = "hot"
    sound = source.choice(SOUNDS) if kind != "no sound" else source.randbytes(50_000)
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(b'name="file"; filename="a.wav"\r\n\r\n' + sound)
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
    body = b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()
    lines = [
        f"POST {source.choice(PATHS)} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode(), body


def ask(address: tuple[str, int], kind: str, source: random.Random) -> tuple[int | str | None, int]:
    """The status that a client of a kind sees, and when to come again."""
    head, body = request(kind, source)
    with socket.create_connection(address, timeout=PATIENCE) as stream:
        stream.sendall(head)
        try:
            if kind == "slow":
                for at in range(0, len(body), 16384):
                    stream.sendall(body[at : at + 16384])
                    time.sleep(0.02)
            elif kind == "too slow":
                # A byte now and then, until the server has had enough.
                stream.setblocking(False)
                for byte in body[:1000]:
                    time.sleep(0.25)
                    stream.send(bytes([byte]))
            else:
                stream.sendall(body)
        except OSError:
            # The answer may be there all the same.
            pass
        stream.settimeout(PATIENCE)
        if kind.startswith("hangs up"):
            time.sleep(source.uniform(0, 0.5))
            return None, 0
        answer, error = b"", None
        try:
            while piece := stream.recv(65536):
                answer += piece
        except OSError as raised:
            error = type(raised).__name__
    if not answer:
        return error if kind != "too slow" else None, 0
    status = int(answer.split(b" ", 2)[1])
    if b'data: {"error"' in answer:
        return "an error in the stream", 0
    if kind == "stream" and status == 200 and b"transcript.text.done" not in answer:
        return "a stream without an end", 0
    again = re.search(rb"retry-after: (\d+)", answer)
    return status, int(again.group(1)) if again else 0


class Load:
    """What the clients share."""

    def __init__(self, address: tuple[str, int], until: float):
        self.address, self.until = address, until
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.times = []

    def client(self, seed: int):
        """One client, which comes again and again."""
        source = random.Random(seed)
        names, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
        while time.monotonic() < self.until:
            (kind,) = source.choices(names, weights)
            begun = time.monotonic()
            try:
                status, again = ask(self.address, kind, source)
            except OSError as error:
                status, again = f"{type(error).__name__}: {error}", 0
            took = time.monotonic() - begun
            with self.lock:
                self.counts[kind, status] += 1
                if status == 200 and kind not in ("health", "slow"):
                    self.times.append(took)
            time.sleep(source.uniform(0.5, 1.0) * again)

    def unexpected(self) -> dict[str, int]:
        """Answers that are not right."""
        wrong = {}
        for (kind, status), count in self.counts.items():
            if status not in KINDS[kind][1] | {429}:
                wrong[f"{kind}: {status}"] = count
        return wrong


def metric(address: tuple[str, int], name: str) -> float:
    """A number that the server tells."""
    with socket.create_connection(address, timeout=60) as stream:
        stream.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b""
        while piece := stream.recv(65536):
            text += piece
    return float(re.search(rf"^tilewright_{name} (\S+)$", text.decode(), re.M).group(1))


def memory(pid: int) -> float:
    """Resident memory in MiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def run(arguments: argparse.Namespace, pid: int, address: tuple[str, int]) -> dict:
    """Lets the clients loose, and looks at the server each second."""
    begun = time.monotonic()
    load = Load(address, begun + 60 * arguments.minutes)
    clients = [
        threading.Thread(target=load.client, args=(seed,)) for seed in range(arguments.clients)
    ]
    for client in clients:
        client.start()
    resident = []
    while time.monotonic() < load.until:
        resident.append(memory(pid))
        if len(resident) % 30 == 0:
            print(
                f"{len(resident)} s: {resident[-1]:.1f} MiB, {sum(load.counts.values())} requests"
            )
        time.sleep(max(0, begun + len(resident) - time.monotonic()))
    for client in clients:
        client.join()
    took = time.monotonic() - begun
    # Nothing may go on for those who hung up.
    names = ["transcriptions_running", "transcriptions_waiting"]
    deadline = time.monotonic() + 30
    while any(metric(address, name) for name in names) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = {name: metric(address, name) for name in [*names, "connections"]}
    times = sorted(load.times)
    at = lambda share: round(times[min(int(share * len(times)), len(times) - 1)], 3)
    counts = collections.defaultdict(dict)
    for (kind, status), count in sorted(load.counts.items(), key=str):
        counts[kind][str(status)] = count
    minute = resident[60:] or resident
    return {
        "minutes": arguments.minutes,
        "clients": arguments.clients,
        "requests": sum(load.counts.values()),
        "served": len(times),
        "served_per_second": round(len(times) / took, 2),
        "audio_seconds_per_second": round(metric(address, "audio_seconds_total") / took, 1),
        "seconds": {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "most": at(1)},
        "windows_per_encoder_call": round(
            metric(address, "encoder_windows_total") / metric(address, "encoder_calls_total"), 2
        ),
        "resident_mib": {
            **{f"{s} s": round(resident[s], 1) for s in [1, 60, 300, 599] if s < len(resident)},
            "most": round(max(resident), 1),
            "growth_after_1_min": round(max(minute[-60:]) / max(minute[:60]) - 1, 3),
        },
        "counts": counts,
        "left_after": left,
        "unexpected": load.unexpected(),
    }


def main():
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--server", default="", help="more options of the server, as one word")
    arguments = parser.parse_args()
    command = [arguments.binary, "serve", "--port", "0", "--client-timeout", "10", *QUICK]
    command += shlex.split(arguments.server)
    environment = {k: v for k, v in os.environ.items() if k != "TILEWRIGHT_TOKEN"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            host, port = process.stdout.readline().split("//")[-1].split(":")
            report = run(arguments, process.pid, (host, int(port)))
        finally:
            process.terminate()
    report["status"] = process.returncode
    print(json.dumps(report, indent=2))
    grew = report["resident_mib"]["growth_after_1_min"] > 0.1
    if report["unexpected"] or any(list(report["left_after"].values())[:2]) or grew:
        raise SystemExit("not as it should be")
    assert process.returncode == 0, process.returncode


if __name__ == "__main__":
    main()
