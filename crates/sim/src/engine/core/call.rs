//! Calls of registered functions.

use std::sync::Arc;

use super::{Array, FindingKind, Party, PlaceId, RunError, Slot, Span, Value};
use crate::engine::memory::Use;
use crate::engine::value::View;
use crate::functions::{Access, Argument, Returned, Scalar};

/// An argument, before buffers are taken out of the memory.
enum Prepared {
    Part { place: PlaceId, start: usize, end: usize },
    Scalar(Scalar),
}

/// An argument that a transfer reads while a function has it, of which it is not known whether it
/// writes there.
struct Watched {
    place: PlaceId,
    start: usize,
    before: Vec<u8>,
}

impl Array {
    /// Calls a function; the cycles that it takes.
    pub(super) fn call(
        &mut self,
        core: u32,
        function: u32,
        arguments: &[Slot],
        to: Option<Slot>,
        span: Span,
    ) -> Result<u64, RunError> {
        let symbol = self.cores[core as usize].thread.program.functions[function as usize].clone();
        let Some(function) = self.functions.get(&symbol).map(Arc::clone) else {
            return Err(self.error(span, missing(&symbol)));
        };
        let mut prepared = Vec::with_capacity(arguments.len());
        for (i, &slot) in arguments.iter().enumerate() {
            prepared.push(self.prepare(core, &symbol, i, slot, span)?);
        }
        let watched = self.begin_call(core, &prepared, function.access(), &symbol, span);
        let (result, bytes) =
            self.on_buffers(&prepared, function.access(), |arguments| function.call(arguments));
        let Returned { cycles, value } =
            result.map_err(|message| self.error(span, format!("`{symbol}`: {message}")))?;
        for Watched { place, start, before } in watched {
            let range = (start as u64, (start + before.len()) as u64);
            if self.memory.place(place).bytes()[start..start + before.len()] != before {
                self.check_race(Party::Core(core), place, range, true, span);
            }
        }
        for part in &prepared {
            let Prepared::Part { place, .. } = part else { continue };
            if let Some(at) = self.memory.place_mut(*place).broken_guard() {
                let name = &self.memory.place(*place).name;
                let message = format!(
                    "`{symbol}` writes outside of `{name}`, at byte {} of its {}",
                    self.memory.place(*place).len() as i64 + at,
                    self.memory.place(*place).len()
                );
                return Err(self.error(span, message));
            }
        }
        if let Some(to) = to {
            let Some(value) = value else {
                return Err(self.error(span, format!("`{symbol}` gave no result")));
            };
            self.cores[core as usize].thread.set(to, value.into());
        }
        let cycles = if cycles > 0 { cycles } else { bytes.div_ceil(self.timing.function_bytes) };
        Ok(cycles + self.timing.call)
    }

    fn prepare(
        &self,
        core: u32,
        symbol: &str,
        position: usize,
        slot: Slot,
        span: Span,
    ) -> Result<Prepared, RunError> {
        let thread = &self.cores[core as usize].thread;
        match thread.get(slot) {
            Value::View(View { place, offset, layout }) => {
                let extent = thread.program.layouts.get(layout as usize).map_or(0, |l| l.extent());
                let bytes = self.memory.place(place).len();
                let start = usize::try_from(offset).ok();
                let end = offset.checked_add(extent).and_then(|end| usize::try_from(end).ok());
                match (start, end) {
                    (Some(start), Some(end)) if start <= end && end <= bytes => {
                        Ok(Prepared::Part { place, start, end })
                    }
                    _ => Err(self.error(
                        span,
                        format!(
                            "argument {position} of `{symbol}` is bytes {offset} to {} of `{}`, \
                             which has {bytes}",
                            offset.saturating_add(extent),
                            self.memory.place(place).name
                        ),
                    )),
                }
            }
            value => match value.scalar() {
                Some(scalar) => Ok(Prepared::Scalar(scalar)),
                None => Err(self.error(
                    span,
                    format!("argument {position} of `{symbol}` is used before it is defined"),
                )),
            },
        }
    }

