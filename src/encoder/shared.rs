//! One encoder for several threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Encode, EncoderError, Nobody};
use crate::audio::WINDOW_FRAMES;
use crate::backend::cpu::Threads;
use crate::weights::Dimensions;

/// The most windows of a call: its buffers grow to so many.
const MOST: usize = 8;

/// An encoder that several threads use: windows that wait for it at the same time are encoded in one
/// call.
///
/// It has no thread of its own: of those that wait, one encodes for all. They must be outside of the
/// thread pool, see [`Threads::outside`].
#[derive(Clone)]
pub struct SharedEncoder {
    shared: Arc<Shared>,
}

struct Shared {
    dimensions: Dimensions,
    positions: usize,
    threads: Threads,
    encoder: Mutex<Batches>,
    waiting: Mutex<VecDeque<Arc<Window>>>,
    windows: AtomicU64,
    calls: AtomicU64,
}

/// The encoder, and spectrograms one behind the other.
struct Batches {
    encoder: Box<dyn Encode>,
    mel: Vec<f32>,
}

/// A window that waits.
struct Window(Mutex<Values>);

struct Values {
    /// The spectrogram, or the features.
    values: Vec<f32>,
    is_encoded: bool,
}

/// What a [`SharedEncoder`] has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Windows that were encoded.
    pub windows: u64,
    /// Calls of the encoder: windows over calls is the mean size of a batch.
    pub calls: u64,
}

impl SharedEncoder {
    /// Shares an encoder, which works on these threads.
    pub fn new(encoder: Box<dyn Encode>, threads: Threads) -> Self {
        let (dimensions, positions) = (encoder.dimensions(), encoder.positions());
        let encoder = Mutex::new(Batches { encoder, mel: Vec::new() });
        Self {
            shared: Arc::new(Shared {
                dimensions,
                positions,
                threads,
                encoder,
                waiting: Mutex::default(),
                windows: AtomicU64::new(0),
                calls: AtomicU64::new(0),
            }),
        }
    }

    /// The sizes of the model.
    pub fn dimensions(&self) -> Dimensions {
        self.shared.dimensions
    }

    /// Rows of the features of a window.
    pub fn positions(&self) -> usize {
        self.shared.positions
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Counts { windows: count(&self.shared.windows), calls: count(&self.shared.calls) }
    }

    /// Encodes a window, bins × [`WINDOW_FRAMES`], together with those that wait for the encoder:
    /// from its spectrogram to its features, positions × width.
    ///
    /// # Errors
    /// When the spectrogram has another size, or the encoder fails. A window that was encoded together
    /// with others when it failed is encoded again alone.
    pub fn encode(&self, mel: Vec<f32>) -> Result<Vec<f32>, EncoderError> {
        let expected = self.dimensions().mel_bins * WINDOW_FRAMES;
        if mel.len() != expected {
            return Err(EncoderError::Mel { expected, given: mel.len() });
        }
        let shared = &*self.shared;
        let window = Arc::new(Window(Mutex::new(Values { values: mel, is_encoded: false })));
        lock(&shared.waiting).push_back(Arc::clone(&window));
        // Who holds the encoder may be encoding this window.
        let mut encoder = lock(&shared.encoder);
        while !window.is_encoded() {
            let batch = shared.next(&window);
            if let [only] = &batch[..]
                && Arc::ptr_eq(only, &window)
            {
                shared.encode(&batch, &mut encoder)?;
                continue;
            }
            // What went wrong, a panic too, is that of one of them, who sees it again alone.
            let together = AssertUnwindSafe(|| shared.encode(&batch, &mut encoder).is_ok());
            if !catch_unwind(together).unwrap_or(false) {
                tracing::debug!("{} windows are encoded one by one", batch.len());
            }
        }
        drop(encoder);
        let features = std::mem::take(&mut window.lock().values);
        Ok(features)
    }
}

impl Shared {
    /// The windows to encode next; if `window` was among those of a call that failed, it alone.
    fn next(&self, window: &Arc<Window>) -> Vec<Arc<Window>> {
        let mut waiting = lock(&self.waiting);
        if !waiting.iter().any(|other| Arc::ptr_eq(other, window)) {
            return vec![Arc::clone(window)];
        }
        let count = waiting.len().min(MOST);
        waiting.drain(..count).collect()
    }

