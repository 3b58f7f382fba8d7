//! Buffers that carry their shape and element type.

use half::bf16;

use crate::Precision;

mod sealed {
    pub trait Sealed {}
    impl Sealed for i8 {}
    impl Sealed for half::bf16 {}
}

/// An element type that kernels multiply: `i8` or [`bf16`].
pub trait Element: sealed::Sealed + Copy + Default + Send + Sync + 'static {
    /// The precision of targets that use it.
    const PRECISION: Precision;
    /// Narrows a row-major matrix of so many columns. For `i8` each row gets a scale (for
    /// [`Axis::Rows`]) or each column (for [`Axis::Columns`]); for [`bf16`] there are no scales.
    fn narrow(values: &[f32], columns: usize, axis: Axis) -> (Box<[Self]>, Box<[f32]>);
    /// Activations of this type without their shape.
    fn activations<'a>(values: &'a [Self], scales: &'a [f32]) -> ActivationsRef<'a>;
    /// Weights of this type without their shape.
    fn weights<'a>(values: &'a [Self], scales: &'a [f32], bias: &'a [f32]) -> WeightsRef<'a>;
}

/// What a scale belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Each row has its own.
    Rows,
    /// Each column has its own.
    Columns,
}

/// Symmetric quantisation to −127..=127, to nearest, ties to even.
impl Element for i8 {
    const PRECISION: Precision = Precision::I8;

    fn narrow(values: &[f32], columns: usize, axis: Axis) -> (Box<[Self]>, Box<[f32]>) {
        let columns = columns.max(1);
        let group = |i: usize| match axis {
            Axis::Rows => i / columns,
            Axis::Columns => i % columns,
        };
        let groups = if axis == Axis::Rows { values.len() / columns } else { columns };
        let mut scales = vec![0.0_f32; groups].into_boxed_slice();
        for (i, value) in values.iter().enumerate() {
            scales[group(i)] = scales[group(i)].max(value.abs());
        }
        for scale in &mut scales {
            // 1 for all zeros, so that nothing divides by zero.
            *scale = if *scale > 0.0 { *scale / 127.0 } else { 1.0 };
        }
        let quantised = |(i, value): (usize, &f32)| {
            (value / scales[group(i)]).round_ties_even().clamp(-127.0, 127.0) as Self
        };
        (values.iter().enumerate().map(quantised).collect(), scales)
    }

    fn activations<'a>(values: &'a [Self], scales: &'a [f32]) -> ActivationsRef<'a> {
        ActivationsRef::I8 { values, scales }
    }

    fn weights<'a>(values: &'a [Self], scales: &'a [f32], bias: &'a [f32]) -> WeightsRef<'a> {
        WeightsRef::I8 { values, scales, bias }
    }
}

/// Rounds to nearest, ties to even.
impl Element for bf16 {
    const PRECISION: Precision = Precision::Bf16;

    fn narrow(values: &[f32], _: usize, _: Axis) -> (Box<[Self]>, Box<[f32]>) {
        (values.iter().map(|&value| Self::from_f32(value)).collect(), Box::default())
    }

    fn activations<'a>(values: &'a [Self], _: &'a [f32]) -> ActivationsRef<'a> {
        ActivationsRef::Bf16 { values }
    }

    fn weights<'a>(values: &'a [Self], _: &'a [f32], bias: &'a [f32]) -> WeightsRef<'a> {
        WeightsRef::Bf16 { values, bias }
    }
}

/// A slice of the wrong length for a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthError {
    /// Elements that the buffer holds.
    pub expected: usize,
    /// Elements that were given.
    pub given: usize,
}

impl std::fmt::Display for LengthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the buffer holds {} elements, {} were given", self.expected, self.given)
    }
}

impl std::error::Error for LengthError {}

/// A row-major matrix of exactly `ROWS` × `COLUMNS` elements, on the heap.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<T, const ROWS: usize, const COLUMNS: usize> {
    elements: Box<[T]>,
}

impl<T: Copy + Default, const ROWS: usize, const COLUMNS: usize> Matrix<T, ROWS, COLUMNS> {
    /// A matrix of zeros.
    pub fn zeros() -> Self {
        Self { elements: vec![T::default(); ROWS * COLUMNS].into_boxed_slice() }
    }

    /// A matrix whose element in each row and column is given by a function.
    pub fn from_fn(mut element: impl FnMut(usize, usize) -> T) -> Self {
        let elements =
            (0..ROWS * COLUMNS).map(|i| element(i / COLUMNS.max(1), i % COLUMNS.max(1))).collect();
        Self { elements }
    }

