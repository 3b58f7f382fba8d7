"""Holds `tilewright transcribe` against transformers' generate, token by token: see README.md."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import wave

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTimeStampLogitsProcessor,
    logging,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

logging.set_verbosity_error()
ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCABULARY, END, START, FIRST_TIMESTAMP = 51865, 50257, 50258, 50364
PROMPT = [START, 50259, 50359]
# Annotations, and the special tokens that only prompts have.
SUPPRESS = [
    1,
    2,
    7,
    8,
    9,
    10,
    14,
    25,
    26,
    27,
    28,
    29,
    31,
    58,
    59,
    60,
    61,
    62,
    63,
    90,
    91,
    92,
    93,
    50258,
    50358,
    50359,
    50360,
    50361,
    50362,
]


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def seeded(name, shape):
    """The values of src/weights/synthetic.rs."""
    count = int(np.prod(shape))
    index = np.arange(count, dtype=np.uint64)
    z = np.uint64(fnv1a64(name)) + index * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    v = 2 * ((z >> np.uint64(11)).astype(np.float64) / 2**53) - 1
    if "layer_norm" in name:
        scale = np.where(np.arange(count) % 128 == 5, 4.0, 1.0)
        v = (1 + 0.2 * v) * scale if name.endswith("weight") else 0.2 * v
    elif name.endswith(".bias"):
        v = 0.1 * v
    elif "embed_positions" in name:
        v = 0.5 * v
    elif "embed_tokens" in name:
        v = v * np.sqrt(3) * 2 / np.sqrt(shape[-1])
    else:
        gain = 1.5 if "q_proj" in name or "k_proj" in name else 1.0
        gain = 0.5 if "out_proj" in name or "fc2" in name else gain
        v = v * gain * np.sqrt(3 / np.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def spelling():
    """The characters that stand for bytes in a vocabulary that is text."""
    prints = lambda b: 33 <= b <= 126 or 161 <= b <= 172 or b >= 174
    rest = [b for b in range(256) if not prints(b)]
    return [chr(b) if prints(b) else chr(256 + rest.index(b)) for b in range(256)]


def special_tokens():
    special = ["<|endoftext|>", "<|startoftranscript|>"]
    special += [f"<|{code}|>" for code in list(LANGUAGES)[:99]]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    special += ["<|nospeech|>", "<|notimestamps|>"]
    return special + [f"<|{i * 0.02:.2f}|>" for i in range(1501)]


def tokenizer():
    """Bytes and special tokens where Whisper has them, made-up words between."""
    spelled = spelling()
    alphabet = sorted(spelled)
    vocabulary = {letter: i for i, letter in enumerate(alphabet)}
    vocabulary.update({f"\u0120w{i}": i for i in range(256, END)})
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in special_tokens()])
    assert made.get_vocab_size() == VOCABULARY, made.get_vocab_size()
    return made


def checkpoint(folder, layers, end, timestamps, seed):
    """Of seeded weights, with the embeddings of the end and of timestamps made longer: then they
    are likely at some places."""
    config = WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=80,
        d_model=512,
        encoder_layers=6,
        encoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_layers=layers,
        decoder_attention_heads=8,
        decoder_ffn_dim=2048,
        max_source_positions=1500,
        max_target_positions=448,
        pad_token_id=END,
        bos_token_id=END,
        eos_token_id=END,
        decoder_start_token_id=START,
    )
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            seeded_name = name
            if "decoder.layers" in name and "layer_norm" not in name:
                seeded_name = name + "#" * seed
            parameter.copy_(seeded(seeded_name, tuple(parameter.shape)))
        tokens = model.model.decoder.embed_tokens.weight
        tokens[END] *= end
        tokens[FIRST_TIMESTAMP:] *= timestamps
    model.generation_config = GenerationConfig(
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        decoder_start_token_id=START,
        suppress_tokens=SUPPRESS,
        begin_suppress_tokens=[220, END],
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": START + 1 + i for i, code in enumerate(list(LANGUAGES)[:99])},
        task_to_id={"translate": 50358, "transcribe": 50359},
        no_timestamps_token_id=50363,
        max_initial_timestamp_index=50,
        alignment_heads=[[layers - 1, 0]],
        max_length=448,
        prev_sot_token_id=50361,
    )
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    return model


def expected(model, features, beams, timestamps, count):
    prompt = PROMPT if timestamps else PROMPT + [50363]
    rules = [
        SuppressTokensAtBeginLogitsProcessor([220, END], begin_index=len(prompt)),
        SuppressTokensLogitsProcessor(SUPPRESS),
    ]
    if timestamps:
        rules.append(
            WhisperTimeStampLogitsProcessor(model.generation_config, begin_index=len(prompt))
        )
    config = GenerationConfig(
        eos_token_id=END,
        pad_token_id=END,
        decoder_start_token_id=START,
        num_beams=beams,
        do_sample=False,
        max_new_tokens=count,
        use_cache=True,
    )
    # Whisper's own `generate` cuts and pastes segments around this.
    tokens = GenerationMixin.generate(
        model,
        features,
        generation_config=config,
        logits_processor=LogitsProcessorList(rules),
        decoder_input_ids=torch.tensor([prompt]),
    )[0].tolist()
    if not timestamps:
        own = model.generate(
            features,
            num_beams=beams,
            max_new_tokens=count,
            language="en",
            task="transcribe",
            return_timestamps=False,
        )[0].tolist()
        strip = lambda ids: [i for i in ids if i < END]
        assert strip(own) == strip(tokens), (own, tokens)
    tokens = tokens[len(prompt) :]
    return tokens[: tokens.index(END)] if END in tokens else tokens


def transcribed(program, folder, sound, *options):
    """What the program gives for a recording, in f32."""
    command = [program, "transcribe", str(sound), "--weights", str(folder), "--precision", "f32"]
    command += ["--backend", "cpu", "--format", "json", *map(str, options)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(result.stderr)
    return json.loads(result.stdout)


def found(program, folder, sound, beams, timestamps, count):
    options = ["--language", "en", "--beam-size", beams, "--max-tokens", count]
    options += ["--temperature-increment", 0, "--no-speech-threshold", 2]
    options += [] if timestamps else ["--no-timestamps"]
    segments = transcribed(program, folder, sound, *options)["segments"]
    return [token for segment in segments if segment["seek"] == 0 for token in segment["tokens"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="the program, target/release/tilewright")
    parser.add_argument("--seeds", type=int, default=3, help="checkpoints of each kind")
    arguments = parser.parse_args()
    sound = ROOT / "samples/speech.wav"
    with wave.open(str(sound)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768.0
    features = WhisperFeatureExtractor()(samples, sampling_rate=16000, return_tensors="pt")
    features = features.input_features
    kinds = [(1, 1.0, 1.0), (2, 2.2, 1.0), (3, 2.6, 1.6)]
    different = total = ended = 0
    for layers, end, likelier in kinds:
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                model = checkpoint(folder, layers, end, likelier, seed)
                for beams in (1, 5):
                    # Where timestamps are likely, text without them has none.
                    for timestamps in (True,) if likelier > 1 else (False, True):
                        count = 40
                        with torch.no_grad():
                            theirs = expected(model, features, beams, timestamps, count)
                        ours = found(arguments.program, folder, sound, beams, timestamps, count)
                        # With timestamps what is behind the last pair belongs to the next window.
                        same = ours == (theirs[: len(ours)] if timestamps else theirs)
                        # What has no text is not written.
                        silent = all(token >= END for token in theirs)
                        same = same and (len(ours) > 0) != silent
                        total += 1
                        different += not same
                        ended += len(theirs) < count
                        what = (
                            f"{layers} layers, seed {seed}, beams {beams}, timestamps {timestamps}"
                        )
                        print(
                            f"{'same' if same else 'DIFFERENT'}: {what}, "
                            f"{len(ours)} of {len(theirs)} tokens",
                            flush=True,
                        )
                        if not same:
                            print(f"  theirs {theirs}\n  ours   {ours}")
    print(f"{total - different} of {total} alike, {ended} of them ended before {count} tokens")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
