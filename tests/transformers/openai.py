"""Holds `tilewright transcribe` against OpenAI's whisper, whole recordings: see README.md."""

import argparse
import base64
import importlib
import itertools
import json
import pathlib
import sys
import tempfile
import wave

import compare
import numpy as np
import torch
import whisper
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperFeatureExtractor
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

FRAME = 160
# Of the alignment: some of each layer.
HEADS = [(0, 1), (1, 0), (1, 3), (1, 6)]
# Every so many numbers are held against each other: quality, times.
TOLERANCE = {
    "avg_logprob": 2e-3,
    "compression_ratio": 1e-6,
    "no_speech_prob": 1e-4,
    "start": 0.006,
    "end": 0.006,
}


def parts(ranks, token, rank):
    """The two tokens that a token is merged of: the merges of lower ranks, done in their order."""
    pieces = [bytes([byte]) for byte in token]
    while len(pieces) > 2:
        pairs = [(ranks.get(a + b, rank), i) for i, (a, b) in enumerate(itertools.pairwise(pieces))]
        _, at = min(pairs)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def vocabulary():
    """OpenAI's multilingual tokens as a tokenizer.json."""
    path = pathlib.Path(whisper.__file__).parent / "assets/multilingual.tiktoken"
    lines = [line.split() for line in path.read_text().splitlines() if line]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    spelled = {byte: letter for byte, letter in enumerate(compare.spelling())}
    spell = lambda token: "".join(spelled[byte] for byte in token)
    merges = [parts(ranks, token, rank) for token, rank in ranks.items() if len(token) > 1]
    made = Tokenizer(
        models.BPE(
            vocab={spell(token): rank for token, rank in ranks.items()},
            merges=[(spell(a), spell(b)) for a, b in merges],
        )
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in compare.special_tokens()])
    assert made.get_vocab_size() == compare.VOCABULARY, made.get_vocab_size()
    return made


def openai_name(name):
    """OpenAI's name of a tensor of Hugging Face's."""
    name = name.removeprefix("model.")
    for theirs, ours in [
        ("layers.", "blocks."),
        ("encoder_attn_layer_norm", "cross_attn_ln"),
        ("encoder_attn", "cross_attn"),
        ("self_attn_layer_norm", "attn_ln"),
        ("self_attn", "attn"),
        ("final_layer_norm", "mlp_ln"),
        ("fc1", "mlp.0"),
        ("fc2", "mlp.2"),
        ("q_proj", "query"),
        ("k_proj", "key"),
        ("v_proj", "value"),
        ("out_proj", "out"),
        ("embed_positions.weight", "positional_embedding"),
        ("embed_tokens", "token_embedding"),
        ("encoder.layer_norm", "encoder.ln_post"),
        ("decoder.layer_norm", "decoder.ln"),
    ]:
        name = name.replace(theirs, ours)
    return name


def reference(model, layers, heads):
    """OpenAI's model with the weights of Hugging Face's."""
    sizes = ModelDimensions(80, 1500, 512, 8, 6, compare.VOCABULARY, 448, 512, 8, layers)
    theirs = Whisper(sizes).eval()
    weights = {openai_name(name): value for name, value in model.state_dict().items()}
    weights.pop("proj_out.weight", None)
    theirs.load_state_dict(weights)
    if heads:
        mask = torch.zeros(layers, 8, dtype=torch.bool)
        for layer, head in heads:
            mask[layer, head] = True
        theirs.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    # Most of the time is the encoder's, and most windows come more than once.
    encode, known = theirs.encoder.forward, {}

    def remembered(mel):
        key = mel.numpy().tobytes()
        if key not in known:
            known[key] = encode(mel)
        return known[key]

    theirs.encoder.forward = remembered
    return theirs


def listen_window_by_window(samples):
    """Replaces the spectrogram of OpenAI's `transcribe`, which is of the whole recording, by those
    of its windows, as Hugging Face's and ours are: what is passed on is where a window begins."""
    module = importlib.import_module("whisper.transcribe")
    extractor = WhisperFeatureExtractor()

    def places(audio, bins, padding):
        return torch.arange(len(audio) // FRAME + padding // FRAME, dtype=torch.float64)[None]

    def window(frames, length):
        first, count = int(frames[0, 0]) * FRAME, min(frames.shape[-1], length) * FRAME
        part = samples[first : first + count]
        mel = extractor(part, sampling_rate=16000, return_tensors="pt").input_features[0]
        return mel

    module.log_mel_spectrogram, module.pad_or_trim = places, window


def recording(seconds):
    """Speech, silence, speech backwards, faster, in noise; not a whole number of positions."""
    with wave.open(str(compare.ROOT / "samples/speech.wav")) as file:
        speech = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64)
    random = np.random.default_rng(1)
    noise = lambda n: random.normal(0, 300, n)
    pieces = [
        speech,
        noise(48000) / 10,
        speech[::-1],
        speech[::2],
        speech * 0.3 + noise(len(speech)),
        noise(80000),
        speech[::-2],
        speech[20000:90000] * 0.7,
        speech[::3],
        noise(200000) / 3,
    ]
    sound = np.concatenate(pieces + pieces[::-1])[: int(seconds * 16000)]
    return np.clip(np.round(sound), -32768, 32767).astype("<i2")


