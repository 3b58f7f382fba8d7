//! Choosing a token: the likeliest, or at random.

use super::random::Random;
use crate::backend::cpu::Cpu;

/// A token, and the logarithm of its probability among those that are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: u32,
    /// ln p at temperature 1.
    pub log_probability: f32,
}

/// The likeliest token; of several the first. Nothing if none is allowed, or logits are no numbers.
pub fn likeliest(cpu: &Cpu, logits: &[f32]) -> Option<Choice> {
    let (token, _) = cpu.largest(logits)?;
    chosen(cpu, logits, token)
}

fn chosen(cpu: &Cpu, logits: &[f32], token: usize) -> Option<Choice> {
    let log_probability = logits.get(token)? - cpu.log_sum_exp(logits);
    log_probability.is_finite().then_some(Choice { token: token as u32, log_probability })
}

/// A token at random, with probabilities ∝ exp(logit / temperature).
pub fn at_random(
    cpu: &Cpu,
    logits: &[f32],
    temperature: f32,
    random: &mut Random,
) -> Option<Choice> {
    let (likeliest, max) = cpu.largest(logits)?;
    let weight = |logit: &f32| f64::from((logit - max) / temperature).exp();
    let all: f64 = logits.iter().map(weight).filter(|weight| weight.is_finite()).sum();
    let mut rest = random.next_unit() * all;
    let mut token = likeliest;
    for (i, logit) in logits.iter().enumerate() {
        let weight = weight(logit);
        if weight > 0.0 && weight.is_finite() {
            token = i;
            rest -= weight;
            if rest < 0.0 {
                break;
            }
        }
    }
    chosen(cpu, logits, token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Isa;

    #[test]
    fn the_likeliest_and_its_probability() {
        let cpu = Cpu::with_isa(Isa::Portable).unwrap();
        let logits = [0.0, 2f32.ln(), f32::NEG_INFINITY, 0.0];
        let choice = likeliest(&cpu, &logits).unwrap();
        assert_eq!(choice.token, 1);
        assert!((choice.log_probability - 0.5f32.ln()).abs() < 1e-6);
        assert_eq!(likeliest(&cpu, &[f32::NEG_INFINITY]), None);
        let mut random = Random::new(0);
        for broken in [f32::NAN, f32::INFINITY] {
            assert_eq!(likeliest(&cpu, &[1.0, broken, 2.0]), None);
            assert_eq!(at_random(&cpu, &[1.0, broken, 2.0], 1.0, &mut random), None);
        }
    }

    #[test]
    fn chance_is_as_the_temperature_says() {
        let cpu = Cpu::with_isa(Isa::Portable).unwrap();
        let logits = [0.0, 2f32.ln(), f32::NEG_INFINITY, 0.0];
        // At temperature 1/2 the second is four times as likely as each of the others.
        let mut random = Random::new(1);
        let mut counts = [0_i32; 4];
        for _ in 0..6000 {
            let choice = at_random(&cpu, &logits, 0.5, &mut random).unwrap();
            counts[choice.token as usize] += 1;
            let p = [0.25f32, 0.5, 0.0, 0.25][choice.token as usize];
            assert!((choice.log_probability - p.ln()).abs() < 1e-6);
        }
        assert_eq!(counts[2], 0);
        for (count, expected) in [(counts[0], 1000), (counts[1], 4000), (counts[3], 1000)] {
            assert!((count - expected).abs() < 150, "{counts:?}");
        }
    }
}
