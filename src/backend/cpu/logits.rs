//! Sums over the logits of a whole vocabulary.

use super::Cpu;
use super::math::exp2;
use super::simd::{MAX_LANES, Simd, Work};

impl Cpu {
    /// ln Σ exp(x), where x may be −∞, and −∞ if all are or there is none.
    pub fn log_sum_exp(&self, x: &[f32]) -> f32 {
        struct Sum<'a>(&'a [f32]);
        impl Work for Sum<'_> {
            type Output = f32;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> f32 {
                log_sum_exp(s, self.0)
            }
        }
        self.level.run(Sum(x))
    }

    /// The largest, and where it first is; nothing if there is none or all are −∞ or NaN.
    pub fn largest(&self, x: &[f32]) -> Option<(usize, f32)> {
        struct Max<'a>(&'a [f32]);
        impl Work for Max<'_> {
            type Output = f32;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> f32 {
                max(s, self.0)
            }
        }
        let max = self.level.run(Max(x));
        if max == f32::NEG_INFINITY {
            return None;
        }
        x.iter().position(|x| *x == max).map(|at| (at, max))
    }
}

#[inline(always)]
fn log_sum_exp<S: Simd>(s: S, x: &[f32]) -> f32 {
    let max = max(s, x);
    if max == f32::NEG_INFINITY {
        return max;
    }
    let (log2_e, shift) = (s.splat(std::f32::consts::LOG2_E), s.splat(max));
    let mut sums = [s.splat(0.0); 2];
    let mut turn = 0;
    for x in x.chunks(S::LANES) {
        let y = exp2(s, s.mul(s.sub(load_up_to(s, x), shift), log2_e));
        sums[turn] = s.add(sums[turn], y);
        turn ^= 1;
    }
    max + s.sum_lanes(s.add(sums[0], sums[1])).ln()
}

#[inline(always)]
fn max<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut max = s.splat(f32::NEG_INFINITY);
    for x in x.chunks(S::LANES) {
        // Where an operand is NaN, the second is taken.
        max = s.max(load_up_to(s, x), max);
    }
    s.max_lanes(max)
}

/// A vector of as many floats as there are, and −∞.
#[inline(always)]
fn load_up_to<S: Simd>(s: S, from: &[f32]) -> S::F32 {
    if from.len() >= S::LANES {
        s.load(from)
    } else {
        let mut lanes = [f32::NEG_INFINITY; MAX_LANES];
        lanes[..from.len()].copy_from_slice(from);
        s.load(&lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Isa;

    #[test]
    fn sums_and_maxima_are_those_of_f64() {
        for cpu in Isa::ALL.into_iter().filter_map(|isa| Cpu::with_isa(isa).ok()) {
            for length in [1, 5, 16, 1001] {
                let x: Vec<f32> =
                    (0..length).map(|i| ((i * 37 % 101) as f32) / 7.0 - 9.0).collect();
                let exact = x.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
                assert!((f64::from(cpu.log_sum_exp(&x)) - exact).abs() < 1e-5, "{}", cpu.isa());
                let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let at = x.iter().position(|x| *x == max).unwrap();
                assert_eq!(cpu.largest(&x), Some((at, max)));
            }
            let none = [f32::NEG_INFINITY; 20];
            assert_eq!(cpu.log_sum_exp(&none), f32::NEG_INFINITY);
            assert_eq!(cpu.log_sum_exp(&[]), f32::NEG_INFINITY);
            assert_eq!(cpu.largest(&none), None);
            assert_eq!(cpu.largest(&[f32::NAN, 1.0, f32::NEG_INFINITY]), Some((1, 1.0)));
            assert!((cpu.log_sum_exp(&[f32::NEG_INFINITY, 3.0]) - 3.0).abs() < 1e-6);
        }
    }
}