def flags(options):
    """The options of OpenAI's `transcribe` as ours."""
    words = {
        "logprob_threshold": "--logprob-threshold",
        "no_speech_threshold": "--no-speech-threshold",
        "compression_ratio_threshold": "--compression-ratio-threshold",
        "language": "--language",
        "sample_len": "--max-tokens",
        "initial_prompt": "--prompt",
        "task": "--task",
    }
    switches = {"word_timestamps": "--word-timestamps", "without_timestamps": "--no-timestamps"}
    found = []
    for name, value in options.items():
        if name in words:
            found += [f"{words[name]}={value}"]
        elif name in switches and value:
            found.append(switches[name])
    if not options.get("condition_on_previous_text", True):
        found.append("--no-context")
    temperatures = options["temperature"]
    step = temperatures[1] - temperatures[0] if len(temperatures) > 1 else 0
    return found + ["--temperature-increment", str(step), "--temperature", str(temperatures[0])]


def theirs(model, samples, options):
    with torch.no_grad():
        return whisper.transcribe(model, samples.astype(np.float32), fp16=False, **options)


class Counts:
    def __init__(self):
        self.windows = self.segments = self.words = self.different = 0
        self.moved = []

    def differ(self, what):
        self.different += 1
        print(f"    DIFFERENT: {what}")


def hold_segments(counts, mine, other, decisions_only):
    """Segments one by one; of theirs, those that are left: they empty others."""
    other_segments = [s for s in other["segments"] if s["text"].strip()]
    if decisions_only:
        # What is drawn is another text each time: at which temperature it was is not.
        at = lambda segments: {s["seek"]: round(s["temperature"], 3) for s in segments}
        mine_at, other_at = at(mine["segments"]), at(other_segments)
        counts.windows += len(other_at)
        if any(mine_at[seek] != other_at[seek] for seek in mine_at.keys() & other_at.keys()):
            counts.differ(f"temperatures {mine_at}, not {other_at}")
        return
    if mine["language"] != whisper.tokenizer.LANGUAGES[other["language"]]:
        counts.differ(f"language {mine['language']}, not {other['language']}")
    if len(mine["segments"]) != len(other_segments):
        counts.differ(f"{len(mine['segments'])} segments, not {len(other_segments)}")
    counts.windows += len({s["seek"] for s in other_segments})
    for m, o in zip(mine["segments"], other_segments, strict=False):
        counts.segments += 1
        for key in ("seek", "tokens", "text"):
            if m[key] != o[key]:
                counts.differ(f"{key} at {o['seek']}: {m[key]}, not {o[key]}")
                return
        for key, tolerance in TOLERANCE.items():
            if abs(m[key] - o[key]) > tolerance:
                counts.differ(f"{key} at {o['seek']}: {m[key]}, not {o[key]}")
    words = [word for segment in other_segments for word in segment.get("words", [])]
    found = mine.get("words", [])
    if [w["word"] for w in words] != [w["word"] for w in found]:
        counts.differ(f"words {[w['word'] for w in found]}, not {[w['word'] for w in words]}")
        return
    for m, o in zip(found, words, strict=True):
        counts.words += 1
        moved = max(abs(m["start"] - o["start"]), abs(m["end"] - o["end"]))
        counts.moved.append(moved)
        if moved > 0.006:
            counts.differ(
                f"{o['word']!r} from {m['start']} to {m['end']}, not {o['start']} to {o['end']}"
            )


def between(values):
    """A limit that is none of the values: in the midst of several, or above the only one."""
    values = sorted(set(values))
    at = len(values) // 2
    return (values[at - 1] + values[at]) / 2 if at else values[0] + abs(values[0]) / 2