    /// Notes what the function will use until it returns, and what it must not; gives what only its
    /// doing can show.
    fn begin_call(
        &mut self,
        core: u32,
        prepared: &[Prepared],
        access: &[Access],
        symbol: &str,
        span: Span,
    ) -> Vec<Watched> {
        let mut watched = Vec::new();
        for (i, part) in prepared.iter().enumerate() {
            let Prepared::Part { place, start, end } = *part else { continue };
            let access = access.get(i).copied().unwrap_or(Access::Unknown);
            if access == Access::Read && !self.memory.place(place).written(start, end) {
                let message = format!(
                    "`{symbol}` reads `{}`, of which nothing has written a part",
                    self.memory.place(place).name
                );
                self.finding(FindingKind::Uninitialised, span, message);
            }
            // What is not known to write counts as reading, unless its bytes change.
            let writes = matches!(access, Access::Write | Access::Update);
            let range = (start as u64, end as u64);
            self.check_race(Party::Core(core), place, range, writes, span);
            let party = Party::Core(core);
            if access == Access::Unknown && self.memory.place(place).in_use() {
                let before = self.memory.place(place).bytes()[start..end].to_vec();
                watched.push(Watched { place, start, before });
            }
            self.memory.place_mut(place).begin(Use { party, writes, range, transfer: None, span });
            self.cores[core as usize].using.push(place);
        }
        watched
    }

    /// Calls with the buffers in hand; also the bytes of all of them.
    fn on_buffers(
        &mut self,
        prepared: &[Prepared],
        access: &[Access],
        call: impl FnOnce(&mut [Argument<'_>]) -> Result<Returned, String>,
    ) -> (Result<Returned, String>, u64) {
        // Arguments that overlap with an earlier one get a copy, whose changes go back.
        let mut copies: Vec<Option<Vec<u8>>> = Vec::with_capacity(prepared.len());
        for (i, part) in prepared.iter().enumerate() {
            let Prepared::Part { place, start, end } = *part else {
                copies.push(None);
                continue;
            };
            let overlaps = prepared[..i].iter().any(|other| {
                matches!(other, Prepared::Part { place: p, start: s, end: e }
                    if *p == place && *s < end && start < *e)
            });
            copies.push(overlaps.then(|| self.memory.place(place).bytes()[start..end].to_vec()));
        }
        let originals = copies.clone();
        let mut total = 0;
        let result = {
            let parts: Vec<_> = prepared
                .iter()
                .zip(&copies)
                .filter_map(|(part, copy)| match part {
                    Prepared::Part { place, start, end } if copy.is_none() => {
                        Some((*place, *start, *end))
                    }
                    _ => None,
                })
                .collect();
            let mut slices = self.memory.parts(parts.into_iter());
            let mut arguments = Vec::with_capacity(prepared.len());
            for (part, copy) in prepared.iter().zip(&mut copies) {
                arguments.push(match (part, copy) {
                    (Prepared::Scalar(scalar), _) => Argument::Scalar(*scalar),
                    (Prepared::Part { .. }, Some(copy)) => Argument::Buffer(copy),
                    (Prepared::Part { .. }, None) => {
                        Argument::Buffer(slices.next().unwrap_or_default())
                    }
                });
            }
            for argument in &arguments {
                if let Argument::Buffer(bytes) = argument {
                    total += bytes.len() as u64;
                }
            }
            call(&mut arguments)
        };
        for (i, part) in prepared.iter().enumerate() {
            let Prepared::Part { place, start, end } = *part else { continue };
            let place = self.memory.place_mut(place);
            if let (Some(copy), Some(original)) = (&copies[i], &originals[i]) {
                let target = &mut place.bytes_mut()[start..end];
                for ((to, new), old) in target.iter_mut().zip(copy).zip(original) {
                    if new != old {
                        *to = *new;
                    }
                }
            }
            if access.get(i) != Some(&Access::Read) {
                place.mark(start, end, true);
            }
        }
        (result, total)
    }
}

pub(in crate::engine) fn missing(symbol: &str) -> String {
    format!(
        "the design calls `{symbol}`, which is not registered: give its source with --kernel, or \
         register a function of that name"
    )
}
