//! The sizes of an encoder, the tensors that it has, and the presets of `models/`.

use std::collections::BTreeSet;

use serde::Serialize;

/// The sizes of a Whisper encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Dimensions {
    /// Bins of the log-mel spectrogram.
    pub mel_bins: usize,
    /// Width of the hidden state.
    pub d_model: usize,
    /// Heads of self-attention.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Width between the two matmuls of a feed-forward network.
    pub ffn: usize,
    /// Frames after the convolutions: 1500 for all of Whisper.
    pub positions: usize,
}

impl Dimensions {
    pub(super) fn fields(&self) -> [(&'static str, usize); 6] {
        [
            ("mel_bins", self.mel_bins),
            ("d_model", self.d_model),
            ("heads", self.heads),
            ("layers", self.layers),
            ("ffn", self.ffn),
            ("positions", self.positions),
        ]
    }
}

/// Name and shape of every tensor of an encoder, in the order in which it uses them.
///
/// Names are Hugging Face's, with the prefix `model.`. A layer has 15: its key projection has no
/// bias.
///
/// ```
/// use tilewright::weights::{Dimensions, encoder_tensors};
///
/// let base =
///     Dimensions { mel_bins: 80, d_model: 512, heads: 8, layers: 6, ffn: 2048, positions: 1500 };
/// let tensors = encoder_tensors(&base);
/// assert_eq!(tensors.len(), 4 + 1 + 15 * 6 + 2);
/// assert_eq!(tensors[0], ("model.encoder.conv1.weight".to_owned(), vec![512, 80, 3]));
/// ```
pub fn encoder_tensors(dimensions: &Dimensions) -> Vec<(String, Vec<usize>)> {
    let Dimensions { mel_bins, d_model, heads: _, layers, ffn, positions } = *dimensions;
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        tensors.push((format!("model.encoder.{name}"), shape.to_vec()));
    };
    add("conv1.weight".to_owned(), &[d_model, mel_bins, 3]);
    add("conv1.bias".to_owned(), &[d_model]);
    add("conv2.weight".to_owned(), &[d_model, d_model, 3]);
    add("conv2.bias".to_owned(), &[d_model]);
    add("embed_positions.weight".to_owned(), &[positions, d_model]);
    for layer in 0..layers {
        for (part, rows, columns, bias) in [
            ("self_attn_layer_norm", d_model, None, true),
            ("self_attn.q_proj", d_model, Some(d_model), true),
            ("self_attn.k_proj", d_model, Some(d_model), false),
            ("self_attn.v_proj", d_model, Some(d_model), true),
            ("self_attn.out_proj", d_model, Some(d_model), true),
            ("final_layer_norm", d_model, None, true),
            ("fc1", ffn, Some(d_model), true),
            ("fc2", d_model, Some(ffn), true),
        ] {
            let shape: Vec<usize> = [rows].into_iter().chain(columns).collect();
            add(format!("layers.{layer}.{part}.weight"), &shape);
            if bias {
                add(format!("layers.{layer}.{part}.bias"), &[rows]);
            }
        }
    }
    add("layer_norm.weight".to_owned(), &[d_model]);
    add("layer_norm.bias".to_owned(), &[d_model]);
    tensors
}

/// The sizes of a Whisper decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct DecoderDimensions {
    /// Width of the hidden state, the same as the encoder's.
    pub d_model: usize,
    /// Heads of both attentions.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Width between the two matmuls of a feed-forward network.
    pub ffn: usize,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// The most tokens of a sequence: 448 for all of Whisper.
    pub positions: usize,
}

impl DecoderDimensions {
    /// The decoder that OpenAI trained with an encoder, as far as the encoder tells: for that of
    /// large-v3, which has two, the one of `layers` layers if they are given.
    pub fn of(encoder: &Dimensions, layers: Option<usize>) -> Self {
        Self {
            d_model: encoder.d_model,
            heads: encoder.heads,
            layers: layers.unwrap_or(encoder.layers),
            ffn: encoder.ffn,
            // large-v3 added Cantonese.
            vocabulary: if encoder.mel_bins == 128 { 51866 } else { 51865 },
            positions: 448,
        }
    }
}