def scenarios(done):
    """Options of `transcribe`, and whether only decisions are compared; `done` is what came of
    those before by then, to choose limits in the midst of what there is."""
    plain = {
        "temperature": (0.0,),
        "language": "en",
        "sample_len": 60,
        "no_speech_threshold": 2.0,
        "logprob_threshold": -1000.0,
        "compression_ratio_threshold": 1000.0,
    }
    yield "plain", plain, False
    quality = lambda key: [segment[key] for segment in done["plain"]["segments"] if segment["text"]]
    middle = lambda key: between(quality(key))
    yield "any language", {k: v for k, v in plain.items() if k != "language"}, False
    yield "words", {**plain, "word_timestamps": True}, False
    yield "words in Japanese", {**plain, "word_timestamps": True, "language": "ja"}, False
    yield "without context", {**plain, "condition_on_previous_text": False}, False
    yield "without timestamps", {**plain, "without_timestamps": True, "sample_len": 30}, False
    yield "prompt", {**plain, "initial_prompt": "Grüße, 世界, and others' <names>"}, False
    yield "translate", {**plain, "task": "translate", "language": "de"}, False
    yield "longest", {**{k: v for k, v in plain.items() if k != "sample_len"}}, False
    yield (
        "silence",
        {**plain, "no_speech_threshold": middle("no_speech_prob"), "logprob_threshold": 0.0},
        False,
    )
    yield (
        "likely silence",
        {
            **plain,
            "no_speech_threshold": min(quality("no_speech_prob")) / 2,
            "logprob_threshold": middle("avg_logprob"),
        },
        False,
    )
    draws = {
        **plain,
        "temperature": (0.0, 1.0),
        "without_timestamps": True,
        "sample_len": 30,
        "condition_on_previous_text": False,
    }
    yield "unlikely", {**draws, "logprob_threshold": middle("avg_logprob")}, True
    yield "repetitive", {**draws, "compression_ratio_threshold": middle("compression_ratio")}, True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="the program, target/release/tilewright")
    parser.add_argument("--seeds", type=int, default=2, help="checkpoints of each kind")
    parser.add_argument("--seconds", type=float, default=95.237, help="of the recording")
    parser.add_argument("--only", help="scenarios that begin so")
    arguments = parser.parse_args()
    sound = recording(arguments.seconds)
    samples = sound / 32768.0
    listen_window_by_window(samples)
    made = vocabulary()
    check_tokenizer(made)
    counts = Counts()
    # Decoder layers, and by what the embeddings of the end, timestamps and silence are longer.
    kinds = [(2, 2.2, 1.0, 3.0), (3, 2.6, 1.6, 2.0), (2, 1.0, 2.0, 4.0)]
    for layers, end, likelier, silence in kinds:
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                with wave.open(str(folder / "sound.wav"), "wb") as file:
                    file.setparams((1, 2, 16000, 0, "NONE", ""))
                    file.writeframes(sound.tobytes())
                model = compare.checkpoint(folder, layers, end, likelier, seed)
                with torch.no_grad():
                    model.model.decoder.embed_tokens.weight[50362] *= silence
                model.save_pretrained(folder)
                made.save(str(folder / "tokenizer.json"))
                # Those that the checkpoint says, or the usual ones.
                heads = HEADS if seed % 2 == 0 else []
                said = {"alignment_heads": heads} if heads else {}
                (folder / "generation_config.json").write_text(json.dumps(said))
                other = reference(model, layers, heads)
                done = {}
                for name, options, decisions in scenarios(done):
                    wanted = (
                        not arguments.only or name.startswith(arguments.only) or name == "plain"
                    )
                    if not wanted:
                        continue
                    before = counts.different
                    done[name] = theirs(other, samples, options)
                    program, wav = arguments.program, folder / "sound.wav"
                    mine = compare.transcribed(program, folder, wav, *flags(options))
                    segments = len(done[name]["segments"])
                    print(
                        f"{layers} layers, end {end}, timestamps {likelier}, seed {seed}: {name}, "
                        f"{segments} segments",
                        flush=True,
                    )
                    hold_segments(counts, mine, done[name], decisions)
                    if counts.different == before:
                        print("    same", flush=True)
    moved = sum(distance > 0.001 for distance in counts.moved)
    print(
        f"{counts.windows} windows, {counts.segments} segments, {counts.words} words "
        f"({moved} of them moved by a hundredth of a second): {counts.different} differences"
    )
    sys.exit(counts.different > 0)


def check_tokenizer(made):
    """That the tokenizer.json is OpenAI's vocabulary."""
    own = get_tokenizer(True, num_languages=99)
    for text in [
        "Hello, world! It's 9:30.",
        " Grüße aus Köln",
        "世界、こんにちは",
        "a\n\n  b\t♪♪",
        "ñandú 👩‍👩‍👧",
    ]:
        assert made.encode(text).ids == own.encode(text), text


if __name__ == "__main__":
    main()
