//! Rows narrowed and widened for backends that multiply elsewhere, with the same bits as here.

use half::bf16;

use super::math::INTEGERS;
use super::simd::{Simd, Work};
use super::{Cpu, Output, math, pack};

// Plain loops, which the compiler makes vectors of once they are inlined into a function that is
// compiled for the instruction set.

impl Cpu {
    /// The scale of a row with this largest magnitude.
    pub(in crate::backend) fn scale(&self, largest: f32) -> f32 {
        pack::scale_of(largest)
    }

    /// The largest magnitude of a row. NaN counts as larger than any.
    pub(in crate::backend) fn max_magnitude(&self, row: &[f32]) -> f32 {
        struct Max<'a>(&'a [f32]);
        impl Work for Max<'_> {
            type Output = f32;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> f32 {
                math::max_magnitude(s, self.0)
            }
        }
        self.level.run(Max(row))
    }

    /// Multiplies with the inverse of the scale and rounds to −127..=127. Both slices have the same length.
    pub(in crate::backend) fn quantise(&self, row: &[f32], scale: f32, into: &mut [i8]) {
        struct Quantise<'a>(&'a [f32], f32, &'a mut [i8]);
        impl Work for Quantise<'_> {
            type Output = ();
            #[inline(always)]
            #[expect(clippy::manual_clamp, reason = "NaN becomes -127, as in the matmuls here")]
            fn run<S: Simd>(self, _: S) {
                let inverse = 1.0 / self.1;
                for (x, into) in self.0.iter().zip(self.2) {
                    let x = (x * inverse).max(-127.0).min(127.0) + INTEGERS;
                    // The lowest bits of the sum are the integer.
                    *into = x.to_bits() as i8;
                }
            }
        }
        self.level.run(Quantise(row, scale, into));
    }

    /// Rounds to bf16, ties to even. Both slices have the same length.
    pub(in crate::backend) fn round(&self, row: &[f32], into: &mut [bf16]) {
        struct Round<'a>(&'a [f32], &'a mut [bf16]);
        impl Work for Round<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, _: S) {
                for (x, into) in self.0.iter().zip(self.1) {
                    let bits = x.to_bits();
                    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
                    let nan = bits >> 16 | 0x40;
                    let is_nan = bits & 0x7fff_ffff > 0x7f80_0000;
                    *into = bf16::from_bits(if is_nan { nan } else { rounded } as u16);
                }
            }
        }
        self.level.run(Round(row, into));
    }

    /// Little-endian bf16 as floats, stored or added. There are two bytes for each float.
    pub(in crate::backend) fn widen(&self, row: &[u8], output: Output, into: &mut [f32]) {
        struct Widen<'a>(&'a [u8], Output, &'a mut [f32]);
        impl Work for Widen<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, _: S) {
                let row = self.0.as_chunks::<2>().0.iter();
                match self.1 {
                    Output::Store => {
                        for (x, into) in row.zip(self.2) {
                            *into = f32::from_bits(u32::from(u16::from_le_bytes(*x)) << 16);
                        }
                    }
                    Output::Add => {
                        for (x, into) in row.zip(self.2) {
                            *into += f32::from_bits(u32::from(u16::from_le_bytes(*x)) << 16);
                        }
                    }
                }
            }
        }
        self.level.run(Widen(row, output, into));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Isa;

    fn everyone() -> impl Iterator<Item = Cpu> {
        Isa::ALL.into_iter().filter_map(|isa| Cpu::with_isa(isa).ok())
    }

    /// Numbers of every size, with ties and ends.
    fn numbers() -> Vec<f32> {
        let all = (0..=u16::MAX).map(|high| f32::from_bits(u32::from(high) << 16 | 0x8000));
        let finite = all.filter(|x| x.is_finite());
        finite.chain((-600..600).map(|i| i as f32 / 4.0)).chain([0.0, -0.0, f32::MAX]).collect()
    }

    #[test]
    fn rows_are_narrowed_as_everywhere() {
        let numbers = numbers();
        for cpu in everyone() {
            for scale in [1.0, 0.37, 3e-9] {
                let mut got = vec![0; numbers.len()];
                cpu.quantise(&numbers, scale, &mut got);
                for (x, got) in numbers.iter().zip(got) {
                    let expected = (x * (1.0 / scale)).clamp(-127.0, 127.0).round_ties_even() as i8;
                    assert_eq!(got, expected, "{x} / {scale} with {}", cpu.isa());
                }
            }
            let mut got = vec![bf16::ZERO; numbers.len()];
            cpu.round(&numbers, &mut got);
            for (x, got) in numbers.iter().zip(&got) {
                assert_eq!(got.to_bits(), bf16::from_f32(*x).to_bits(), "{x}");
            }
            let mut nan = [bf16::ZERO];
            cpu.round(&[f32::NAN], &mut nan);
            assert!(nan[0].is_nan());
            let mut back = vec![1.0; got.len()];
            cpu.widen(bytemuck::cast_slice(&got), Output::Store, &mut back);
            assert!(back.iter().zip(&got).all(|(back, x)| *back == x.to_f32()));
            cpu.widen(bytemuck::cast_slice(&got), Output::Add, &mut back);
            assert!(back.iter().zip(&got).all(|(back, x)| *back == x.to_f32() + x.to_f32()));
            assert_eq!(cpu.max_magnitude(&[1.0, -3.0, 2.0]), 3.0);
        }
    }
}
