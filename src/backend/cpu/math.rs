//! Functions of vectors. The tests below measure the errors that the comments state.

use super::simd::Simd;

/// Added to x, |x| < 2²², it leaves no bits for a fraction: x is rounded to an integer, ties to
/// even, which the lowest bits of the sum then hold.
pub(super) const INTEGERS: f32 = 12_582_912.0;

/// 2^f − 1 over f, for |f| ≤ 1/2: a minimax fit of the relative error, 2·10⁻⁹.
const EXP2: [f32; 6] = [
    std::f32::consts::LN_2,
    0.240_226_48,
    0.055_503_324,
    0.009_618_437,
    0.001_339_887_5,
    0.000_153_533_62,
];

/// 2^x for x ≤ 0, within 1 ulp (1.2 without FMA) down to the smallest normal number, which is the
/// least it returns.
#[inline(always)]
pub(super) fn exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.max(s.splat(-126.0), x);
    let shifted = s.add(x, s.splat(INTEGERS));
    let f = s.sub(x, s.sub(shifted, s.splat(INTEGERS)));
    let mut y = s.splat(EXP2[5]);
    for i in (0..5).rev() {
        y = s.fma(y, f, s.splat(EXP2[i]));
    }
    y = s.fma(y, f, s.splat(1.0));
    s.shift_exponent(y, shifted)
}

/// Replaces scores, whole vectors, by 2^(score − largest) and those that do not count by 0, and returns
/// their sum.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(s: S, scores: &mut [f32], valid: usize) -> f32 {
    scores[valid..].fill(f32::NEG_INFINITY);
    let max = s.splat(largest(s, scores));
    let mut sum = s.splat(0.0);
    for scores in scores.chunks_exact_mut(S::LANES) {
        let x = exp2(s, s.sub(s.load(scores), max));
        sum = s.add(sum, x);
        s.store(x, scores);
    }
    s.sum_lanes(sum)
}

/// The largest of whole vectors.
#[inline(always)]
fn largest<S: Simd>(s: S, x: &[f32]) -> f32 {
    // Four, as the next comparison has to wait for the one before it.
    let mut max = [s.splat(f32::NEG_INFINITY); 4];
    let chunks = x.chunks_exact(4 * S::LANES);
    for rest in chunks.remainder().chunks_exact(S::LANES) {
        max[0] = s.max(max[0], s.load(rest));
    }
    for chunk in chunks {
        for (i, max) in max.iter_mut().enumerate() {
            *max = s.max(*max, s.load(&chunk[i * S::LANES..]));
        }
    }
    s.max_lanes(s.max(s.max(max[0], max[1]), s.max(max[2], max[3])))
}

/// Beyond it Φ is 0 or 1 to within 1.1·10⁻⁸.
const PHI_BOUND: f32 = 5.6;

/// Φ(x) − 1/2 over x is P(x²) / Q(x²): a minimax fit of the absolute error of Φ, 9·10⁻⁹.
const PHI_P: [f32; 6] =
    [0.398_942_23, 0.034_376_133, 0.004_707_261_5, 0.000_173_851_06, 6.356_538e-6, 2.214_531_7e-8];
const PHI_Q: [f32; 6] =
    [1.0, 0.252_833_9, 0.028_940_104, 0.001_912_98, 7.510_205e-5, 1.180_212_5e-6];

/// x·Φ(x), the exact GELU, within 10⁻⁶ for |x| ≤ 8 (1.6·10⁻⁶ without FMA), of some vectors at a time:
/// constants are loaded once for all.
#[inline(always)]
pub(super) fn gelu<S: Simd, const N: usize>(s: S, x: [S::F32; N]) -> [S::F32; N] {
    let (mut bounded, mut squares) = (x, x);
    let (mut p, mut q) = ([s.splat(PHI_P[5]); N], [s.splat(PHI_Q[5]); N]);
    for i in 0..N {
        bounded[i] = s.bound(x[i], PHI_BOUND);
        squares[i] = s.mul(bounded[i], bounded[i]);
    }
    for term in (0..5).rev() {
        let (c, d) = (s.splat(PHI_P[term]), s.splat(PHI_Q[term]));
        for i in 0..N {
            p[i] = s.fma(p[i], squares[i], c);
            q[i] = s.fma(q[i], squares[i], d);
        }
    }
    let mut y = x;
    for i in 0..N {
        y[i] = s.mul(x[i], s.fma(bounded[i], s.ratio(p[i], q[i]), s.splat(0.5)));
    }
    y
}

