//! Affine maps: linear arithmetic on indices.

/// Dimensions of a layout: finding its strides takes the square of this.
const MOST_DIMENSIONS: u32 = 64;

/// `affine_map<(d0)[s0] -> (d0 * 2 + s0)>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffineMap {
    /// Number of dimensions, in parentheses.
    pub dimensions: u32,
    /// Number of symbols, in brackets.
    pub symbols: u32,
    /// What it computes.
    pub results: Vec<AffineExpr>,
}

/// One result of an [`AffineMap`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AffineExpr {
    /// A dimension by number.
    Dimension(u32),
    /// A symbol by number.
    Symbol(u32),
    /// A number.
    Constant(i64),
    /// `a + b`; `a - b` is `a + b * -1`.
    Add(Box<AffineExpr>, Box<AffineExpr>),
    /// `a * b`.
    Multiply(Box<AffineExpr>, Box<AffineExpr>),
    /// `a floordiv b`: rounded down.
    FloorDivide(Box<AffineExpr>, Box<AffineExpr>),
    /// `a ceildiv b`: rounded up.
    CeilDivide(Box<AffineExpr>, Box<AffineExpr>),
    /// `a mod b`: never negative.
    Modulo(Box<AffineExpr>, Box<AffineExpr>),
}

impl AffineMap {
    /// The results for these dimensions and symbols; `None` for a missing argument, an overflow or
    /// a division by what is not positive.
    pub fn evaluate(&self, dimensions: &[i64], symbols: &[i64]) -> Option<Vec<i64>> {
        self.results.iter().map(|result| result.evaluate(dimensions, symbols)).collect()
    }

    /// The strides and the offset that a layout of this map means, if it is linear.
    pub(super) fn strides(&self) -> Option<(Vec<i64>, i64)> {
        let [result] = self.results.as_slice() else { return None };
        if self.symbols > 0 || self.dimensions > MOST_DIMENSIONS || !result.is_linear() {
            return None;
        }
        let zeros = vec![0; self.dimensions as usize];
        let offset = result.evaluate(&zeros, &[])?;
        let strides = (0..zeros.len())
            .map(|i| {
                let mut unit = zeros.clone();
                unit[i] = 1;
                result.evaluate(&unit, &[])?.checked_sub(offset)
            })
            .collect::<Option<_>>()?;
        Some((strides, offset))
    }

    /// Whether it hands its dimensions through.
    pub(super) fn is_identity(&self) -> bool {
        self.symbols == 0
            && self.results.len() == self.dimensions as usize
            && (0..).zip(&self.results).all(|(i, result)| *result == AffineExpr::Dimension(i))
    }
}

impl AffineExpr {
    /// The value for these dimensions and symbols, see [`AffineMap::evaluate`].
    pub fn evaluate(&self, dimensions: &[i64], symbols: &[i64]) -> Option<i64> {
        let both = |a: &Self, b: &Self| {
            Some((a.evaluate(dimensions, symbols)?, b.evaluate(dimensions, symbols)?))
        };
        match self {
            Self::Dimension(number) => dimensions.get(*number as usize).copied(),
            Self::Symbol(number) => symbols.get(*number as usize).copied(),
            Self::Constant(value) => Some(*value),
            Self::Add(a, b) => both(a, b).and_then(|(a, b)| a.checked_add(b)),
            Self::Multiply(a, b) => both(a, b).and_then(|(a, b)| a.checked_mul(b)),
            Self::FloorDivide(a, b) => {
                both(a, b).and_then(|(a, b)| (b > 0).then(|| a.div_euclid(b)))
            }
            Self::CeilDivide(a, b) => both(a, b).and_then(|(a, b)| {
                (b > 0).then(|| a.div_euclid(b) + i64::from(a.rem_euclid(b) != 0))
            }),
            Self::Modulo(a, b) => both(a, b).and_then(|(a, b)| (b > 0).then(|| a.rem_euclid(b))),
        }
    }

    fn is_linear(&self) -> bool {
        match self {
            Self::Dimension(_) | Self::Symbol(_) | Self::Constant(_) => true,
            Self::Add(a, b) => a.is_linear() && b.is_linear(),
            Self::Multiply(a, b) => matches!(**b, Self::Constant(_)) && a.is_linear(),
            Self::FloorDivide(..) | Self::CeilDivide(..) | Self::Modulo(..) => false,
        }
    }

    /// `a + b`, simplified as MLIR does: constants are folded and stand last.
    pub(super) fn add(a: Self, b: Self) -> Self {
        match (a, b) {
            (Self::Constant(a), Self::Constant(b)) if a.checked_add(b).is_some() => {
                Self::Constant(a + b)
            }
            (a, Self::Constant(0)) => a,
            (Self::Constant(a), b) => Self::add(b, Self::Constant(a)),
            (Self::Add(x, y), Self::Constant(b)) => match *y {
                Self::Constant(a) if a.checked_add(b).is_some() => {
                    Self::add(*x, Self::Constant(a + b))
                }
                y => Self::Add(Box::new(Self::Add(x, Box::new(y))), Box::new(Self::Constant(b))),
            },
            (Self::Add(x, y), b) if matches!(*y, Self::Constant(_)) => {
                Self::add(Self::add(*x, b), *y)
            }
            (a, b) => Self::Add(Box::new(a), Box::new(b)),
        }
    }

    /// `a * b`, simplified likewise.
    pub(super) fn multiply(a: Self, b: Self) -> Self {
        match (a, b) {
            (Self::Constant(a), Self::Constant(b)) if a.checked_mul(b).is_some() => {
                Self::Constant(a * b)
            }
            (a, Self::Constant(1)) => a,
            (_, Self::Constant(0)) => Self::Constant(0),
            (a @ Self::Constant(_), b) => Self::multiply(b, a),
            (Self::Multiply(x, y), b)
                if matches!((&*y, &b), (Self::Constant(_), Self::Constant(_))) =>
            {
                match Self::multiply(*y, b) {
                    Self::Multiply(y, b) => Self::Multiply(Box::new(Self::Multiply(x, y)), b),
                    folded => Self::multiply(*x, folded),
                }
            }
            (a, b) => Self::Multiply(Box::new(a), Box::new(b)),
        }
    }
}
