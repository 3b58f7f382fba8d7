//! Operations in either form, and the file around them.

use std::collections::VecDeque;

use super::dialect;
use super::form::Form;
use super::lexer::{Kind, Token, unquote};
use super::scope::Visibility;
use super::{LONGEST_NAME, Parsed, Parser};
use crate::text::{Attribute, Block, BlockId, Op, Region, Span, Successor, Type, ValueId};

/// An operation that is being read.
pub(super) struct Draft<'s> {
    pub(super) name: String,
    pub(super) span: Span,
    operands: Vec<ValueId>,
    /// Operands that are named, but not looked up yet: their types come later in the text.
    pending: Vec<Use<'s>>,
    /// Those of `pending` whose types have not come yet, the first one first.
    untyped: VecDeque<usize>,
    pub(super) attributes: Vec<(String, Attribute)>,
    pub(super) results: Vec<Type>,
    pub(super) regions: Vec<Region>,
    pub(super) successors: Vec<Successor>,
}

struct Use<'s> {
    token: Token<'s>,
    number: u32,
    ty: Option<Type>,
}

impl<'s> Draft<'s> {
    fn new(name: String, span: Span) -> Self {
        Self {
            name,
            span,
            operands: Vec::new(),
            pending: Vec::new(),
            untyped: VecDeque::new(),
            attributes: Vec::new(),
            results: Vec::new(),
            regions: Vec::new(),
            successors: Vec::new(),
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn set(&mut self, name: &str, value: Attribute) {
        self.attributes.push((name.to_owned(), value));
    }

    /// Takes an attribute out.
    pub(super) fn take(&mut self, name: &str) -> Option<Attribute> {
        let index = self.attributes.iter().position(|(key, _)| key == name)?;
        Some(self.attributes.remove(index).1)
    }

    pub(super) fn uses(&mut self, token: Token<'s>, number: u32, ty: Option<Type>) {
        if ty.is_none() {
            self.untyped.push_back(self.pending.len());
        }
        self.pending.push(Use { token, number, ty });
    }

    /// Operands so far.
    pub(super) fn operand_count(&self) -> usize {
        self.operands.len() + self.pending.len()
    }

    /// Operands whose type has not come yet.
    pub(super) fn untyped(&self) -> usize {
        self.untyped.len()
    }

    pub(super) fn type_next(&mut self, ty: Type) {
        if let Some(one) = self.untyped.pop_front().and_then(|at| self.pending.get_mut(at)) {
            one.ty = Some(ty);
        }
    }

    pub(super) fn type_all(&mut self, ty: &Type) {
        while !self.untyped.is_empty() {
            self.type_next(ty.clone());
        }
    }

    /// Adds a successor; its arguments are looked up with the other operands.
    pub(super) fn goes_to(&mut self, block: BlockId, arguments: Vec<ValueId>) {
        self.successors.push(Successor { block, arguments });
    }

    /// Gives the successors their arguments: so many each, from operand `first` on.
    pub(super) fn pass(&mut self, first: usize, counts: &[usize]) -> bool {
        let mut rest = self.operands.get(first..).unwrap_or_default();
        if counts.len() != self.successors.len() {
            return false;
        }
        for (successor, &count) in self.successors.iter_mut().zip(counts) {
            let Some((arguments, others)) = rest.split_at_checked(count) else { return false };
            successor.arguments = arguments.to_vec();
            rest = others;
        }
        rest.is_empty()
    }
}

/// `%a` or `%a:2` before the `=`.
type Named<'s> = Vec<(Token<'s>, usize)>;

impl<'s> Parser<'s> {
    /// The whole text: what stands in its module, or all of it if there is none.
    pub(super) fn file(&mut self) -> Parsed<Vec<Op>> {
        self.enter_region(Visibility::Isolated);
        let mut ops = Vec::new();
        while !self.at_kind(Kind::End) {
            match self.token.kind {
                Kind::Hash | Kind::Bang => self.alias()?,
                Kind::Punctuation if self.at("{-#") => self.skip_resources()?,
                _ => ops.push(self.operation()?),
            }
        }
        self.leave_region()?;
        match ops.as_mut_slice() {
            [only] if only.name == "builtin.module" => Ok(std::mem::take(&mut only.regions)
                .into_iter()
                .flat_map(|region| region.blocks)
                .flat_map(|block: Block| block.ops)
                .collect()),
            _ => Ok(ops),
        }
    }

