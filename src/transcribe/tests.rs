//! Recordings of short windows on a small decoder: windows at the same time against one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tilewright_kernel::KernelInfo;

use super::*;
use crate::audio::WINDOW_FRAMES;
use crate::encoder::Observer;
use crate::weights::Dimensions;

/// Windows of a fifth of a second.
const ENCODER: Dimensions =
    Dimensions { mel_bins: 80, d_model: 64, heads: 2, layers: 1, ffn: 64, positions: 10 };
const WINDOW: usize = 2 * ENCODER.positions * HOP;

const DECODER: DecoderDimensions = DecoderDimensions {
    d_model: 64,
    heads: 2,
    layers: 1,
    ffn: 64,
    vocabulary: 51865,
    positions: 64,
};

/// Features that depend on the spectrogram; fails or panics at windows that are loud enough.
struct Ears {
    features: Vec<f32>,
    fails_above: f32,
    panics_above: f32,
}

/// What a window of a level sounds like to these ears.
fn loudness(mel: &[f32]) -> f32 {
    let heard = mel.chunks_exact(WINDOW_FRAMES).map(|row| row[..2 * ENCODER.positions].iter());
    heard.flatten().sum::<f32>() / (80.0 * 2.0 * ENCODER.positions as f32)
}

impl Encode for Ears {
    fn encode(&mut self, mel: &[f32], _: &mut dyn Observer) -> Result<&[f32], EncoderError> {
        self.features.clear();
        for window in mel.chunks_exact(80 * WINDOW_FRAMES) {
            let loudness = loudness(window);
            assert!(loudness < self.panics_above, "too loud to bear");
            if loudness > self.fails_above {
                return Err(EncoderError::Elsewhere);
            }
            let count = ENCODER.positions * ENCODER.d_model;
            self.features.extend((0..count).map(|i| (i as f32 * (0.2 + loudness)).sin()));
        }
        Ok(&self.features)
    }

    fn dimensions(&self) -> Dimensions {
        ENCODER
    }

    fn positions(&self) -> usize {
        ENCODER.positions
    }

    fn kernels(&self) -> [&'static KernelInfo; 4] {
        unimplemented!("nobody asks")
    }
}

fn transcriber(fails_above: f32, panics_above: f32) -> Transcriber {
    let (cpu, numeric, weights) = (Cpu::new().unwrap(), Numeric::F32, Weights::synthetic());
    let decoder = Decoder::load(cpu, numeric, Some(DECODER), &weights, None).unwrap();
    let threads = Threads::new(2);
    let encoder = Box::new(Ears { features: Vec::new(), fails_above, panics_above });
    Transcriber {
        encoder: SharedEncoder::new(encoder, threads.clone()),
        decoder: SharedDecoder::new(decoder, threads.clone()),
        tokenizer: Arc::new(Tokenizer::synthetic(DECODER.vocabulary)),
        config: GenerationConfig::default(),
        log_mel: LogMel::new(80).unwrap(),
        threads,
    }
}

/// Windows of tones at these levels; damaged behind them, if it is.
struct Tones {
    levels: Vec<f32>,
    is_damaged: bool,
}

impl Samples for Tones {
    fn more(&mut self, into: &mut Vec<f32>) -> Result<bool, AudioError> {
        if self.levels.is_empty() {
            let samples = crate::audio::from_samples("no number", vec![f32::NAN], 16_000);
            return if self.is_damaged { samples.map(|_| false) } else { Ok(false) };
        }
        let level = self.levels.remove(0);
        into.extend((0..WINDOW).map(|i| level * (i as f32 * 0.3).sin()));
        Ok(true)
    }
}

/// Levels that are all different.
fn levels(count: usize) -> Vec<f32> {
    (0..count).map(|i| 0.001 + 0.9 * (i * 37 % count) as f32 / count as f32).collect()
}

fn tones(levels: Vec<f32>) -> Tones {
    Tones { levels, is_damaged: false }
}