    /// A matrix with the elements of a row-major slice.
    ///
    /// # Errors
    /// When the slice has not exactly `ROWS` × `COLUMNS` elements.
    pub fn from_slice(elements: &[T]) -> Result<Self, LengthError> {
        check_length(ROWS * COLUMNS, elements.len())?;
        Ok(Self { elements: elements.into() })
    }

    /// All elements, row by row.
    pub fn elements(&self) -> &[T] {
        &self.elements
    }

    /// All elements, row by row.
    pub fn elements_mut(&mut self) -> &mut [T] {
        &mut self.elements
    }

    /// The rows, each of `COLUMNS` elements.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[T]> {
        (0..ROWS).map(|row| &self.elements[row * COLUMNS..][..COLUMNS])
    }
}

impl<T: Copy + Default, const ROWS: usize, const COLUMNS: usize> Default
    for Matrix<T, ROWS, COLUMNS>
{
    fn default() -> Self {
        Self::zeros()
    }
}

impl<T, const ROWS: usize, const COLUMNS: usize> AsRef<[T]> for Matrix<T, ROWS, COLUMNS> {
    fn as_ref(&self) -> &[T] {
        &self.elements
    }
}

impl<T, const ROWS: usize, const COLUMNS: usize> AsMut<[T]> for Matrix<T, ROWS, COLUMNS> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.elements
    }
}

fn check_length(expected: usize, given: usize) -> Result<(), LengthError> {
    if expected == given { Ok(()) } else { Err(LengthError { expected, given }) }
}

/// The left operand of a kernel: M × K elements and, for `i8`, the scale of each row.
///
/// The value of an `i8` element is `element * scale` of its row.
#[derive(Debug, Clone, PartialEq)]
pub struct Activations<E, const M: usize, const K: usize> {
    values: Matrix<E, M, K>,
    scales: Box<[f32]>,
}

impl<E: Element, const M: usize, const K: usize> Activations<E, M, K> {
    /// Narrows, with a scale per row for `i8`.
    pub fn from_f32(matrix: &Matrix<f32, M, K>) -> Self {
        let (elements, scales) = E::narrow(&matrix.elements, K, Axis::Rows);
        Self { values: Matrix { elements }, scales }
    }

    /// The elements.
    pub fn values(&self) -> &Matrix<E, M, K> {
        &self.values
    }

    /// A scale for each of the M rows; empty for [`bf16`].
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }
}

impl<const M: usize, const K: usize> Activations<i8, M, K> {
    /// Activations with given scales.
    ///
    /// # Errors
    /// When there are not exactly M scales.
    pub fn from_parts(values: Matrix<i8, M, K>, scales: &[f32]) -> Result<Self, LengthError> {
        check_length(M, scales.len())?;
        Ok(Self { values, scales: scales.into() })
    }
}

impl<const M: usize, const K: usize> Activations<bf16, M, K> {
    /// Activations without scales.
    pub fn new(values: Matrix<bf16, M, K>) -> Self {
        Self { values, scales: Box::default() }
    }
}

/// The right operand of a kernel: K × N elements, a bias for each column and, for `i8`, the scale of
/// each column.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights<E, const K: usize, const N: usize> {
    values: Matrix<E, K, N>,
    scales: Box<[f32]>,
    bias: Box<[f32]>,
}

impl<E: Element, const K: usize, const N: usize> Weights<E, K, N> {
    /// Narrows, with a scale per column for `i8`.
    ///
    /// # Errors
    /// When there are not exactly N biases.
    pub fn from_f32(matrix: &Matrix<f32, K, N>, bias: &[f32]) -> Result<Self, LengthError> {
        check_length(N, bias.len())?;
        let (elements, scales) = E::narrow(&matrix.elements, N, Axis::Columns);
        Ok(Self { values: Matrix { elements }, scales, bias: bias.into() })
    }

    /// The elements.
    pub fn values(&self) -> &Matrix<E, K, N> {
        &self.values
    }

    /// A scale for each of the N columns; empty for [`bf16`].
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The bias of each of the N columns.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }
}

impl<const K: usize, const N: usize> Weights<i8, K, N> {
    /// Weights with given scales and bias.
    ///
    /// # Errors
    /// When there are not exactly N scales and N biases.
    pub fn from_parts(
        values: Matrix<i8, K, N>,
        scales: &[f32],
        bias: &[f32],
    ) -> Result<Self, LengthError> {
        check_length(N, scales.len())?;
        check_length(N, bias.len())?;
        Ok(Self { values, scales: scales.into(), bias: bias.into() })
    }
}