    /// `#name = attribute` or `!name = type`.
    fn alias(&mut self) -> Parsed<()> {
        let name = self.advance();
        if name.text.contains('.') {
            return Err(self.error(
                name.span(),
                format!(
                    "`{}` cannot be defined here: names with a dot belong to a dialect",
                    name.text
                ),
                "choose a name without a dot",
            ));
        }
        self.expect("=")?;
        let start = self.token.start;
        let before = self.aliased;
        if name.kind == Kind::Hash && self.at("loc") {
            return self.skip_location();
        }
        let known = self.attribute_aliases.contains_key(name.text)
            || self.type_aliases.contains_key(name.text);
        if known {
            let message = format!("`{}` is already defined", name.text);
            return Err(self.error(name.span(), message, "give one of the two another name"));
        }
        if name.kind == Kind::Hash {
            let attribute = self.attribute()?;
            let bytes = (self.token.start - start) as usize + self.aliased - before;
            self.attribute_aliases.insert(name.text, (attribute, bytes));
        } else {
            let ty = self.ty()?;
            let bytes = (self.token.start - start) as usize + self.aliased - before;
            self.type_aliases.insert(name.text, (ty, bytes));
        }
        Ok(())
    }

    /// `{-# … #-}`: data that attributes of other dialects refer to.
    fn skip_resources(&mut self) -> Parsed<()> {
        let open = self.token;
        while !self.at("#-}") {
            if self.at_kind(Kind::End) {
                return Err(self.error(open.span(), "`{-#` is not closed by `#-}`", ""));
            }
            self.advance();
        }
        self.advance();
        Ok(())
    }

    /// An operation with its results and its location.
    pub(super) fn operation(&mut self) -> Parsed<Op> {
        let names = self.result_names()?;
        let mut draft = match self.token.kind {
            Kind::String => self.generic()?,
            Kind::Word => self.pretty()?,
            _ => return Err(self.expected("an operation")),
        };
        self.skip_location()?;
        self.check_attributes(&draft)?;
        let results = self.define_results(names, &mut draft)?;
        Ok(Op {
            name: draft.name,
            span: draft.span,
            results,
            operands: draft.operands,
            attributes: draft.attributes,
            regions: draft.regions,
            successors: draft.successors,
        })
    }

    fn result_names(&mut self) -> Parsed<Named<'s>> {
        let mut names = Vec::new();
        if !self.at_kind(Kind::Value) {
            return Ok(names);
        }
        loop {
            let name = self.expect_kind(Kind::Value, "the name of a result `%…`")?;
            self.check_name(name)?;
            let mut count = 1;
            if self.eat(":") {
                let token = self.token;
                let given = self.small_integer()?;
                count = match usize::try_from(given) {
                    Ok(count) if count > 0 => count,
                    _ => {
                        let message = "expected a number of results, 1 or more";
                        return Err(self.error(token.span(), message, ""));
                    }
                };
            }
            names.push((name, count));
            if !self.eat(",") {
                break;
            }
        }
        self.expect("=")?;
        Ok(names)
    }

    pub(super) fn check_name(&self, name: Token<'s>) -> Parsed<()> {
        if name.text.len() > LONGEST_NAME {
            return Err(self.error(
                name.span(),
                format!("this name is longer than {LONGEST_NAME} bytes"),
                "give the value a shorter name",
            ));
        }
        Ok(())
    }

