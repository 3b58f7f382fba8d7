"""Writes seeds for the fuzz targets `tokenizer` and `config` to fuzz/corpus."""

import json
import pathlib

CORPUS = pathlib.Path(__file__).parent / "corpus"
LANGUAGES = ["en", "zh", "de", "haw"]


def spelling():
    """The characters that stand for bytes in a vocabulary that is text."""
    prints = lambda b: 33 <= b <= 126 or 161 <= b <= 172 or b >= 174
    rest = [b for b in range(256) if not prints(b)]
    return [chr(b) if prints(b) else chr(256 + rest.index(b)) for b in range(256)]


def tokenizer(pairs, languages, no_speech):
    """Whisper's form, with few tokens."""
    merges = [("\u0120", "h"), ("e", "l"), ("\u0120h", "el"), ("l", "o"), ("\u0120hel", "lo")]
    tokens = sorted(spelling()) + [a + b for a, b in merges]
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *[f"<|{code}|>" for code in languages],
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        no_speech,
        "<|notimestamps|>",
        "<|0.00|>",
        "<|0.02|>",
    ]
    added = [
        {
            "id": len(tokens) + i,
            "content": content,
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        for i, content in enumerate(special)
    ]
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": merges if pairs else [f"{a} {b}" for a, b in merges],
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": model,
    }


def write(target, name, value):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value, ensure_ascii=False))


def main():
    write("tokenizer", "lines.json", tokenizer(False, LANGUAGES, "<|nospeech|>"))
    write("tokenizer", "pairs.json", tokenizer(True, [], "<|nocaptions|>"))
    sizes = {
        "num_mel_bins": 80,
        "d_model": 64,
        "encoder_attention_heads": 1,
        "encoder_layers": 1,
        "encoder_ffn_dim": 64,
        "max_source_positions": 10,
        "decoder_layers": 1,
        "decoder_attention_heads": 1,
        "decoder_ffn_dim": 64,
        "vocab_size": 70,
        "max_target_positions": 8,
        "model_type": "whisper",
    }
    write("config", "fits.json", sizes)
    write(
        "config",
        "base.json",
        {
            **sizes,
            "d_model": 512,
            "encoder_attention_heads": 8,
            "decoder_layers": 6,
            "vocab_size": 51865,
        },
    )
    write(
        "config",
        "generation.json",
        {
            "suppress_tokens": [1, 2, 7, 50358, -1],
            "begin_suppress_tokens": [220, 50257],
            "max_initial_timestamp_index": 50,
            "alignment_heads": [[3, 1], [4, 2], [5, 7]],
            "is_multilingual": True,
            "lang_to_id": {"<|en|>": 50259},
            "no_timestamps_token_id": 50363,
        },
    )


if __name__ == "__main__":
    main()