/// Each window for itself.
fn settings(batch: usize, timestamps: bool) -> Settings {
    let decoding = Options {
        timestamps,
        max_tokens: Some(6),
        temperatures: vec![0.0, 0.4],
        best_of: 2,
        ..Options::default()
    };
    let fixed_windows = timestamps;
    Settings { decoding, condition_on_previous: false, fixed_windows, batch, ..Settings::default() }
}

/// The transcript, and what was told on the way.
fn told(
    transcriber: &Transcriber,
    mut samples: Tones,
    settings: &Settings,
) -> (Result<Transcript, TranscribeError>, Vec<Segment>, Vec<f64>) {
    let (mut segments, mut positions) = (Vec::new(), Vec::new());
    let result =
        transcriber.transcribe(
            &mut samples,
            settings,
            &Stop::default(),
            &mut |event| match event {
                Event::Segment(segment) => segments.push(segment.clone()),
                Event::Position(seconds) => positions.push(seconds),
                Event::Language(..) => assert!(segments.is_empty()),
            },
        );
    (result, segments, positions)
}

/// Window by window, whatever the settings allow.
fn in_order(transcriber: &Transcriber, mut samples: Tones, settings: &Settings) -> Vec<Segment> {
    let (task, stop) = (Arc::new(transcriber.task(settings).unwrap()), Stop::default());
    let recording = Recording { transcriber, task, settings, stop: &stop, heads: Vec::new() };
    let mut source = Source::new(&mut samples, 2 * ENCODER.positions, settings.skip_silence);
    let mut story = Story::begin(settings, &transcriber.tokenizer).unwrap();
    recording.transcribe(&mut source, &mut story, &mut |_| {}).unwrap();
    story.segments
}

#[test]
fn windows_at_the_same_time_are_told_as_one_after_the_other() {
    let transcriber = transcriber(f32::INFINITY, f32::INFINITY);
    let given = [(None, None), (Some("de"), None), (None, Some("Names")), (Some("de"), Some("It"))];
    let kinds = [(false, false), (true, false), (false, true), (true, true)];
    for ((timestamps, skip_silence), (language, prompt)) in kinds.into_iter().zip(given) {
        let settings = |batch| Settings {
            skip_silence,
            language: language.map(str::to_owned),
            initial_prompt: prompt.map(str::to_owned),
            ..settings(batch, timestamps)
        };
        let mut levels = levels(12);
        levels.splice(5..5, [0.0; 15]);
        let expected = in_order(&transcriber, tones(levels.clone()), &settings(1));
        assert!(expected.len() > 7, "{}", expected.len());
        for batch in [1, 3, 64] {
            let before = transcriber.encoder.counts().windows;
            let (result, segments, positions) =
                told(&transcriber, tones(levels.clone()), &settings(batch));
            let transcript = result.unwrap();
            assert_eq!(transcript.segments, expected, "{batch} {timestamps} {skip_silence}");
            assert_eq!(segments, expected);
            assert!(positions.is_sorted(), "{positions:?}");
            assert_eq!(transcript.duration, 27.0 * 0.2);
            let windows = transcriber.encoder.counts().windows - before;
            assert!(if skip_silence { windows < 23 } else { windows == 27 }, "{windows}");
        }
    }
}

#[test]
fn without_threads_windows_are_transcribed_all_the_same() {
    let (transcriber, settings) = (transcriber(f32::INFINITY, f32::INFINITY), settings(8, false));
    let expected = in_order(&transcriber, tones(levels(5)), &settings);
    let (task, stop) = (Arc::new(transcriber.task(&settings).unwrap()), Stop::default());
    let (transcriber, settings, heads) = (&transcriber, &settings, Vec::new());
    let recording = Recording { transcriber, task, settings, stop: &stop, heads };
    let mut samples = tones(levels(5));
    let mut source = Source::new(&mut samples, 2 * ENCODER.positions, false);
    let mut story = Story::begin(settings, &transcriber.tokenizer).unwrap();
    // No system has so much memory for a stack.
    let none = || std::thread::Builder::new().stack_size(usize::MAX / 4);
    orderless::transcribe_on(none, &recording, &mut source, &mut story, &mut |_| {}).unwrap();
    assert_eq!(story.segments, expected);
    assert_eq!(story.segments.len(), 5);
}