    fn encode(&self, batch: &[Arc<Window>], to: &mut Batches) -> Result<(), EncoderError> {
        let Batches { encoder, mel } = to;
        mel.clear();
        for window in batch {
            mel.extend_from_slice(&window.lock().values);
        }
        let features = self.threads.run(|| encoder.encode(mel, &mut Nobody))?;
        let of_each = features.chunks_exact(features.len() / batch.len().max(1));
        for (window, features) in batch.iter().zip(of_each) {
            let mut window = window.lock();
            window.values.clear();
            window.values.extend_from_slice(features);
            window.is_encoded = true;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.windows.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Window {
    fn lock(&self) -> MutexGuard<'_, Values> {
        lock(&self.0)
    }

    fn is_encoded(&self) -> bool {
        self.lock().is_encoded
    }
}

/// What a thread left behind that panicked is as good as before: windows stay what they were, and the
/// encoder begins each call anew.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tilewright_kernel::KernelInfo;

    use super::*;
    use crate::encoder::Observer;

    const SIZES: Dimensions =
        Dimensions { mel_bins: 1, d_model: 1, heads: 1, layers: 1, ffn: 1, positions: 1 };

    /// Gives each window's first number back, when it may; cannot bear negative ones.
    struct Echo {
        features: Vec<f32>,
        began: Sender<usize>,
        may_end: Receiver<()>,
    }

    impl Encode for Echo {
        fn encode(&mut self, mel: &[f32], _: &mut dyn Observer) -> Result<&[f32], EncoderError> {
            self.features = mel.chunks_exact(WINDOW_FRAMES).map(|window| window[0]).collect();
            self.began.send(self.features.len()).unwrap();
            self.may_end.recv().unwrap();
            if self.features.iter().any(|feature| *feature < 0.0) {
                return Err(EncoderError::Elsewhere);
            }
            assert!(self.features.iter().all(|feature| !feature.is_nan()), "what is no number");
            Ok(&self.features)
        }

        fn dimensions(&self) -> Dimensions {
            SIZES
        }

        fn positions(&self) -> usize {
            1
        }

        fn kernels(&self) -> [&'static KernelInfo; 4] {
            unimplemented!("nobody asks")
        }
    }

    fn echo() -> (SharedEncoder, Receiver<usize>, Sender<()>) {
        let ((began, begins), (ends, may_end)) = (channel(), channel());
        let echo = Echo { features: Vec::new(), began, may_end };
        (SharedEncoder::new(Box::new(echo), Threads::new(1)), begins, ends)
    }

    fn window(value: f32) -> Vec<f32> {
        vec![value; WINDOW_FRAMES]
    }

    /// Encodes a first window, and these while it is being encoded. Returns what each gave, and the
    /// sizes of the calls.
    fn while_busy(values: &[f32]) -> (Vec<Option<Vec<f32>>>, Vec<usize>) {
        let (encoder, begins, ends) = echo();
        std::thread::scope(|scope| {
            let encode = |value| {
                let encoder = encoder.clone();
                scope.spawn(move || encoder.encode(window(value)).ok())
            };
            let first = encode(100.0);
            let mut calls = vec![begins.recv().unwrap()];
            let others: Vec<_> = values.iter().map(|value| encode(*value)).collect();
            while lock(&encoder.shared.waiting).len() < values.len() {
                std::thread::yield_now();
            }
            ends.send(()).unwrap();
            assert_eq!(first.join().unwrap(), Some(vec![100.0]));
            while !others.iter().all(|other| other.is_finished()) {
                if let Ok(windows) = begins.try_recv() {
                    calls.push(windows);
                    ends.send(()).unwrap();
                }
                std::thread::yield_now();
            }
            let results = others.into_iter().map(|other| other.join().ok().flatten());
            let results: Vec<_> = results.collect();
            let encoded = results.iter().flatten().count() as u64 + 1;
            assert_eq!(encoder.counts().windows, encoded);
            (results, calls)
        })
    }

    #[test]
    fn windows_that_wait_are_encoded_together() {
        let (results, calls) = while_busy(&[1.0, 2.0, 3.0]);
        assert_eq!(results, [1.0, 2.0, 3.0].map(|value| Some(vec![value])));
        assert_eq!(calls, [1, 3]);
    }

    #[test]
    fn calls_do_not_grow_without_bound() {
        let values: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let (results, calls) = while_busy(&values);
        let expected: Vec<_> = values.iter().map(|value| Some(vec![*value])).collect();
        assert_eq!(results, expected);
        assert_eq!(calls, [1, 8, 8, 4]);
    }

    #[test]
    fn a_window_that_fails_spoils_no_other() {
        let (results, calls) = while_busy(&[1.0, -1.0, 3.0]);
        assert_eq!(results, [Some(vec![1.0]), None, Some(vec![3.0])]);
        assert_eq!(calls[..2], [1, 3]);
    }

    #[test]
    fn a_panic_spoils_no_other() {
        let (results, calls) = while_busy(&[1.0, f32::NAN, 3.0]);
        assert_eq!(results, [Some(vec![1.0]), None, Some(vec![3.0])]);
        assert_eq!(calls[..2], [1, 3]);
    }

    #[test]
    fn a_spectrogram_of_another_size_is_refused() {
        let (encoder, _, _) = echo();
        let error = encoder.encode(vec![0.0; 7]).unwrap_err();
        assert!(matches!(error, EncoderError::Mel { expected: 3000, given: 7 }));
    }
}
