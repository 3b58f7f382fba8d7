//! Which value or block a name means.
//!
//! As in MLIR: a name is visible in the region that defines it and in those within, except across
//! an operation that is isolated from above; it may be used before it is defined, but must be
//! defined in the end; within what it is visible in, nothing else may have the same name.

use std::collections::HashMap;

use super::lexer::Token;
use super::{Parsed, Parser};
use crate::text::{BlockId, Span, Type, Value, ValueId};

/// A name and the number of a result: `%a#1`.
type Key<'s> = (&'s str, u32);

#[derive(Default)]
pub(super) struct Scopes<'s> {
    /// One map for each operation that is isolated from above.
    isolated: Vec<HashMap<Key<'s>, Entry>>,
    regions: Vec<RegionScope<'s>>,
    /// Blocks begun so far: each has its number.
    blocks: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    id: ValueId,
    span: Span,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// Defined in the region of this depth.
    Defined(usize),
    /// Used, in the block of this number; must be defined in the region of this depth or outside.
    Used { depth: usize, block: u32 },
}

/// How strictly names of a region are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visibility {
    /// Names from outside are visible.
    Open,
    /// They are not.
    Isolated,
    /// Nobody knows, as the operation is not known: they are visible, but may be used again.
    Unknown,
}

struct RegionScope<'s> {
    visibility: Visibility,
    /// What to take out of the map, or put back, at the end.
    defined: Vec<(Key<'s>, Option<Entry>)>,
    /// Names used here that were not defined by then.
    forward: Vec<Key<'s>>,
    /// Number of the block at hand.
    block: u32,
    labels: Vec<Label<'s>>,
    label_numbers: HashMap<&'s str, u32>,
}

/// A block of the region at hand.
pub(super) struct Label<'s> {
    pub(super) name: &'s str,
    /// Where it was first named.
    pub(super) span: Span,
    /// Its place in the region, once it is there.
    pub(super) block: Option<BlockId>,
}

impl<'s> Parser<'s> {
    pub(super) fn enter_region(&mut self, visibility: Visibility) {
        if visibility == Visibility::Isolated {
            self.scopes.isolated.push(HashMap::new());
        }
        self.scopes.regions.push(RegionScope {
            visibility,
            defined: Vec::new(),
            forward: Vec::new(),
            block: 0,
            labels: Vec::new(),
            label_numbers: HashMap::new(),
        });
    }

