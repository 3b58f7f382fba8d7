//! Channels made alike before they are quantised to i8.
//!
//! What a LayerNorm scales some channels up by, activations of i8 lose in all others, as a row has one
//! scale. Dividing a channel by a factor, in the weights of the LayerNorm, and multiplying the weights
//! that it meets by it changes nothing else: SmoothQuant (Xiao et al., 2023,
//! <https://arxiv.org/abs/2211.10438>), where the LayerNorm stands in for the calibration data.

use super::layer::Norm;

/// Standard deviations that the largest magnitude of a normalised channel is expected at.
const DEVIATIONS: f32 = 3.0;

/// The power of the largest magnitude to expect that moves to the weights. Of 0.25, 0.35 and 0.5 the
/// least loses least in deep encoders, whose weights have to be exact as well.
const SHARE: f32 = 0.25;

/// A factor for each channel.
pub(super) struct Smoothing(Vec<f32>);

impl Smoothing {
    /// For what a LayerNorm gives.
    pub(super) fn of(norm: &Norm) -> Self {
        let factor = |(weight, bias): (&f32, &f32)| {
            let largest = DEVIATIONS * weight.abs() + bias.abs();
            if largest > 0.0 && largest.is_finite() { largest.powf(SHARE) } else { 1.0 }
        };
        Self(norm.weight.iter().zip(&norm.bias).map(factor).collect())
    }

    /// Takes the factors off a LayerNorm.
    pub(super) fn divide(&self, norm: &mut Norm) {
        for (factor, (weight, bias)) in
            self.0.iter().zip(norm.weight.iter_mut().zip(&mut norm.bias))
        {
            *weight /= factor;
            *bias /= factor;
        }
    }

    /// Puts them on weights of outputs × channels.
    pub(super) fn multiply(&self, weights: &mut [f32]) {
        for row in weights.chunks_exact_mut(self.0.len()) {
            for (weight, factor) in row.iter_mut().zip(&self.0) {
                *weight *= factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_stay_what_they_are() {
        let norm = || Norm { weight: vec![1.0, 4.0, 0.0, 0.5], bias: vec![0.0, -2.0, 0.0, 0.25] };
        let smoothing = Smoothing::of(&norm());
        let (mut smooth, weights) = (norm(), [0.5, -0.25, 3.0, 1.0, 1.0, 2.0, -1.0, 0.125]);
        let mut scaled = weights;
        smoothing.divide(&mut smooth);
        smoothing.multiply(&mut scaled);
        let x = [0.3, -1.7, 2.0, 0.9];
        let product = |norm: &Norm, weights: &[f32]| -> f32 {
            let normed = |i: usize| x[i] * norm.weight[i] + norm.bias[i];
            (0..4).map(|i| normed(i) * weights[i]).sum()
        };
        for (weights, scaled) in weights.chunks(4).zip(scaled.chunks(4)) {
            let (before, after) = (product(&norm(), weights), product(&smooth, scaled));
            assert!((before - after).abs() < 1e-5, "{before} became {after}");
        }
        // What stood out by four stands out by less.
        assert!(smooth.weight[1] / smooth.weight[0] < 3.0);
    }
}
