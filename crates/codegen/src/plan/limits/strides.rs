//! Rules of a strided layout, on whatever tile.

use super::{Rule, Violation, violation};
use crate::device::{self, TileKind};
use crate::plan::array::{At, Dimension};

/// A strided layout on its way through a tile's DMA.
pub(super) struct Strides<'a> {
    pub(super) name: &'a str,
    pub(super) at: At,
    /// Bytes of one element.
    pub(super) element: usize,
    /// Whether the outermost of four dimensions is the iteration.
    pub(super) iterates: bool,
}

impl Strides<'_> {
    pub(super) fn check(&self, dimensions: &[Dimension], found: &mut Vec<Violation>) {
        let limits = device::limits(self.at.kind());
        let name = self.name;
        let most = limits.dimensions + usize::from(self.iterates && limits.iteration);
        if dimensions.len() > most {
            found.push(violation(
                Rule::Dimensions,
                format!("{name} has {} dimensions, the {} takes {most}", dimensions.len(), self.at),
                "merge dimensions that are contiguous",
            ));
            return;
        }
        let iteration = if self.iterates && dimensions.len() == most { 1 } else { 0 };
        let inner = dimensions.len().saturating_sub(1);
        for (i, dimension) in dimensions.iter().enumerate() {
            self.check_stride(*dimension, i < iteration, i == inner, found);
            // The third dimension of a shim has no counter of its own.
            let counted = self.at.kind() != TileKind::Shim || i + 2 >= dimensions.len();
            if counted && i >= iteration {
                self.check_wrap(*dimension, i == inner, limits.wrap, found);
            }
        }
    }

    fn check_wrap(
        &self,
        dimension: Dimension,
        inner: bool,
        most: usize,
        found: &mut Vec<Violation>,
    ) {
        let unit = if inner { "words" } else { "steps" };
        let size = if inner { dimension.size * self.element / 4 } else { dimension.size };
        if size > most {
            found.push(violation(
                Rule::Wrap,
                format!(
                    "{} has a dimension of {size} {unit}, the {} counts to {most}",
                    self.name, self.at
                ),
                "take a smaller m or n",
            ));
        }
    }

    fn check_stride(
        &self,
        dimension: Dimension,
        iteration: bool,
        inner: bool,
        found: &mut Vec<Violation>,
    ) {
        let Dimension { size, stride } = dimension;
        let (name, step) = (self.name, device::limits(self.at.kind()).step);
        let unit = inner && stride == 1;
        if size > 1 && stride == 0 && !iteration {
            found.push(violation(
                Rule::ZeroStride,
                format!("{name} has a stride of 0 in an inner dimension"),
                "repeat with the outermost dimension only",
            ));
        }
        let bytes = if unit { size * self.element } else { stride * self.element };
        if !bytes.is_multiple_of(4) {
            let what = if unit { "rows" } else { "a stride" };
            found.push(violation(
                Rule::Alignment,
                format!("{name} has {what} of {bytes} bytes, no multiple of 4"),
                "make N even",
            ));
        }
        if size > 1 && stride * self.element / 4 > step {
            let words = stride * self.element / 4;
            found.push(violation(
                Rule::Stride,
                format!("{name} has a stride of {words} words, the {} reaches {step}", self.at),
                format!("take a smaller m or N: the step over a row block of C is 2·m·N words and must stay within {step}"),
            ));
        }
    }
}