    /// Ends a region and hands out its blocks' labels.
    pub(super) fn leave_region(&mut self) -> Parsed<Vec<Label<'s>>> {
        let depth = self.scopes.regions.len();
        let (Some(region), Some(names)) =
            (self.scopes.regions.pop(), self.scopes.isolated.last_mut())
        else {
            return Ok(Vec::new());
        };
        for (key, before) in region.defined.into_iter().rev() {
            match before {
                Some(entry) => names.insert(key, entry),
                None => names.remove(&key),
            };
        }
        let isolated = region.visibility == Visibility::Isolated;
        for key in region.forward {
            let Some(entry) = names.get_mut(&key) else { continue };
            if isolated {
                let span = entry.span;
                return Err(self.undefined(key, span));
            }
            if let (State::Used { .. }, Some(outer)) = (entry.state, self.scopes.regions.last_mut())
            {
                entry.state = State::Used { depth: depth - 1, block: outer.block };
                outer.forward.push(key);
            }
        }
        if isolated {
            self.scopes.isolated.pop();
        }
        Ok(region.labels)
    }

    fn undefined(&self, (name, number): Key<'s>, span: Span) -> crate::text::DesignError {
        let shown = if number == 0 { name.to_owned() } else { format!("{name}#{number}") };
        self.source.error(
            span,
            format!("`{shown}` is used, but nothing in scope defines it"),
            "a value is visible after its definition, in the same region and in those within it",
        )
    }

    pub(super) fn begin_block(&mut self) {
        self.scopes.blocks += 1;
        if let Some(region) = self.scopes.regions.last_mut() {
            region.block = self.scopes.blocks;
        }
    }

    /// The value that a name means here, which may be defined later.
    pub(super) fn use_value(
        &mut self,
        name: &'s str,
        number: u32,
        span: Span,
        ty: &Type,
    ) -> Parsed<ValueId> {
        let depth = self.scopes.regions.len();
        let block = self.scopes.regions.last().map_or(0, |region| region.block);
        let known =
            self.scopes.isolated.last_mut().and_then(|names| names.get_mut(&(name, number)));
        if let Some(entry) = known {
            if let State::Used { block: last, .. } = &mut entry.state {
                *last = block;
            }
            let entry = *entry;
            let known = &self.values[entry.id.0 as usize].ty;
            if known != ty {
                return Err(self.error(
                    span,
                    format!("`{name}` is of type {known}, but is used as {ty} here"),
                    "",
                ));
            }
            return Ok(entry.id);
        }
        let id = self.new_value(name.to_owned(), ty.clone(), span);
        let entry = Entry { id, span, state: State::Used { depth, block } };
        if let Some(names) = self.scopes.isolated.last_mut() {
            names.insert((name, number), entry);
        }
        if let Some(region) = self.scopes.regions.last_mut() {
            region.forward.push((name, number));
        }
        Ok(id)
    }

    /// The type of a value that is already defined or used.
    pub(super) fn type_of(&self, name: &str, number: u32) -> Option<&Type> {
        let entry = self.scopes.isolated.last()?.get(&(name, number))?;
        self.values.get(entry.id.0 as usize).map(|value| &value.ty)
    }

    /// Defines a value that has no name.
    pub(super) fn define_unnamed(&mut self, ty: Type, span: Span) -> ValueId {
        self.new_value(String::new(), ty, span)
    }

    /// Defines a value; with `of` more than 1 it is one of so many results.
    pub(super) fn define(
        &mut self,
        name: Token<'s>,
        number: u32,
        of: usize,
        ty: Type,
    ) -> Parsed<ValueId> {
        let span = name.span();
        let shown = if of > 1 { format!("{}#{number}", name.text) } else { name.text.to_owned() };
        let depth = self.scopes.regions.len();
        let (block, visibility) = self
            .scopes
            .regions
            .last()
            .map_or((0, Visibility::Isolated), |region| (region.block, region.visibility));
        let key = (name.text, number);
        let before = self.scopes.isolated.last().and_then(|names| names.get(&key)).copied();
        let mut restored = None;
        let id = match before {
            None => self.new_value(shown, ty, span),
            Some(Entry { id, span: used, state: State::Used { depth: needed, block: last } }) => {
                if needed < depth {
                    return Err(self.undefined(key, used));
                }
                if last == block {
                    return Err(self.error(
                        used,
                        format!(
                            "`{}` is used before it is defined, {}",
                            name.text,
                            self.line(span)
                        ),
                        "move the definition up",
                    ));
                }
                let known = &self.values[id.0 as usize].ty;
                if *known != ty {
                    return Err(self.error(
                        used,
                        format!(
                            "`{}` is used as {known}, but is of type {ty} by its definition, {}",
                            name.text,
                            self.line(span)
                        ),
                        "",
                    ));
                }
                self.values[id.0 as usize] = Value { name: shown, ty, span };
                id
            }
            Some(entry @ Entry { state: State::Defined(at), .. }) => {
                if visibility != Visibility::Unknown || at == depth {
                    return Err(self.error(
                        span,
                        format!("`{}` is already defined, {}", name.text, self.line(entry.span)),
                        "give one of the two another name",
                    ));
                }
                restored = Some(entry);
                self.new_value(shown, ty, span)
            }
        };
        if let Some(names) = self.scopes.isolated.last_mut() {
            names.insert(key, Entry { id, span, state: State::Defined(depth) });
        }
        if let Some(region) = self.scopes.regions.last_mut() {
            region.defined.push((key, restored));
        }
        Ok(id)
    }

    fn line(&self, span: Span) -> String {
        format!("in line {}", self.source.line(span))
    }

    fn new_value(&mut self, name: String, ty: Type, span: Span) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value { name, ty, span });
        id
    }

    /// The number of a label in the region at hand: a stand-in for its block until the region ends.
    pub(super) fn label(&mut self, token: Token<'s>) -> BlockId {
        let Some(region) = self.scopes.regions.last_mut() else { return BlockId(0) };
        let fresh = region.labels.len() as u32;
        let number = *region.label_numbers.entry(token.text).or_insert(fresh);
        if number == fresh {
            region.labels.push(Label { name: token.text, span: token.span(), block: None });
        }
        BlockId(number)
    }

    /// Gives a label its block.
    pub(super) fn define_label(&mut self, token: Token<'s>, block: BlockId) -> Parsed<()> {
        let number = self.label(token).0 as usize;
        let label = self.scopes.regions.last_mut().and_then(|r| r.labels.get_mut(number));
        match label {
            Some(Label { block: Some(_), span, .. }) => {
                let line = self.source.line(*span);
                Err(self.error(
                    token.span(),
                    format!("block `{}` is already there, see line {line}", token.text),
                    "give one of the two blocks another label",
                ))
            }
            Some(label) => {
                label.block = Some(block);
                Ok(())
            }
            None => Ok(()),
        }
    }
}
