//! How windows are decoded, for all commands that do.

use clap::Args;
use tilewright::decoding::Options;
use tilewright::decoding::fallback::Thresholds;
use tilewright::transcribe::Settings;

/// How windows are decoded.
#[derive(Args)]
pub(crate) struct DecodeArgs {
    /// Skip silence, by its energy
    #[arg(long)]
    vad: bool,

    /// Decode without timestamps: windows are then cut every 30 seconds
    #[arg(long)]
    no_timestamps: bool,

    /// Beams to search; 1 takes the likeliest token each time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    beam_size: u16,

    /// Wait for so many times as many finished beams
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    patience: f32,

    /// Sequences to draw at temperatures above 0, of which the best is taken
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=64))]
    best_of: u16,

    /// Rank sequences by their log-probability over their length to this power
    #[arg(long, value_name = "POWER", default_value_t = 1.0, allow_negative_numbers = true)]
    length_penalty: f32,

    /// The first temperature
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,

    /// What is added, up to 1, while a window cannot be trusted; 0 never tries again
    #[arg(long, value_name = "T", default_value_t = 0.2)]
    temperature_increment: f32,

    /// Text that compresses better than this is not trusted
    #[arg(long, value_name = "RATIO", default_value_t = 2.4)]
    compression_ratio_threshold: f32,

    /// Text of a lower mean log-probability is not trusted
    #[arg(long, value_name = "LN", default_value_t = -1.0, allow_negative_numbers = true)]
    logprob_threshold: f32,

    /// Text that is not trusted is silence above this probability of no speech
    #[arg(long, value_name = "P", default_value_t = 0.6)]
    no_speech_threshold: f32,

    /// Do not use what was said before as the prompt of what follows
    #[arg(long)]
    no_context: bool,

    /// Begin each window where the one before ends, not at its last timestamp; with --vad that is in a
    /// pause
    #[arg(long)]
    fixed_windows: bool,

    /// Windows of a recording to transcribe at the same time where none depends on another: with
    /// --no-context, and --fixed-windows or --no-timestamps, without times of words
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    batch: u16,

    /// The most tokens of a window
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,

    /// Seed of what is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl DecodeArgs {
    /// The settings, of which the rest is that of the recording.
    pub(crate) fn settings(&self) -> Settings {
        let mut temperatures = vec![self.temperature];
        if self.temperature_increment > 0.0 {
            let steps = (1.0 - self.temperature) / self.temperature_increment + 1e-3;
            let step = |i| self.temperature + f32::from(i) * self.temperature_increment;
            temperatures.extend((1..=steps.clamp(0.0, 100.0) as u8).map(step));
        }
        Settings {
            decoding: Options {
                timestamps: !self.no_timestamps,
                temperatures,
                beams: self.beam_size.into(),
                patience: self.patience,
                best_of: self.best_of.into(),
                length_penalty: self.length_penalty,
                thresholds: Thresholds {
                    compression_ratio: Some(self.compression_ratio_threshold),
                    log_probability: Some(self.logprob_threshold),
                    no_speech: Some(self.no_speech_threshold),
                },
                max_tokens: self.max_tokens,
                seed: self.seed,
                ..Options::default()
            },
            condition_on_previous: !self.no_context,
            skip_silence: self.vad,
            fixed_windows: self.fixed_windows,
            batch: self.batch.into(),
            ..Settings::default()
        }
    }
}
