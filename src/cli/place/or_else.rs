//! An encoder that goes on elsewhere when it fails.

use tilewright::encoder::{Encode, EncoderError, Observer};
use tilewright::weights::Dimensions;
use tilewright_kernel::KernelInfo;

/// What makes the other encoder, if there is one for this error.
pub(super) type Instead = dyn Fn(&EncoderError) -> Option<Box<dyn Encode>> + Send;

/// An encoder and, when it fails, another: from then on for all windows, that one included.
pub(super) struct OrElse {
    encoder: Box<dyn Encode>,
    /// Until it was needed.
    instead: Option<Box<Instead>>,
    features: Vec<f32>,
}

impl OrElse {
    pub(super) fn new(encoder: Box<dyn Encode>, instead: Box<Instead>) -> Self {
        Self { encoder, instead: Some(instead), features: Vec::new() }
    }
}

impl Encode for OrElse {
    fn encode(&mut self, mel: &[f32], observer: &mut dyn Observer) -> Result<&[f32], EncoderError> {
        let Some(instead) = &self.instead else { return self.encoder.encode(mel, observer) };
        match self.encoder.encode(mel, observer) {
            Ok(features) => {
                self.features.clear();
                self.features.extend_from_slice(features);
                Ok(&self.features)
            }
            Err(error) => {
                self.encoder = instead(&error).ok_or(error)?;
                self.instead = None;
                self.encoder.encode(mel, observer)
            }
        }
    }

    fn dimensions(&self) -> Dimensions {
        self.encoder.dimensions()
    }

    fn positions(&self) -> usize {
        self.encoder.positions()
    }

    fn kernels(&self) -> [&'static KernelInfo; 4] {
        self.encoder.kernels()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tilewright::encoder::Nobody;

    use super::*;

    /// Encodes so many windows to its number, and fails then.
    struct Lasts {
        windows: usize,
        features: [f32; 1],
    }

    impl Encode for Lasts {
        fn encode(&mut self, _: &[f32], _: &mut dyn Observer) -> Result<&[f32], EncoderError> {
            self.windows = self.windows.checked_sub(1).ok_or(EncoderError::Elsewhere)?;
            Ok(&self.features)
        }

        fn dimensions(&self) -> Dimensions {
            Dimensions { mel_bins: 1, d_model: 1, heads: 1, layers: 1, ffn: 1, positions: 1 }
        }

        fn positions(&self) -> usize {
            1
        }

        fn kernels(&self) -> [&'static KernelInfo; 4] {
            unimplemented!("nobody asks")
        }
    }

    #[test]
    fn the_window_that_failed_is_encoded_again_and_all_others_elsewhere() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let other = move |_: &EncoderError| -> Option<Box<dyn Encode>> {
            count.fetch_add(1, Ordering::Relaxed);
            Some(Box::new(Lasts { windows: 3, features: [2.0] }))
        };
        let first = Box::new(Lasts { windows: 2, features: [1.0] });
        let mut encoder = OrElse::new(first, Box::new(other));
        for expected in [1.0, 1.0, 2.0, 2.0, 2.0] {
            assert_eq!(encoder.encode(&[], &mut Nobody).unwrap(), [expected]);
        }
        // The other has no other.
        assert!(encoder.encode(&[], &mut Nobody).is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_another_encoder_does_not_help_is_an_error() {
        let first = Box::new(Lasts { windows: 0, features: [1.0] });
        let mut encoder = OrElse::new(first, Box::new(|_| None));
        assert!(matches!(encoder.encode(&[], &mut Nobody), Err(EncoderError::Elsewhere)));
        assert!(encoder.encode(&[], &mut Nobody).is_err());
    }
}
