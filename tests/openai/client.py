"""Asks `tilewright serve` through OpenAI's Python client: see README.md."""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import threading
import time

import openai

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples/speech.wav"
QUICK = ["--max-tokens", "8", "--temperature-increment", "0", "--no-speech-threshold", "2"]
QUICK += ["--logprob-threshold", "-1000", "--no-timestamps"]


@contextlib.contextmanager
def server(binary: str, *arguments: str):
    """The base URL of a server that has the token `secret`."""
    command = [binary, "serve", "--port", "0", *QUICK, *arguments]
    environment = os.environ | {"TILEWRIGHT_TOKEN": "secret"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process.stdout.readline().split()[-1] + "/v1"
        finally:
            process.terminate()


def checks(client: openai.OpenAI, base_url: str):
    """Yields the name of each thing that is as it should be."""
    sample = lambda: SAMPLE.open("rb")
    transcribe = client.audio.transcriptions.create

    models = client.models.list()
    assert len(models.data) == 1 and models.data[0].object == "model"
    model = models.data[0].id
    assert client.models.retrieve(model).id == model
    yield "models.list, models.retrieve"

    plain = transcribe(file=sample(), model="whisper-1")
    assert isinstance(plain, openai.types.audio.Transcription) and plain.text
    assert plain.usage.type == "duration" and 12 < plain.usage.seconds < 13
    yield "json"
    assert transcribe(file=sample(), model=model, response_format="text").strip() == plain.text
    yield "text"
    srt = transcribe(file=sample(), model=model, response_format="srt")
    assert srt.startswith("1\n00:00:00,000 --> ") and plain.text in srt
    yield "srt"
    assert transcribe(file=sample(), model=model, response_format="vtt").startswith("WEBVTT\n")
    yield "vtt"
    verbose = transcribe(
        file=sample(),
        model=model,
        response_format="verbose_json",
        language="de",
        prompt="names",
        temperature=0.0,
    )
    assert isinstance(verbose, openai.types.audio.TranscriptionVerbose)
    assert verbose.language == "german" and verbose.segments and verbose.words is None
    yield "verbose_json"
    words = transcribe(
        file=("talk.mp3", SAMPLE.read_bytes()),
        model=model,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert words.segments is not None
    yield "timestamp_granularities"

    events = list(transcribe(file=sample(), model=model, stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert deltas and events[-1].type == "transcript.text.done"
    assert "".join(deltas) == events[-1].text == plain.text
    yield "stream=True"

    translation = client.audio.translations.create(file=sample(), model="whisper-1")
    assert isinstance(translation, openai.types.audio.Translation)
    yield "translations"
    verbose = client.audio.translations.create(
        file=sample(), model=model, response_format="verbose_json"
    )
    assert isinstance(verbose, openai.types.audio.TranslationVerbose)
    yield "translations, verbose_json"

    def refused(error: type[openai.APIStatusError], code: str | None, **arguments):
        try:
            transcribe(**({"file": sample(), "model": model} | arguments))
        except error as raised:
            assert raised.code == code, raised.code
            return raised
        raise AssertionError(f"{arguments} were taken")

    refused(openai.BadRequestError, "invalid_audio", file=("a.wav", b"this is no sound"))
    refused(openai.BadRequestError, "invalid_audio", file=("a.wav", b""))
    yield "bad file: BadRequestError"
    assert refused(openai.BadRequestError, None, language="klingon").param == "language"
    refused(openai.BadRequestError, None, response_format="diarized_json")
    refused(openai.BadRequestError, None, include=["logprobs"])
    yield "bad parameter: BadRequestError"
    refused(openai.NotFoundError, "model_not_found", model="gpt-4o-transcribe")
    yield "unknown model: NotFoundError"
    large = refused(openai.APIStatusError, "body_too_large", file=("a.wav", bytes(30 << 20)))
    assert large.status_code == 413
    yield "too large: 413"
    stranger = openai.OpenAI(base_url=base_url, api_key="wrong", max_retries=0)
    try:
        stranger.models.list()
        raise AssertionError("a wrong key was taken")
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"
    yield "bad key: AuthenticationError"


def crowd(client: openai.OpenAI):
    """More requests at once than there are places for."""
    outcomes = []

    def ask():
        try:
            client.audio.transcriptions.create(file=SAMPLE.open("rb"), model="whisper-1")
            outcomes.append("done")
        except openai.RateLimitError as error:
            assert error.code == "rate_limit_exceeded"
            assert 1 <= int(error.response.headers["retry-after"]) <= 60
            outcomes.append("refused")

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 12 and {"done", "refused"} == set(outcomes), outcomes
    yield "full queue: RateLimitError"

    # With retries, as is the default, everybody is served in the end.
    patient = client.with_options(max_retries=30)
    threads = [
        threading.Thread(
            target=lambda: outcomes.append(
                patient.audio.transcriptions.create(file=SAMPLE.open("rb"), model="whisper-1").text
            )
        )
        for _ in range(6)
    ]
    outcomes.clear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 6, outcomes
    yield "full queue, with retries: served"


def long_one(client: openai.OpenAI):
    """A recording that is too long."""
    try:
        client.audio.transcriptions.create(file=SAMPLE.open("rb"), model="whisper-1")
        raise AssertionError("12 s were taken")
    except openai.APIStatusError as error:
        assert error.status_code == 413 and error.code == "audio_too_long"
    yield "too long: 413"


def main():
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    binary = parser.parse_args().binary
    begun, passed = time.monotonic(), []
    for arguments, run in [
        ([], checks),
        (["--concurrency", "1", "--queue", "0"], lambda client, _: crowd(client)),
        (["--max-duration", "10"], lambda client, _: long_one(client)),
    ]:
        with server(binary, *arguments) as base_url:
            client = openai.OpenAI(base_url=base_url, api_key="secret", max_retries=0)
            for name in run(client, base_url):
                print("ok", name)
                passed.append(name)
    took = round(time.monotonic() - begun, 1)
    print(json.dumps({"openai": openai.__version__, "passed": len(passed), "seconds": took}))


if __name__ == "__main__":
    main()
