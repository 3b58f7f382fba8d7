//! When a result is not to be trusted, and a higher temperature is tried.

use super::zlib::compressed_length;

/// Limits of what is trusted; each may be switched off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Text that compresses better than this repeats itself: 2.4.
    pub compression_ratio: Option<f32>,
    /// A mean log-probability below this is not to be trusted: −1.
    pub log_probability: Option<f32>,
    /// Above this probability of no speech, an unlikely text is silence: 0.6.
    pub no_speech: Option<f32>,
}

impl Default for Thresholds {
    fn default() -> Self {
        let (compression_ratio, log_probability) = (Some(2.4), Some(-1.0));
        Self { compression_ratio, log_probability, no_speech: Some(0.6) }
    }
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// See [`compression_ratio`].
    pub compression_ratio: f32,
    /// Mean log-probability of the tokens, the end included.
    pub log_probability: f32,
    /// Probability of no speech.
    pub no_speech: f32,
}

impl Thresholds {
    /// Whether to decode again at a higher temperature.
    pub fn fails(&self, quality: &Quality) -> bool {
        let repeats = self.compression_ratio.is_some_and(|limit| quality.compression_ratio > limit);
        (repeats || self.is_unlikely(quality)) && !self.is_silent(quality)
    }

    /// Whether a window has no speech in it.
    pub fn is_silent(&self, quality: &Quality) -> bool {
        let silent = self.no_speech.is_some_and(|limit| quality.no_speech > limit);
        silent && self.is_unlikely(quality)
    }

    /// Whether a window is left out: it has no speech, and its text, where that is looked at, is not
    /// likely in spite of it.
    pub fn leaves_out(&self, quality: &Quality) -> bool {
        let silent = self.no_speech.is_some_and(|limit| quality.no_speech > limit);
        let likely = self.log_probability.is_some_and(|limit| quality.log_probability > limit);
        silent && !likely
    }

    fn is_unlikely(&self, quality: &Quality) -> bool {
        self.log_probability.is_some_and(|limit| quality.log_probability < limit)
    }
}

/// The length of a text over that of the same compressed by zlib, as OpenAI's programs compute it:
/// above about 2.4 it repeats itself.
pub fn compression_ratio(text: &str) -> f32 {
    (text.len() as f64 / compressed_length(text.as_bytes()) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Quality = Quality { compression_ratio: 1.5, log_probability: -0.4, no_speech: 0.1 };

    #[test]
    fn each_limit_makes_a_result_fail_and_silence_excuses_it() {
        let limits = Thresholds::default();
        assert!(!limits.fails(&GOOD));
        assert!(limits.fails(&Quality { compression_ratio: 2.5, ..GOOD }));
        assert!(limits.fails(&Quality { log_probability: -1.1, ..GOOD }));
        let silence = Quality { log_probability: -1.1, no_speech: 0.7, ..GOOD };
        assert!(!limits.fails(&silence) && limits.leaves_out(&silence));
        // Repetition is not excused if the text is likely.
        assert!(limits.fails(&Quality { compression_ratio: 3.0, no_speech: 0.7, ..GOOD }));
        assert!(!limits.leaves_out(&Quality { no_speech: 0.7, ..GOOD }));
        let off = Thresholds { compression_ratio: None, log_probability: None, no_speech: None };
        assert!(!off.fails(&Quality {
            compression_ratio: 9.0,
            log_probability: -9.0,
            no_speech: 1.0
        }));
        assert!(!off.leaves_out(&silence));
    }

    /// Against `len(text) / len(zlib.compress(text))` of Python.
    #[test]
    fn ratios_are_those_of_zlib() {
        assert_eq!(compression_ratio(&"thank you. ".repeat(20)), 220.0 / 22.0);
        let text = "And so my fellow Americans, ask not what your country can do for you.";
        assert_eq!(compression_ratio(text), 69.0 / 70.0);
        assert_eq!(compression_ratio(""), 0.0);
    }
}
