//! All rules together.

use super::{Suppress, TimestampRules};
use crate::backend::cpu::Cpu;

/// What tokens are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Tokens that are not chosen.
    pub suppress: Suppress,
    /// The rules of timestamps, if there are to be any.
    pub timestamps: Option<TimestampRules>,
}

impl Rules {
    /// Sets the logits of forbidden tokens to −∞.
    pub fn apply(&self, cpu: &Cpu, sampled: &[u32], logits: &mut [f32]) {
        self.suppress.apply(sampled, logits);
        if let Some(timestamps) = &self.timestamps {
            timestamps.apply(cpu, sampled, logits);
        }
    }
}
