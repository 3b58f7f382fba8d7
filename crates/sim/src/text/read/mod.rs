//! Reads the text of a design.
//!
//! A descent over tokens: [`lexer`] finds the words, [`scope`] says which value or block a name
//! means, [`operation`] and [`region`] read what every dialect shares, [`form`] the pretty forms
//! that the tables in [`dialect`] describe.

mod affine;
mod attributes;
mod dense;
mod dialect;
mod form;
mod lexer;
mod numbers;
mod operation;
mod region;
mod scope;
mod types;

use std::collections::HashMap;

use self::form::Form;
use self::lexer::{Kind, Token};
use self::scope::Scopes;
use super::{Attribute, DesignError, Module, Source, Span, Type, Value};

type Parsed<T> = Result<T, DesignError>;

/// Regions, attributes and types within each other; MLIR itself has no limit, designs need ten.
const DEEPEST: u32 = 64;
/// Bytes of text that aliases may stand for in total: aliases of aliases grow exponentially.
const MOST_ALIASED: usize = 1 << 24;
/// Bytes of the name of a value, which each result of an operation repeats.
const LONGEST_NAME: usize = 255;

/// Reads a design.
///
/// Operations of the dialects `aie`, `aiex`, `affine`, `arith`, `builtin`, `cf`, `func`, `math`,
/// `memref`, `scf` and `vector` may stand in their pretty or in their generic form and come out
/// the same; those of other dialects only in the generic one. What `aie-opt` leaves out of one form
/// or the other (default values, implicit terminators) is always there, or, for optional
/// attributes at their default, never; attributes are sorted by name. Whether an operation makes
/// sense is not asked here.
///
/// # Errors
/// What was expected where, and what stands there instead.
pub fn parse(source: &Source) -> Result<Module, DesignError> {
    let text = source.text();
    if u32::try_from(text.len()).is_err() {
        return Err(source.error(
            Span::default(),
            "this text is longer than 4 GiB",
            "split the design",
        ));
    }
    let mut parser = Parser::new(source);
    let body = parser.file()?;
    Ok(Module { source: source.clone(), body, values: parser.values })
}

/// The state of reading.
struct Parser<'s> {
    source: &'s Source,
    text: &'s str,
    /// The token that stands next.
    token: Token<'s>,
    depth: u32,
    values: Vec<Value>,
    scopes: Scopes<'s>,
    /// `#name`s, with the bytes of text that each stands for.
    attribute_aliases: HashMap<&'s str, (Attribute, usize)>,
    type_aliases: HashMap<&'s str, (Type, usize)>,
    aliased: usize,
    /// The pretty operation that is being read: its syntax is the help of errors within.
    form: Option<&'static Form>,
    /// The dialect of operations without a prefix.
    default_dialect: &'static str,
}

impl<'s> Parser<'s> {
    fn new(source: &'s Source) -> Self {
        let text = source.text();
        Self {
            source,
            text,
            token: lexer::token_at(text, 0),
            depth: 0,
            values: Vec::new(),
            scopes: Scopes::default(),
            attribute_aliases: HashMap::new(),
            type_aliases: HashMap::new(),
            aliased: 0,
            form: None,
            default_dialect: "builtin",
        }
    }

    /// Takes the token that stands next.
    fn advance(&mut self) -> Token<'s> {
        let taken = self.token;
        self.jump(taken.end());
        taken
    }

    /// Goes on with the token at or after a byte.
    fn jump(&mut self, at: u32) {
        self.token = lexer::token_at(self.text, at as usize);
    }

    /// The token after the next.
    fn second(&self) -> Token<'s> {
        lexer::token_at(self.text, self.token.end() as usize)
    }

    fn at_kind(&self, kind: Kind) -> bool {
        self.token.kind == kind
    }

    /// Whether a keyword or punctuation stands next.
    fn at(&self, text: &str) -> bool {
        matches!(self.token.kind, Kind::Word | Kind::Punctuation) && self.token.text == text
    }

    /// Takes a keyword or punctuation if it stands next.
    fn eat(&mut self, text: &str) -> bool {
        let there = self.at(text);
        if there {
            self.advance();
        }
        there
    }

    /// Takes a keyword or punctuation.
    fn expect(&mut self, text: &str) -> Parsed<Token<'s>> {
        if self.at(text) { Ok(self.advance()) } else { Err(self.expected(&format!("`{text}`"))) }
    }

    /// Takes a token of a kind; `what` names it in the error.
    fn expect_kind(&mut self, kind: Kind, what: &str) -> Parsed<Token<'s>> {
        if self.at_kind(kind) { Ok(self.advance()) } else { Err(self.expected(what)) }
    }

    /// Something else stands next than was expected.
    fn expected(&self, what: &str) -> DesignError {
        self.error(
            self.token.span(),
            format!("expected {what}, but {}", self.token.describe()),
            String::new(),
        )
    }

    /// An error; without a help of its own it shows how the operation at hand is written.
    fn error(
        &self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> DesignError {
        let mut help = help.into();
        if help.is_empty() {
            help = self.form.map_or_else(String::new, Form::help);
        }
        if help.is_empty() {
            help = "the text must be MLIR as `aie-opt` prints it, pretty or generic".to_owned();
        }
        self.source.error(span, message, help)
    }

    /// Reads something that may contain its like, but not without end.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST {
            return Err(self.error(
                self.token.span(),
                format!("this is nested more than {DEEPEST} levels deep"),
                "designs that people write need about ten levels: flatten this one",
            ));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Reads items with commas in between, up to a closing token, which is taken.
    fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(close) {
                return Ok(items);
            }
            if !self.eat(",") {
                return Err(self.expected(&format!("`,` or `{close}`")));
            }
        }
    }

    /// Skips `loc(…)` if it stands next: places in some other text.
    fn skip_location(&mut self) -> Parsed<()> {
        if self.at("loc") && self.second().text == "(" {
            self.advance();
            self.skip_balanced()?;
        }
        Ok(())
    }

    /// Skips from an opening bracket to its closing one.
    fn skip_balanced(&mut self) -> Parsed<()> {
        let open = self.token;
        let mut level = 0_u32;
        loop {
            match self.token.text {
                "(" | "[" | "{" | "<" if self.at_kind(Kind::Punctuation) => level += 1,
                ")" | "]" | "}" | ">" if self.at_kind(Kind::Punctuation) => {
                    level = level.saturating_sub(1);
                }
                // A character that means nothing here may mean something to another dialect.
                _ if self.at_kind(Kind::End)
                    || self.at_kind(Kind::Invalid) && self.token.text.starts_with('"') =>
                {
                    return Err(self.error(
                        open.span(),
                        format!("`{}` is not closed before {}", open.text, self.token.describe()),
                        "",
                    ));
                }
                _ => {}
            }
            self.advance();
            if level == 0 {
                return Ok(());
            }
        }
    }
}