/// Segments of [`GELU`] for each unit of x.
pub(super) const GELU_STEPS: f32 = 6.0;
/// Its segments.
const SEGMENTS: usize = 32;

/// x·Φ(x) − x/2, which is even, as cubics of |x|: by power, for each segment of a sixth. The last one
/// goes on to infinity.
#[repr(align(64))]
pub(super) struct GeluTable(pub(super) [[f32; SEGMENTS]; 4]);

/// Interpolates at Chebyshev's nodes, which costs 4·10⁻⁷ at most.
pub(super) static GELU: GeluTable = {
    /// cos(π/8) and cos(3π/8): the nodes are ± these.
    const NODES: [f64; 2] = [0.923_879_532_511_286_7, 0.382_683_432_365_089_8];
    let mut table = [[0.0; SEGMENTS]; 4];
    let mut segment = 0;
    while segment + 1 < SEGMENTS {
        let half = 0.5 / GELU_STEPS as f64;
        let middle = (2 * segment + 1) as f64 * half;
        let x = [
            middle - half * NODES[0],
            middle - half * NODES[1],
            middle + half * NODES[1],
            middle + half * NODES[0],
        ];
        // Newton's divided differences, then from (x − x₀)(x − x₁)… to powers.
        let mut d = [0.0; 4];
        let mut i = 0;
        while i < 4 {
            d[i] = x[i] * half_erf(x[i]);
            i += 1;
        }
        let mut order = 1;
        while order < 4 {
            i = 3;
            while i >= order {
                d[i] = (d[i] - d[i - 1]) / (x[i] - x[i - order]);
                i -= 1;
            }
            order += 1;
        }
        let mut powers = [d[3], 0.0, 0.0, 0.0];
        let mut term = 3;
        while term > 0 {
            term -= 1;
            i = 3;
            while i > 0 {
                powers[i] = powers[i - 1] - x[term] * powers[i];
                i -= 1;
            }
            powers[0] = d[term] - x[term] * powers[0];
        }
        i = 0;
        while i < 4 {
            table[i][segment] = powers[i] as f32;
            i += 1;
        }
        segment += 1;
    }
    // 0 is to stay 0.
    table[0][0] = 0.0;
    table[1][SEGMENTS - 1] = 0.5;
    GeluTable(table)
};

/// Φ(x) − 1/2 for 0 ≤ x ≤ 6: φ(x) · Σ x²ⁿ⁺¹ / (1·3·5⋯(2n+1)), of which all terms are positive.
const fn half_erf(x: f64) -> f64 {
    const INVERSE_SQRT_TAU: f64 = 0.398_942_280_401_432_7;
    // exp(−x²/2), as the 64th power of a series that converges fast.
    let t = -x * x / 128.0;
    let (mut exp, mut term, mut n) = (1.0, 1.0, 1.0);
    while n < 24.0 {
        term *= t / n;
        exp += term;
        n += 1.0;
    }
    let mut squarings = 0;
    while squarings < 6 {
        exp *= exp;
        squarings += 1;
    }
    let (mut sum, mut term, mut odd) = (x, x, 3.0);
    while odd < 300.0 {
        term *= x * x / odd;
        sum += term;
        odd += 2.0;
    }
    INVERSE_SQRT_TAU * exp * sum
}

