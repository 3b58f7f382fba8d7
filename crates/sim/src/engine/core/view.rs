//! Loads and stores through memrefs.

use super::{Array, FindingKind, Index, Party, PlaceId, RunError, Slot, Span, Thread, Value};
use crate::engine::program::Origin;
use crate::engine::value::{Element, View};

/// One element of a place.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Address {
    place: PlaceId,
    offset: i64,
    element: Element,
}

/// The views of a thread, for what needs two of them at once.
pub(super) struct Views(Thread);

impl Thread {
    pub(super) fn clone_views(&self) -> Views {
        Views(self.clone())
    }

    /// The element of a view at some indices.
    pub(in crate::engine) fn address(
        &self,
        view: Slot,
        indices: &[Index],
    ) -> Result<Address, String> {
        let Value::View(view) = self.get(view) else {
            return Err("a memref is used before it is defined".to_owned());
        };
        let Some(layout) = self.program.layouts.get(view.layout as usize) else {
            return Err("a memref without a layout".to_owned());
        };
        if layout.sizes.len() != indices.len() {
            return Err(format!(
                "{} indices into {} dimensions",
                indices.len(),
                layout.sizes.len()
            ));
        }
        let mut at = 0_i64;
        for ((&index, &size), &stride) in indices.iter().zip(&layout.sizes).zip(&layout.strides) {
            let Some(index) = self.index(index) else {
                return Err("an index is used before it is defined".to_owned());
            };
            if !(0..size).contains(&index) {
                return Err(format!("index {index} is out of bounds: the dimension has {size}"));
            }
            at = at.wrapping_add(index.wrapping_mul(stride));
        }
        let bytes = layout.element.bytes() as i64;
        let offset = view.offset.wrapping_add(at.wrapping_mul(bytes));
        Ok(Address { place: view.place, offset, element: layout.element })
    }

    pub(super) fn subview(
        &self,
        from: Slot,
        offsets: &[Index],
        origin: Origin,
        layout: u32,
    ) -> Option<View> {
        let Value::View(view) = self.get(from) else { return None };
        let old = self.program.layouts.get(view.layout as usize)?;
        let new = self.program.layouts.get(layout as usize)?;
        let mut offset = if origin == Origin::Place { 0 } else { view.offset };
        for (i, &index) in offsets.iter().enumerate() {
            let (stride, bytes) = match origin {
                Origin::View => (old.strides.get(i).copied().unwrap_or(1), old.element.bytes()),
                Origin::Element | Origin::Place => (1, new.element.bytes()),
            };
            let bytes = bytes as i64;
            let by = self.index(index)?.wrapping_mul(stride).wrapping_mul(bytes);
            offset = offset.wrapping_add(by);
        }
        Some(View { place: view.place, offset, layout })
    }
}

impl Array {
    fn range(&self, at: Address, span: Span) -> Result<(usize, usize), RunError> {
        let place = self.memory.place(at.place);
        let end = at.offset.checked_add(at.element.bytes() as i64);
        match (usize::try_from(at.offset), end.and_then(|end| usize::try_from(end).ok())) {
            (Ok(start), Some(end)) if end <= place.len() => Ok((start, end)),
            _ => Err(self.error(
                span,
                format!("byte {} is out of `{}`, which has {}", at.offset, place.name, place.len()),
            )),
        }
    }

    pub(in crate::engine) fn load(
        &mut self,
        party: Party,
        at: Address,
        span: Span,
    ) -> Result<Value, RunError> {
        let (start, end) = self.range(at, span)?;
        self.check_race(party, at.place, (start as u64, end as u64), false, span);
        let place = self.memory.place(at.place);
        let value = at.element.load(&place.bytes()[start..end]);
        if !place.written(start, end) {
            let message = format!(
                "{} reads byte {start} of `{}`, which nothing has written",
                self.party_name(party),
                place.name
            );
            self.finding(FindingKind::Uninitialised, span, message);
        }
        Ok(value)
    }

    pub(in crate::engine) fn store(
        &mut self,
        party: Party,
        at: Address,
        value: Value,
        span: Span,
    ) -> Result<(), RunError> {
        let (start, end) = self.range(at, span)?;
        let Some(bytes) = at.element.store(value) else {
            return Err(self.error(span, "a value of another type than the memref's is stored"));
        };
        self.check_race(party, at.place, (start as u64, end as u64), true, span);
        let place = self.memory.place_mut(at.place);
        place.bytes_mut()[start..end].copy_from_slice(&bytes[..end - start]);
        place.mark(start, end, true);
        Ok(())
    }

    /// `memref.copy`: element by element, in the order of the indices.
    pub(super) fn copy_view(
        &mut self,
        party: Party,
        views: &Views,
        from: Slot,
        to: Slot,
        span: Span,
    ) -> Result<(), RunError> {
        let thread = &views.0;
        let sizes = match (thread.get(from), thread.get(to)) {
            (Value::View(a), Value::View(b)) => {
                let sizes = |view: View| {
                    thread.program.layouts.get(view.layout as usize).map(|l| l.sizes.clone())
                };
                sizes(a).filter(|a| sizes(b).as_ref() == Some(a))
            }
            _ => None,
        };
        let Some(sizes) = sizes else {
            return Err(self.error(span, "a copy between memrefs of different shapes"));
        };
        if sizes.contains(&0) {
            return Ok(());
        }
        let mut index = vec![0_i64; sizes.len()];
        loop {
            let indices: Vec<Index> = index.iter().map(|&i| Index::Static(i)).collect();
            let source = thread.address(from, &indices).map_err(|e| self.error(span, e))?;
            let target = thread.address(to, &indices).map_err(|e| self.error(span, e))?;
            let value = self.load(party, source, span)?;
            self.store(party, target, value, span)?;
            self.count(1)?;
            let Some(moved) = (0..sizes.len()).rev().find(|&i| index[i] + 1 < sizes[i]) else {
                return Ok(());
            };
            index[moved] += 1;
            index[moved + 1..].fill(0);
        }
    }
}