/// Name and shape of every tensor of a decoder, in the order in which it uses them.
///
/// Names are Hugging Face's, with the prefix `model.`. The projection to logits is the token
/// embedding. Key projections have no bias.
pub fn decoder_tensors(dimensions: &DecoderDimensions) -> Vec<(String, Vec<usize>)> {
    let DecoderDimensions { d_model, heads: _, layers, ffn, vocabulary, positions } = *dimensions;
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        tensors.push((format!("model.decoder.{name}"), shape.to_vec()));
    };
    add("embed_tokens.weight".to_owned(), &[vocabulary, d_model]);
    add("embed_positions.weight".to_owned(), &[positions, d_model]);
    for layer in 0..layers {
        let mut add = |part: &str, rows: usize, columns: Option<usize>| {
            let shape: Vec<usize> = [rows].into_iter().chain(columns).collect();
            add(format!("layers.{layer}.{part}.weight"), &shape);
            if !part.ends_with("k_proj") {
                add(format!("layers.{layer}.{part}.bias"), &[rows]);
            }
        };
        for attention in ["self_attn", "encoder_attn"] {
            add(&format!("{attention}_layer_norm"), d_model, None);
            for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                add(&format!("{attention}.{part}"), d_model, Some(d_model));
            }
        }
        add("final_layer_norm", d_model, None);
        add("fc1", ffn, Some(d_model));
        add("fc2", d_model, Some(ffn));
    }
    add("layer_norm.weight".to_owned(), &[d_model]);
    add("layer_norm.bias".to_owned(), &[d_model]);
    tensors
}

/// A size of Whisper that `models/` has a file for.
struct Preset {
    name: &'static str,
    encoder: Dimensions,
    decoder_layers: usize,
}

const fn preset_of(
    name: &'static str,
    mel_bins: usize,
    d_model: usize,
    heads: usize,
    layers: usize,
    decoder_layers: usize,
) -> Preset {
    let encoder =
        Dimensions { mel_bins, d_model, heads, layers, ffn: 4 * d_model, positions: 1500 };
    Preset { name, encoder, decoder_layers }
}

const PRESETS: [Preset; 6] = [
    preset_of("whisper-tiny", 80, 384, 6, 4, 4),
    preset_of("whisper-base", 80, 512, 8, 6, 6),
    preset_of("whisper-small", 80, 768, 12, 12, 12),
    preset_of("whisper-medium", 80, 1024, 16, 24, 24),
    preset_of("whisper-large-v3", 128, 1280, 20, 32, 32),
    preset_of("whisper-large-v3-turbo", 128, 1280, 20, 32, 4),
];

/// The file of `models/` for an encoder, without its extension.
///
/// large-v3 and turbo have the same encoder: the depth of the decoder tells them apart, and without
/// it (or with another, as distilled models have) the first serves as well.
pub(super) fn preset(encoder: &Dimensions, decoder_layers: Option<usize>) -> Option<&'static str> {
    let same = || PRESETS.iter().filter(|preset| preset.encoder == *encoder);
    same()
        .find(|preset| Some(preset.decoder_layers) == decoder_layers)
        .or_else(|| same().next())
        .map(|preset| preset.name)
}

/// The sizes that the shapes of a checkpoint tell, or nothing if too much is missing.
///
/// No shape tells the number of heads; it is taken to be `d_model` / 64, as in all of Whisper.
pub(super) fn infer<'a>(
    names: impl Iterator<Item = &'a str>,
    shape: impl Fn(&str) -> Option<&'a [usize]>,
) -> Option<Dimensions> {
    let &[d_model, mel_bins, _] = shape("model.encoder.conv1.weight")? else { return None };
    let &[positions, _] = shape("model.encoder.embed_positions.weight")? else { return None };
    let &[ffn, _] = shape("model.encoder.layers.0.fc1.weight")? else { return None };
    let layers = layers(names, "encoder.layers.");
    Some(Dimensions { mel_bins, d_model, heads: d_model / 64, layers, ffn, positions })
}

/// The sizes of the decoder that the shapes of a checkpoint tell.
pub(super) fn infer_decoder<'a>(
    names: impl Iterator<Item = &'a str>,
    shape: impl Fn(&str) -> Option<&'a [usize]>,
) -> Option<DecoderDimensions> {
    let &[vocabulary, d_model] = shape("model.decoder.embed_tokens.weight")? else { return None };
    let &[positions, _] = shape("model.decoder.embed_positions.weight")? else { return None };
    let &[ffn, _] = shape("model.decoder.layers.0.fc1.weight")? else { return None };
    let layers = layers(names, "decoder.layers.");
    Some(DecoderDimensions { d_model, heads: d_model / 64, layers, ffn, vocabulary, positions })
}

/// How many layers the names count.
pub(super) fn layers<'a>(names: impl Iterator<Item = &'a str>, prefix: &str) -> usize {
    let layer = |name: &'a str| {
        let name = name.strip_prefix("model.").unwrap_or(name);
        name.strip_prefix(prefix)?.split('.').next()
    };
    names.filter_map(layer).collect::<BTreeSet<_>>().len()
}
