//! Pretty forms, described by tables.
//!
//! A [`Form`] says of one operation what its ODS definition says: the syntax piece by piece, and
//! what both forms leave unsaid. One interpreter reads them all; what a table cannot say is a
//! function in it. The same table writes the help of errors.

use super::lexer::{Kind, Token, unquote};
use super::operation::Draft;
use super::scope::Visibility;
use super::{Parsed, Parser};
use crate::text::enums::Enumeration;
use crate::text::{Attribute, Symbol, Type};

/// A custom part of a syntax.
pub(super) type Custom = for<'s> fn(&mut Parser<'s>, &mut Draft<'s>) -> Parsed<()>;

/// A piece of the syntax of an operation.
#[derive(Clone, Copy)]
pub(super) enum Piece {
    /// Punctuation or a keyword.
    T(&'static str),
    /// An operand of the type `index`.
    Index(&'static str),
    /// An operand of the type `i1`.
    Flag(&'static str),
    /// An operand whose type comes later.
    Value(&'static str),
    /// Any number of these, with commas.
    Values(&'static str),
    /// `[…]` with any number of operands of the type `index`.
    Indices(&'static str),
    /// The type of the first operand without one.
    Type,
    /// The types of all operands without one, with commas.
    Types,
    /// One type: that of all operands without one, and of the result.
    Same,
    /// The type of a result.
    Result,
    /// An integer attribute of so many bits.
    Int(&'static str, u32),
    /// The same, unsigned.
    Unsigned(&'static str, u32),
    /// `true` or `false`.
    Bool(&'static str),
    /// A case of an enumeration.
    Case(&'static str, &'static Enumeration),
    /// `@name` that is defined here.
    Name(&'static str),
    /// `@name` of something else.
    Reference(&'static str),
    /// `"text"`.
    Quoted(&'static str),
    /// Any attribute.
    Any(&'static str),
    /// `{name = value}` or nothing.
    Dictionary,
    /// `attributes {name = value}` or nothing.
    Attributes,
    /// A region.
    Body,
    /// `^block`.
    Successor(&'static str),
    /// All of these, or none.
    Maybe(&'static [Piece]),
    /// What a function reads, and how help writes it.
    Read(&'static str, Custom),
}

/// A value that an attribute has when it is not written.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Int(i128),
    Bool(bool),
    Text(&'static str),
    Other(&'static str),
    NoDimensions,
    NoArray,
}

impl Value {
    fn attribute(self) -> Attribute {
        match self {
            Self::Int(value) => Attribute::Integer(value),
            Self::Bool(value) => Attribute::Bool(value),
            Self::Text(text) => Attribute::String(text.to_owned()),
            Self::Other(text) => Attribute::Other(text.to_owned()),
            Self::NoDimensions => Attribute::Dimensions(Vec::new()),
            Self::NoArray => Attribute::Array(Vec::new()),
        }
    }
}

/// What is known of an operation.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) name: &'static str,
    pieces: &'static [Piece],
    /// The type of its only result, when that is always the same.
    result: Option<fn() -> Type>,
    fills: &'static [(&'static str, Value)],
    drops: &'static [(&'static str, Value)],
    pub(super) ends: Option<&'static str>,
    pub(super) visibility: Visibility,
    pub(super) default_dialect: &'static str,
    after: Option<Custom>,
}

/// An operation with this syntax.
pub(super) const fn op(name: &'static str, pieces: &'static [Piece]) -> Form {
    Form {
        name,
        pieces,
        result: None,
        fills: &[],
        drops: &[],
        ends: None,
        visibility: Visibility::Open,
        default_dialect: "",
        after: None,
    }
}

impl Form {
    /// It has one result of the type `index`.
    pub(super) const fn gives_index(mut self) -> Self {
        self.result = Some(|| Type::Index);
        self
    }

    /// It has one result of the type `i1`.
    pub(super) const fn gives_flag(mut self) -> Self {
        self.result = Some(|| Type::Integer { width: 1, unsigned: false });
        self
    }

    /// Attributes that are always there, and what they are by default.
    pub(super) const fn fills(mut self, fills: &'static [(&'static str, Value)]) -> Self {
        self.fills = fills;
        self
    }

    /// Attributes that are optional and mean nothing when they have this value.
    pub(super) const fn drops(mut self, drops: &'static [(&'static str, Value)]) -> Self {
        self.drops = drops;
        self
    }

    /// Its block ends in this terminator, written or not.
    pub(super) const fn ends(mut self, terminator: &'static str) -> Self {
        self.ends = Some(terminator);
        self
    }

    /// Values from outside are not visible inside; names without a dialect belong to this one.
    pub(super) const fn isolated(mut self, default_dialect: &'static str) -> Self {
        self.visibility = Visibility::Isolated;
        self.default_dialect = default_dialect;
        self
    }

    /// What to do with the operation when it is read, in whichever form.
    pub(super) const fn then(mut self, after: Custom) -> Self {
        self.after = Some(after);
        self
    }

    /// How the operation is written.
    pub(super) fn help(&self) -> String {
        let mut syntax = self.name.to_owned();
        describe(self.pieces, &mut syntax);
        format!("the syntax is `{syntax}`; the generic form `\"{}\"(…) …` works too", self.name)
    }
}

fn describe(pieces: &[Piece], out: &mut String) {
    for piece in pieces {
        let text = match *piece {
            Piece::T(text) => text.to_owned(),
            Piece::Index(name) | Piece::Flag(name) | Piece::Value(name) => format!("%{name}"),
            Piece::Values(name) => format!("%{name}, …"),
            Piece::Indices(name) => format!("[%{name}, …]"),
            Piece::Type | Piece::Same | Piece::Result => "type".to_owned(),
            Piece::Types => "type, …".to_owned(),
            Piece::Int(name, _) | Piece::Unsigned(name, _) | Piece::Bool(name) => {
                format!("<{name}>")
            }
            Piece::Any(name) => format!("<{name}>"),
            Piece::Case(_, cases) => cases.names(),
            Piece::Name(name) | Piece::Reference(name) => format!("@{name}"),
            Piece::Quoted(name) => format!("\"{name}\""),
            Piece::Dictionary => "{attributes}".to_owned(),
            Piece::Attributes => "attributes {…}".to_owned(),
            Piece::Body => "{ … }".to_owned(),
            Piece::Successor(name) => format!("^{name}"),
            Piece::Read(syntax, _) => syntax.to_owned(),
            Piece::Maybe(pieces) => {
                let mut inner = String::new();
                describe(pieces, &mut inner);
                format!("[{}]", inner.trim())
            }
        };
        let tight = matches!(text.as_str(), ")" | "," | "]" | ">" | "(" | "<")
            || out.ends_with(['(', '[', '<']);
        if !tight && !text.is_empty() {
            out.push(' ');
        }
        out.push_str(&text);
    }
}

impl<'s> Parser<'s> {
    /// Reads an operation after its name.
    pub(super) fn form(&mut self, form: &'static Form, draft: &mut Draft<'s>) -> Parsed<()> {
        let outer = self.form.replace(form);
        self.pieces(form.pieces, form, draft)?;
        self.resolve(draft)?;
        self.form = outer;
        if let Some(result) = form.result {
            draft.results.push(result());
        }
        Ok(())
    }

    /// What both forms leave unsaid.
    pub(super) fn complete(&mut self, form: &Form, draft: &mut Draft<'s>) -> Parsed<()> {
        for (name, value) in form.fills {
            if draft.attribute(name).is_none() {
                draft.set(name, value.attribute());
            }
        }
        if !form.drops.is_empty() {
            draft.attributes.retain(|(key, found)| {
                !form.drops.iter().any(|(name, value)| name == key && value.attribute() == *found)
            });
        }
        match form.after {
            Some(after) => after(self, draft),
            None => Ok(()),
        }
    }

    fn pieces(
        &mut self,
        pieces: &'static [Piece],
        form: &'static Form,
        draft: &mut Draft<'s>,
    ) -> Parsed<()> {
        pieces.iter().try_for_each(|piece| self.piece(piece, form, draft))
    }

    fn piece(
        &mut self,
        piece: &'static Piece,
        form: &'static Form,
        draft: &mut Draft<'s>,
    ) -> Parsed<()> {
        match *piece {
            Piece::T(text) => self.expect(text).map(drop),
            Piece::Index(_) => self.operand(draft, Some(Type::Index)),
            Piece::Flag(_) => {
                self.operand(draft, Some(Type::Integer { width: 1, unsigned: false }))
            }
            Piece::Value(_) => self.operand(draft, None),
            Piece::Values(_) => self.operands(draft),
            Piece::Indices(_) => self.indices(draft),
            Piece::Type => {
                let ty = self.ty()?;
                draft.type_next(ty);
                Ok(())
            }
            Piece::Types => self.operand_types(draft),
            Piece::Same => {
                let ty = self.ty()?;
                draft.type_all(&ty);
                draft.results.push(ty);
                Ok(())
            }
            Piece::Result => {
                let ty = self.ty()?;
                draft.results.push(ty);
                Ok(())
            }
            Piece::Body => {
                self.resolve(draft)?;
                let region = self.region(Vec::new(), form)?;
                draft.regions.push(region);
                Ok(())
            }
            Piece::Dictionary => {
                let entries = self.optional_dictionary()?;
                draft.attributes.extend(entries);
                Ok(())
            }
            Piece::Attributes => {
                if self.eat("attributes") {
                    let entries = self.dictionary()?;
                    draft.attributes.extend(entries);
                }
                Ok(())
            }
            Piece::Successor(_) => {
                let token = self.expect_kind(Kind::Caret, "a block `^…`")?;
                let block = self.label(token);
                draft.goes_to(block, Vec::new());
                Ok(())
            }
            Piece::Maybe(pieces) => match pieces.first() {
                Some(first) if self.begins(first) => self.pieces(pieces, form, draft),
                _ => Ok(()),
            },
            Piece::Read(_, read) => read(self, draft),
            _ => self.attribute_piece(piece, draft),
        }
    }

    fn attribute_piece(&mut self, piece: &Piece, draft: &mut Draft<'s>) -> Parsed<()> {
        let (name, attribute) = match *piece {
            Piece::Int(name, width) => (name, self.sized_integer(width, false)?),
            Piece::Unsigned(name, width) => (name, self.sized_integer(width, true)?),
            Piece::Bool(name) => {
                if !self.at("true") && !self.at("false") {
                    return Err(self.expected("`true` or `false`"));
                }
                (name, Attribute::Bool(self.advance().text == "true"))
            }
            Piece::Case(name, cases) => (name, self.case(cases)?),
            Piece::Name(name) => (name, Attribute::String(self.symbol_name()?)),
            Piece::Reference(name) => {
                let symbol: Symbol = self.symbol_reference()?;
                (name, Attribute::Symbol(symbol))
            }
            Piece::Quoted(name) => {
                let token = self.expect_kind(Kind::String, "a string `\"…\"`")?;
                (name, Attribute::String(unquote(token.text)))
            }
            Piece::Any(name) => (name, self.attribute()?),
            _ => return Ok(()),
        };
        draft.set(name, attribute);
        Ok(())
    }

    /// Whether an optional group begins here.
    fn begins(&self, piece: &Piece) -> bool {
        match piece {
            Piece::T(text) => self.at(text),
            Piece::Name(_) | Piece::Reference(_) => self.at_kind(Kind::Symbol),
            Piece::Value(_) | Piece::Index(_) => self.at_kind(Kind::Value),
            Piece::Quoted(_) => self.at_kind(Kind::String),
            Piece::Body => self.at("{"),
            _ => false,
        }
    }

    /// An integer whose type the operation fixes; it may be written all the same.
    pub(super) fn sized_integer(&mut self, width: u32, unsigned: bool) -> Parsed<Attribute> {
        let ty = Type::Integer { width, unsigned };
        let literal = self.literal()?;
        if self.at(":") && self.second().text == ty.to_string() {
            self.advance();
            self.advance();
        }
        Ok(Attribute::Integer(self.typed_integer(&literal, &ty)?))
    }

    /// A case of an enumeration by name, or by the number that the generic form gives it.
    pub(super) fn case(&mut self, cases: &Enumeration) -> Parsed<Attribute> {
        if self.at_kind(Kind::Integer) {
            return self.sized_integer(32, false);
        }
        let name = match self.token.kind {
            Kind::Word => self.token.text.to_owned(),
            // A name that is no identifier stands in quotes.
            Kind::String => unquote(self.token.text),
            _ => String::new(),
        };
        match cases.number(&name) {
            Some(number) => {
                self.advance();
                Ok(Attribute::Integer(number))
            }
            None => Err(self.expected(&format!("{} ({})", cases.what, cases.names()))),
        }
    }

    /// `%a` or `%a#1`.
    pub(super) fn value_name(&mut self) -> Parsed<(Token<'s>, u32)> {
        let token = self.expect_kind(Kind::Value, "a value `%…`")?;
        let mut number = 0;
        if self.at_kind(Kind::Hash)
            && let Ok(given) = self.token.text[1..].parse()
        {
            number = given;
            self.advance();
        }
        Ok((token, number))
    }

    pub(super) fn operand(&mut self, draft: &mut Draft<'s>, ty: Option<Type>) -> Parsed<()> {
        let (token, number) = self.value_name()?;
        draft.uses(token, number, ty);
        Ok(())
    }

    /// Operands with commas in between, or none.
    pub(super) fn operands(&mut self, draft: &mut Draft<'s>) -> Parsed<()> {
        while self.at_kind(Kind::Value) {
            self.operand(draft, None)?;
            if !self.at(",") || self.second().kind != Kind::Value {
                return Ok(());
            }
            self.advance();
        }
        Ok(())
    }

    /// `[%i, %j]`; the number of indices.
    pub(super) fn indices(&mut self, draft: &mut Draft<'s>) -> Parsed<()> {
        self.expect("[")?;
        self.list("]", |p| p.operand(draft, Some(Type::Index))).map(drop)
    }

    /// Types for all operands without one.
    pub(super) fn operand_types(&mut self, draft: &mut Draft<'s>) -> Parsed<()> {
        let token = self.token;
        let missing = draft.untyped();
        let mut given = 0;
        while self.at_type() {
            let ty = self.ty()?;
            given += 1;
            if given > missing {
                break;
            }
            draft.type_next(ty);
            if !self.eat(",") {
                break;
            }
        }
        if given != missing {
            let message = format!("expected {missing} types, one for each operand before");
            return Err(self.error(token.span(), message, ""));
        }
        Ok(())
    }
}