impl<const K: usize, const N: usize> Weights<bf16, K, N> {
    /// Weights without scales.
    ///
    /// # Errors
    /// When there are not exactly N biases.
    pub fn new(values: Matrix<bf16, K, N>, bias: &[f32]) -> Result<Self, LengthError> {
        check_length(N, bias.len())?;
        Ok(Self { values, scales: Box::default(), bias: bias.into() })
    }
}

/// [`Activations`] of some shape, as a backend sees them.
#[derive(Debug, Clone, Copy)]
pub enum ActivationsRef<'a> {
    /// Quantised, with a scale per row.
    I8 {
        /// M × K elements, row by row.
        values: &'a [i8],
        /// M scales.
        scales: &'a [f32],
    },
    /// Narrowed.
    Bf16 {
        /// M × K elements, row by row.
        values: &'a [bf16],
    },
}

/// [`Weights`] of some shape, as a backend sees them.
#[derive(Debug, Clone, Copy)]
pub enum WeightsRef<'a> {
    /// Quantised, with a scale per column.
    I8 {
        /// K × N elements, row by row.
        values: &'a [i8],
        /// N scales.
        scales: &'a [f32],
        /// N biases.
        bias: &'a [f32],
    },
    /// Narrowed.
    Bf16 {
        /// K × N elements, row by row.
        values: &'a [bf16],
        /// N biases.
        bias: &'a [f32],
    },
}

/// [`Activations`] of any shape and element type: what generic code knows of them.
pub trait ActivationsBuffer: Sized {
    /// Narrows a row-major M × K matrix.
    ///
    /// # Errors
    /// When there are not exactly M × K values.
    fn from_f32(values: &[f32]) -> Result<Self, LengthError>;
    /// The same without the shape in the type.
    fn view(&self) -> ActivationsRef<'_>;
}

impl<E: Element, const M: usize, const K: usize> ActivationsBuffer for Activations<E, M, K> {
    fn from_f32(values: &[f32]) -> Result<Self, LengthError> {
        Ok(Self::from_f32(&Matrix::from_slice(values)?))
    }

    fn view(&self) -> ActivationsRef<'_> {
        E::activations(self.values.elements(), &self.scales)
    }
}

/// [`Weights`] of any shape and element type: what generic code knows of them.
pub trait WeightsBuffer: Sized {
    /// Narrows a row-major K × N matrix with N biases.
    ///
    /// # Errors
    /// When there are not exactly K × N values and N biases.
    fn from_f32(values: &[f32], bias: &[f32]) -> Result<Self, LengthError>;
    /// The same without the shape in the type.
    fn view(&self) -> WeightsRef<'_>;
}

impl<E: Element, const K: usize, const N: usize> WeightsBuffer for Weights<E, K, N> {
    fn from_f32(values: &[f32], bias: &[f32]) -> Result<Self, LengthError> {
        Self::from_f32(&Matrix::from_slice(values)?, bias)
    }

    fn view(&self) -> WeightsRef<'_> {
        E::weights(self.values.elements(), &self.scales, &self.bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantising_keeps_every_element_within_half_a_step() {
        let matrix =
            Matrix::<f32, 3, 5>::from_fn(|r, c| (r as f32 + 1.0) * (c as f32 - 2.2) * 0.37);
        let quantised = Activations::<i8, 3, 5>::from_f32(&matrix);
        for (row, values) in matrix.rows().enumerate() {
            let scale = quantised.scales()[row];
            for (column, value) in values.iter().enumerate() {
                let back = f32::from(quantised.values().elements()[row * 5 + column]) * scale;
                assert!((back - value).abs() <= scale * 0.5001, "{row} {column}");
            }
        }
    }

    #[test]
    fn the_largest_of_each_column_becomes_127() {
        let matrix = Matrix::<f32, 4, 3>::from_fn(|k, n| (k * 3 + n) as f32 - 11.0);
        let weights = Weights::<i8, 4, 3>::from_f32(&matrix, &[0.0; 3]).unwrap();
        for n in 0..3 {
            let largest = (0..4).map(|k| weights.values().elements()[k * 3 + n].unsigned_abs());
            assert_eq!(largest.max(), Some(127));
        }
    }

    #[test]
    fn zeros_quantise_to_zeros() {
        let quantised = Activations::<i8, 2, 4>::from_f32(&Matrix::zeros());
        assert!(quantised.values().elements().iter().all(|&v| v == 0));
        assert_eq!(quantised.scales(), [1.0, 1.0]);
    }

    #[test]
    fn a_slice_of_the_wrong_length_is_refused() {
        let error = Matrix::<f32, 2, 3>::from_slice(&[0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "the buffer holds 6 elements, 5 were given");
        assert!(Weights::<i8, 2, 3>::from_f32(&Matrix::zeros(), &[0.0; 2]).is_err());
    }
}
