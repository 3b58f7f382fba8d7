//! Every size of Whisper's encoder held against Hugging Face's output on synthetic weights.
//!
//! The product is built for the sizes that a user wants; this crate has a table of its own with all
//! of them, and shows on the way how another program brings its table to Tilewright's encoder.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use safetensors::SafeTensors;
use tilewright::audio::{self, LogMel};
use tilewright::backend::cpu::{Cpu, Numeric, Scaling};
use tilewright::decoder::{Decoder, Scratch};
use tilewright::encoder::{Distance, Encode, Encoder, EncoderOps, Nobody};
use tilewright::weights::{DecoderDimensions, Weights};
use tilewright_kernel::TargetInfo;

/// The dispatch table of all sizes.
pub mod kernels {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

use kernels::{Pass, TABLE, Visitor};

/// A pass of this crate's table as the encoder wants it.
struct Ours<P>(PhantomData<fn() -> P>);

impl<P: Pass> EncoderOps for Ours<P> {
    const MEL_BINS: usize = P::MEL_BINS;
    const D_MODEL: usize = P::D_MODEL;
    const HEADS: usize = P::HEADS;
    const LAYERS: usize = P::LAYERS;
    const FFN: usize = P::FFN;
    type AttnQkv = P::AttnQkv;
    type AttnOut = P::AttnOut;
    type FfnUp = P::FfnUp;
    type FfnDown = P::FfnDown;

    fn target() -> &'static TargetInfo {
        P::target()
    }
}

/// What went wrong.
pub type Error = Box<dyn std::error::Error>;

/// The ways to multiply that are compared, and what they are called.
pub const NUMERICS: [(&str, Numeric); 4] = [
    ("f32", Numeric::F32),
    ("bf16", Numeric::Bf16),
    ("i8", Numeric::I8 { activations: Scaling::PerRow }),
    ("i8 per tensor", Numeric::I8 { activations: Scaling::PerTensor }),
];

/// Where the reference outputs are: the variable `TILEWRIGHT_GOLDENS`, or beside the repository.
pub fn goldens() -> PathBuf {
    std::env::var_os("TILEWRIGHT_GOLDENS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/goldens"),
        PathBuf::from,
    )
}

/// One size at one precision.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Distance of the features to the reference.
    pub distance: Distance,
    /// Median time of the encoder.
    pub time: Duration,
}

/// Encodes the goldens' sample with synthetic weights and compares the features with the reference
/// of a size: `base`.
///
/// # Errors
/// When the reference cannot be read, or the encoder fails.
pub fn measure(
    goldens: &Path,
    size: &str,
    numeric: Numeric,
    rounds: usize,
) -> Result<Measured, Error> {
    let bytes = std::fs::read(goldens.join(format!("{size}.safetensors")))?;
    let reference = SafeTensors::deserialize(&bytes)?;
    let mut encoder = load(size, numeric)?;
    let width = encoder.dimensions().d_model;
    let mut reader = audio::open(goldens.join("speech.wav"))?;
    let window = reader.next_window()?.ok_or("the sample is empty")?;
    let mel = LogMel::new(encoder.dimensions().mel_bins)?.compute(&window.samples);
    let mut times = Vec::new();
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        encoder.encode(&mel, &mut Nobody)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let features = encoder.encode(&mel, &mut Nobody)?;
    let rows = reference.tensor("encoder.rows")?;
    let rows: Vec<f32> = rows.data().chunks_exact(4).map(f32_of).collect();
    let index = reference.tensor("encoder.row_index")?;
    let index = index.data().chunks_exact(8).map(i64_of);
    let ours: Vec<f32> =
        index.flat_map(|at| features[at as usize * width..][..width].iter().copied()).collect();
    if ours.len() != rows.len() {
        return Err("the reference has another width".into());
    }
    Ok(Measured { distance: Distance::new(&ours, &rows), time: times[times.len() / 2] })
}

/// A decoder at one precision, on features in f32.
#[derive(Debug, Clone)]
pub struct MeasuredDecoder {
    /// Distance of the first logits to the reference.
    pub distance: Distance,
    /// The prompt and what follows when the likeliest token is taken each time.
    pub greedy: Vec<u32>,
    /// The same of the reference.
    pub reference: Vec<u32>,
    /// Shortest time of a token after the first.
    pub time: Duration,
}

/// Decodes the goldens' sample with synthetic weights as the reference of a size did: the likeliest
/// token each time, nothing suppressed.
///
/// # Errors
/// When the reference cannot be read, or the encoder or decoder fails.
pub fn measure_decoder(
    goldens: &Path,
    size: &str,
    numeric: Numeric,
) -> Result<MeasuredDecoder, Error> {
    let bytes = std::fs::read(goldens.join(format!("{size}.safetensors")))?;
    let reference = SafeTensors::deserialize(&bytes)?;
    let ids = reference.tensor("decoder.greedy_ids")?;
    let ids: Vec<u32> = ids.data().chunks_exact(8).map(|id| i64_of(id) as u32).collect();
    let first = reference.tensor("decoder.first_logits")?;
    let first: Vec<f32> = first.data().chunks_exact(4).map(f32_of).collect();

    let mut encoder = load(size, Numeric::F32)?;
    let mut reader = audio::open(goldens.join("speech.wav"))?;
    let window = reader.next_window()?.ok_or("the sample is empty")?;
    let mel = LogMel::new(encoder.dimensions().mel_bins)?.compute(&window.samples);
    let features = encoder.encode(&mel, &mut Nobody)?.to_vec();

    let layers = (size == "large-v3-turbo").then_some(4);
    let dimensions = DecoderDimensions::of(&encoder.dimensions(), layers);
    let weights = Weights::synthetic();
    let decoder = Decoder::load(Cpu::new()?, numeric, Some(dimensions), &weights, None)?;
    let (mut state, mut scratch) = (decoder.state(1), Scratch::default());
    decoder.listen(&features, &mut state, &mut scratch)?;
    let prompt = &ids[..4];
    let mut greedy = prompt.to_vec();
    let mut logits = decoder.prompt(prompt, &[prompt.len() - 1], &mut state, &mut scratch)?;
    let distance = Distance::new(logits, &first);
    let mut times = Vec::new();
    loop {
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let token = best.map(|(token, _)| token as u32).ok_or("there are no logits")?;
        greedy.push(token);
        if greedy.len() == ids.len() {
            break;
        }
        let start = Instant::now();
        logits = decoder.step(&[token], &mut state, &mut scratch)?;
        times.push(start.elapsed());
    }
    let time = times.into_iter().min().unwrap_or_default();
    Ok(MeasuredDecoder { distance, greedy, reference: ids, time })
}

fn f32_of(bytes: &[u8]) -> f32 {
    f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn i64_of(bytes: &[u8]) -> i64 {
    i64::from_le_bytes(bytes.try_into().unwrap_or_default())
}

/// Loads the encoder of a size with synthetic weights.
fn load(size: &str, numeric: Numeric) -> Result<Box<dyn Encode>, Error> {
    let name = format!("whisper-{size}");
    let target = TABLE.targets.iter().find(|target| target.model == name);
    let target = target.ok_or_else(|| format!("there is no model {name}"))?;
    kernels::dispatch(target, None, Load(numeric)).ok_or("there is no such pass")?
}

struct Load(Numeric);

impl Visitor for Load {
    type Output = Result<Box<dyn Encode>, Error>;

    fn visit<P: Pass>(self) -> Self::Output {
        let weights = Weights::synthetic();
        let encoder = Encoder::<Ours<P>>::load(Cpu::new()?, self.0, &weights, None)?;
        Ok(Box::new(encoder))
    }
}
