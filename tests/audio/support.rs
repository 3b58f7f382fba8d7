//! Sound made by formula, WAV files made by hand, and what is needed to judge results.

use std::f64::consts::TAU;
use std::path::PathBuf;

use tilewright::audio::AudioReader;

/// A file of this repository.
pub(crate) fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `amplitude · sin(2π · hertz · t)`, sampled.
pub(crate) fn sine(hertz: f64, amplitude: f64, rate: u32, samples: usize) -> Vec<f32> {
    let at = |i: usize| (amplitude * (TAU * hertz * i as f64 / f64::from(rate)).sin()) as f32;
    (0..samples).map(at).collect()
}

/// Uniform noise in −1..1, the same every time.
pub(crate) fn noise(samples: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..samples).map(|_| next()).collect()
}

/// The amplitude of one frequency in a signal of whole periods.
pub(crate) fn amplitude(samples: &[f32], hertz: f64, rate: u32) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, &sample) in samples.iter().enumerate() {
        let phase = TAU * hertz * i as f64 / f64::from(rate);
        re += f64::from(sample) * phase.cos();
        im += f64::from(sample) * phase.sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

/// All of a recording in one piece.
pub(crate) fn all(reader: AudioReader) -> Vec<f32> {
    reader.flat_map(|window| window.unwrap().samples).collect()
}

/// The header of a WAV file; each field can be made to lie.
#[derive(Clone, Copy)]
pub(crate) struct Wav {
    /// 1 for integers, 3 for floats.
    pub(crate) tag: u16,
    pub(crate) channels: u16,
    pub(crate) rate: u32,
    pub(crate) bits: u16,
    /// The size of the whole, if not the true one.
    pub(crate) riff_size: Option<u32>,
    /// The size of the data, if not the true one.
    pub(crate) data_size: Option<u32>,
}

impl Wav {
    pub(crate) const PCM16: Wav =
        Wav { tag: 1, channels: 1, rate: 16_000, bits: 16, riff_size: None, data_size: None };

    pub(crate) fn header(&self, data: u32) -> Vec<u8> {
        let align = self.channels * (self.bits / 8);
        let mut file = b"RIFF".to_vec();
        file.extend(self.riff_size.unwrap_or(data.saturating_add(36)).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0");
        file.extend(self.tag.to_le_bytes());
        file.extend(self.channels.to_le_bytes());
        file.extend(self.rate.to_le_bytes());
        file.extend(self.rate.wrapping_mul(u32::from(align)).to_le_bytes());
        file.extend(align.to_le_bytes());
        file.extend(self.bits.to_le_bytes());
        file.extend(b"data");
        file.extend(self.data_size.unwrap_or(data).to_le_bytes());
        file
    }

    pub(crate) fn with(&self, data: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let data: Vec<u8> = data.into_iter().collect();
        let mut file = self.header(data.len() as u32);
        file.extend(data);
        file
    }
}

/// Samples as 16-bit bytes.
pub(crate) fn pcm16(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|s| ((s * 32768.0) as i16).to_le_bytes()).collect()
}