/// The largest magnitude of a slice. NaN counts as larger than any, so it is not lost.
#[inline(always)]
pub(super) fn max_magnitude<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut max = s.zero();
    let chunks = x.chunks_exact(S::LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        max = s.max_bits(max, s.load(chunk));
    }
    let mut largest = 0;
    for lane in s.lanes_i32(max) {
        largest = if lane > largest { lane } else { largest };
    }
    for x in rest {
        let bits = (x.to_bits() & 0x7fff_ffff) as i32;
        largest = if bits > largest { bits } else { largest };
    }
    f32::from_bits(largest as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::simd::{Isa, Level, MAX_LANES, Work};

    /// Applies a function to many numbers.
    #[derive(Clone, Copy)]
    enum Apply<'a> {
        Exp2(&'a [f32]),
        Gelu(&'a [f32]),
        FastGelu(&'a [f32]),
        Round(&'a [f32]),
    }

    impl Work for Apply<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f32> {
            let (Self::Exp2(x) | Self::Gelu(x) | Self::FastGelu(x) | Self::Round(x)) = self;
            let mut out = Vec::new();
            for chunk in x.chunks(S::LANES) {
                let mut lanes = [0.0; MAX_LANES];
                lanes[..chunk.len()].copy_from_slice(chunk);
                let x = s.load(&lanes);
                let y = match self {
                    Self::Exp2(_) => exp2(s, x),
                    Self::Gelu(_) => gelu(s, [x])[0],
                    Self::FastGelu(_) => s.fast_gelu([x])[0],
                    Self::Round(_) => s.round_bf16(x),
                };
                s.store(y, &mut lanes);
                out.extend_from_slice(&lanes[..chunk.len()]);
            }
            out
        }
    }

    fn levels() -> Vec<Level> {
        let levels: Vec<_> = Isa::ALL.into_iter().filter_map(Level::new).collect();
        println!("tested: {:?}", levels.iter().map(|level| level.isa()).collect::<Vec<_>>());
        levels
    }

    #[test]
    fn exp2_is_within_an_ulp() {
        let x: Vec<f32> = (0..200_000).map(|i| i as f32 * -126.0 / 200_000.0).collect();
        for level in levels() {
            let mut worst = 0.0_f64;
            for (x, y) in x.iter().zip(level.run(Apply::Exp2(&x))) {
                let exact = f64::from(*x).exp2();
                let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
                worst = worst.max((f64::from(y) - exact).abs() / ulp);
            }
            println!("{}: 2^x within {worst:.3} ulp", level.isa());
            // Without FMA each step of the polynomial rounds twice.
            assert!(worst <= if level.isa() == Isa::Portable { 1.5 } else { 1.0 }, "{worst}");
            let least = level.run(Apply::Exp2(&[0.0, -126.0, -1e30, f32::NEG_INFINITY, f32::NAN]));
            assert_eq!(least[..4], [1.0, f32::MIN_POSITIVE, f32::MIN_POSITIVE, f32::MIN_POSITIVE]);
            assert!(least[4].is_nan());
        }
    }

    #[test]
    fn gelu_is_exact_to_a_millionth() {
        let x: Vec<f32> = (0..=200_000).map(|i| (i - 100_000) as f32 * 8e-5).collect();
        let ends = [0.0, 1e30, -1e3, f32::NAN];
        for level in levels() {
            for (name, work, at_ends) in [
                ("gelu", Apply::Gelu(&x), Apply::Gelu(&ends)),
                ("fast gelu", Apply::FastGelu(&x), Apply::FastGelu(&ends)),
            ] {
                let mut worst = 0.0_f64;
                for (x, y) in x.iter().zip(level.run(work)) {
                    let x = f64::from(*x);
                    let exact = 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
                    worst = worst.max((f64::from(y) - exact).abs());
                }
                println!("{}: {name} within {worst:.3e}", level.isa());
                let most = if level.isa() == Isa::Portable { 1.6e-6 } else { 1e-6 };
                assert!(worst <= most, "{worst}");
                let ends = level.run(at_ends);
                assert_eq!(ends[0], 0.0);
                assert!((ends[1] / 1e30 - 1.0).abs() < 1e-6 && ends[2].abs() < 1e-4);
                assert!(ends[3].is_nan());
            }
        }
    }

    #[test]
    fn rounding_to_bf16_is_that_of_half() {
        let mut bits = 1_u32;
        let mut x: Vec<f32> = (0..100_000)
            .map(|_| {
                bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from_bits(bits)
            })
            .collect();
        x.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::MAX, 1.003_906_2, 1.011_718_7, -0.0]);
        x.push(f32::from_bits(0x7fff_ffff));
        for level in levels() {
            for (x, y) in x.iter().zip(level.run(Apply::Round(&x))) {
                assert_eq!(y.to_bits(), half::bf16::from_f32(*x).to_f32().to_bits(), "{x}");
            }
        }
    }

    #[test]
    fn the_largest_magnitude_keeps_nan() {
        struct Max<'a>(&'a [f32]);
        impl Work for Max<'_> {
            type Output = f32;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> f32 {
                max_magnitude(s, self.0)
            }
        }
        for level in levels() {
            for length in 0..70 {
                let mut x: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin()).collect();
                let expected = x.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
                assert_eq!(level.run(Max(&x)), expected);
                for at in 0..length {
                    let kept = std::mem::replace(&mut x[at], -f32::NAN);
                    assert!(level.run(Max(&x)).is_nan());
                    x[at] = kept;
                }
            }
        }
    }
}