    fn define_results(&mut self, names: Named<'s>, draft: &mut Draft<'s>) -> Parsed<Vec<ValueId>> {
        let types = std::mem::take(&mut draft.results);
        if names.is_empty() {
            return Ok(types.into_iter().map(|ty| self.define_unnamed(ty, draft.span)).collect());
        }
        let named = names.iter().fold(0_usize, |sum, (_, count)| sum.saturating_add(*count));
        if let (Some((first, _)), true) = (names.first(), named != types.len()) {
            return Err(self.error(
                first.span(),
                format!("`{}` has {} results, but {named} are named", draft.name, types.len()),
                "name each result, or none",
            ));
        }
        let mut types = types.into_iter();
        let mut results = Vec::with_capacity(named);
        for (name, count) in names {
            for (number, ty) in (0..).zip(types.by_ref().take(count)) {
                results.push(self.define(name, number, count, ty)?);
            }
        }
        Ok(results)
    }

    /// Sorts the attributes; each may be there once.
    fn check_attributes(&self, draft: &Draft<'s>) -> Parsed<()> {
        match draft.attributes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(self.error(
                draft.span,
                format!("`{}` has the attribute `{}` twice", draft.name, pair[0].0),
                "leave one of the two out",
            )),
            None => Ok(()),
        }
    }

    /// Looks the named operands up.
    pub(super) fn resolve(&mut self, draft: &mut Draft<'s>) -> Parsed<()> {
        draft.untyped.clear();
        for one in std::mem::take(&mut draft.pending) {
            let span = one.token.span();
            let ty = match one.ty.or_else(|| self.type_of(one.token.text, one.number).cloned()) {
                Some(ty) => ty,
                None => {
                    let message = format!("`{}` is not defined before this", one.token.text);
                    return Err(self.error(span, message, "move its definition up"));
                }
            };
            let id = self.use_value(one.token.text, one.number, span, &ty)?;
            draft.operands.push(id);
        }
        Ok(())
    }

    fn pretty(&mut self) -> Parsed<Draft<'s>> {
        let token = self.advance();
        let name = if token.text.contains('.') || self.default_dialect.is_empty() {
            token.text.to_owned()
        } else {
            format!("{}.{}", self.default_dialect, token.text)
        };
        let Some(form) = dialect::form(&name) else {
            return Err(dialect::unknown(self, token));
        };
        let mut draft = Draft::new(form.name.to_owned(), token.span());
        self.form(form, &mut draft)?;
        self.finish(Some(form), draft)
    }

    fn finish(&mut self, form: Option<&'static Form>, mut draft: Draft<'s>) -> Parsed<Draft<'s>> {
        if let Some(form) = form {
            let outer = self.form.replace(form);
            self.complete(form, &mut draft)?;
            self.form = outer;
        }
        draft.attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(draft)
    }

    /// `"name"(operands)[successors] <{properties}> (regions) {attributes} : type`.
    fn generic(&mut self) -> Parsed<Draft<'s>> {
        let token = self.advance();
        let name = unquote(token.text);
        let form = dialect::form(&name);
        let outer = self.form.take();
        let name = form.map_or(name, |form| form.name.to_owned());
        let mut draft = Draft::new(name, token.span());
        self.expect("(")?;
        self.list(")", |p| p.operand(&mut draft, None))?;
        if self.eat("[") {
            self.list("]", |p| {
                let label = p.expect_kind(Kind::Caret, "a block `^…`")?;
                let block = p.label(label);
                draft.goes_to(block, Vec::new());
                Ok(())
            })?;
        }
        if self.eat("<") {
            draft.attributes = self.dictionary()?;
            self.expect(">")?;
        }
        if self.eat("(") {
            let visibility = form.map_or(Visibility::Unknown, |form| form.visibility);
            draft.regions = self.list(")", |p| p.generic_region(visibility))?;
        }
        let entries = self.optional_dictionary()?;
        draft.attributes.extend(entries);
        self.expect(":")?;
        let at = self.token;
        let (inputs, results) = self.signature()?;
        if inputs.len() != draft.pending.len() {
            return Err(self.error(
                at.span(),
                format!("{} operands have {} types", draft.pending.len(), inputs.len()),
                "give each operand its type",
            ));
        }
        for ty in inputs {
            draft.type_next(ty);
        }
        draft.results = results;
        self.resolve(&mut draft)?;
        self.form = outer;
        self.finish(form, draft)
    }
}
