//! How far features are from a reference.

/// The distance between values and their reference.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Distance {
    /// Cosine of the angle between them; 1 when they agree but for a factor.
    pub cosine: f64,
    /// Mean of the absolute differences.
    pub mean_abs: f64,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Norm of the difference over the norm of the reference.
    pub relative: f64,
}

impl Distance {
    /// Compares two slices of the same length.
    ///
    /// Where one holds a number and the other none, all is infinitely far; two empty slices agree.
    pub fn new(values: &[f32], reference: &[f32]) -> Self {
        let (mut dot, mut values_2, mut reference_2) = (0.0, 0.0, 0.0);
        let (mut sum, mut sum_2, mut max) = (0.0, 0.0, 0.0_f64);
        for (&value, &reference) in values.iter().zip(reference) {
            let (value, reference) = (f64::from(value), f64::from(reference));
            let difference = (value - reference).abs();
            // A NaN must not be lost in `max`.
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            dot += value * reference;
            values_2 += value * value;
            reference_2 += reference * reference;
            sum += difference;
            sum_2 += difference * difference;
            max = max.max(difference);
        }
        let norms = (values_2 * reference_2).sqrt();
        let agree = sum == 0.0;
        Self {
            cosine: if agree { 1.0 } else { dot / norms },
            mean_abs: if agree { 0.0 } else { sum / values.len() as f64 },
            max_abs: max,
            relative: if agree { 0.0 } else { (sum_2 / reference_2).sqrt() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let distance = Distance::new(&[1.0, 2.0], &[1.0, 0.0]);
        assert!((distance.cosine - 1.0 / 5.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((distance.mean_abs, distance.max_abs, distance.relative), (1.0, 2.0, 2.0));
    }

    #[test]
    fn the_same_is_no_distance_even_if_it_is_nothing() {
        for values in [&[0.0, 0.0][..], &[], &[3.0, -1.0]] {
            let distance = Distance::new(values, values);
            assert_eq!((distance.cosine, distance.max_abs, distance.relative), (1.0, 0.0, 0.0));
        }
    }

    #[test]
    fn a_nan_is_infinitely_far() {
        assert_eq!(Distance::new(&[f32::NAN, 0.0], &[0.0, 0.0]).max_abs, f64::INFINITY);
    }
}