/// Otherwise what depends on what was said before would be wrong.
#[test]
fn windows_that_depend_on_others_are_not_taken_out_of_order() {
    let free = settings(8, false);
    assert!(free.is_orderless() && settings(8, true).is_orderless());
    assert!(!Settings { condition_on_previous: true, ..free.clone() }.is_orderless());
    assert!(!Settings { words: true, ..free }.is_orderless());
    assert!(!Settings { fixed_windows: false, ..settings(8, true) }.is_orderless());
}

#[test]
fn what_is_before_a_failure_is_told() {
    let levels = levels(20);
    let good = transcriber(f32::INFINITY, f32::INFINITY);
    let expected = in_order(&good, tones(levels.clone()), &settings(1, false));
    let damaged = Tones { levels: levels[..12].to_vec(), is_damaged: true };
    let (result, segments, _) = told(&good, damaged, &settings(5, false));
    assert!(matches!(result, Err(TranscribeError::Audio(_))));
    assert_eq!(segments, expected[..12]);

    // The loudest window.
    let loud = levels.iter().position(|level| *level > 0.85).unwrap();
    let mut window = Vec::new();
    let mut samples = tones(vec![levels[loud]]);
    samples.more(&mut window).unwrap();
    let limit = loudness(&LogMel::new(80).unwrap().compute(&window)) - 1e-3;
    let (result, segments, _) =
        told(&transcriber(limit, f32::INFINITY), tones(levels.clone()), &settings(5, false));
    assert!(matches!(result, Err(TranscribeError::Encoder(EncoderError::Elsewhere))), "{result:?}");
    assert_eq!(segments, expected[..loud]);

    let bad = transcriber(f32::INFINITY, limit);
    let run = || told(&bad, tones(levels.clone()), &settings(5, false)).0;
    catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    // It is as good as before.
    let (result, segments, _) = told(&bad, tones(levels[..loud].to_vec()), &settings(5, false));
    assert_eq!(result.unwrap().segments, expected[..loud]);
    assert_eq!(segments, expected[..loud]);
}

/// Some windows, and more of them only when it is stopped.
struct Slow {
    tones: Tones,
    left: usize,
    stop: Stop,
}

impl Samples for Slow {
    fn more(&mut self, into: &mut Vec<f32>) -> Result<bool, AudioError> {
        while self.left == 0 && !self.stop.is_stopped() {
            std::thread::yield_now();
        }
        self.left = self.left.saturating_sub(1);
        self.tones.more(into)
    }
}

#[test]
fn windows_at_the_same_time_can_be_stopped() {
    let transcriber = transcriber(f32::INFINITY, f32::INFINITY);
    let (stop, mut windows) = (Stop::default(), 0);
    let mut samples = Slow { tones: tones(levels(400)), left: 10, stop: stop.clone() };
    let on = &mut |event: Event<'_>| {
        if let Event::Position(_) = event {
            windows += 1;
            stop.stop();
        }
    };
    let result = transcriber.transcribe(&mut samples, &settings(8, false), &stop, on);
    assert!(matches!(result, Err(TranscribeError::Stopped)), "{result:?}");
    assert!((1..=11).contains(&windows), "{windows}");
}

/// A pool's threads take up other tasks while they wait, which may wait for what these hold.
#[test]
fn tasks_of_a_thread_pool_may_transcribe() {
    use rayon::prelude::*;
    let transcriber = transcriber(f32::INFINITY, f32::INFINITY);
    let expected = in_order(&transcriber, tones(levels(6)), &settings(1, false));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let all: Vec<_> = pool.install(|| {
        let run = |i| {
            let settings = Settings { words: i % 2 == 0, ..settings(1 + i, false) };
            told(&transcriber, tones(levels(6)), &settings).0.unwrap()
        };
        (0..10_usize).into_par_iter().map(run).collect()
    });
    for (i, transcript) in all.iter().enumerate().filter(|(i, _)| i % 2 == 1) {
        assert_eq!(transcript.segments, expected, "{i}");
    }
}
