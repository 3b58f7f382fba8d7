//! Words of the text.
//!
//! Read one at a time, because what `4x8xi8` consists of depends on where it stands.

use winnow::ascii::{digit0, digit1, hex_digit1};
use winnow::combinator::{alt, dispatch, fail, opt, peek, preceded, repeat};
use winnow::error::EmptyError;
use winnow::prelude::*;
use winnow::token::{any, none_of, one_of, take_till, take_while};

use crate::text::Span;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `aie.tile`, `memref`, `i32`.
    Word,
    /// `%a`.
    Value,
    /// `@a` or `@"a b"`.
    Symbol,
    /// `#a`.
    Hash,
    /// `!a`.
    Bang,
    /// `^a`.
    Caret,
    /// `12` or `0xC`.
    Integer,
    /// `1.5e3`.
    Float,
    /// `"a"`, with the quotes.
    String,
    /// Anything of a fixed spelling.
    Punctuation,
    /// The end of the text.
    End,
    /// A character, or an unclosed string, that means nothing here.
    Invalid,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    pub(super) text: &'s str,
    pub(super) start: u32,
}

impl Token<'_> {
    /// One past its last byte.
    pub(super) fn end(&self) -> u32 {
        self.start + self.text.len() as u32
    }

    pub(super) fn span(&self) -> Span {
        Span { start: self.start, end: self.end() }
    }

    /// How a message names it.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            Kind::End => "the text ends".to_owned(),
            Kind::Invalid if self.text.starts_with('"') => {
                "a string stands here that is not closed on its line".to_owned()
            }
            _ => {
                let shown: String = self.text.chars().take(40).collect();
                let dots = if shown.len() < self.text.len() { "…" } else { "" };
                format!("`{shown}{dots}` stands here")
            }
        }
    }
}

type Lexed<O> = Result<O, EmptyError>;

/// The token at or after a byte of the text.
pub(super) fn token_at(text: &str, at: usize) -> Token<'_> {
    let mut rest = text.get(at..).unwrap_or_default();
    // Neither fails: `trivia` accepts nothing, and `token` ends in "any character".
    let _ = trivia(&mut rest);
    let start = (text.len() - rest.len()) as u32;
    match token(&mut rest) {
        Ok((kind, text)) => Token { kind, text, start },
        Err(_) => Token { kind: Kind::End, text: "", start },
    }
}

fn trivia(input: &mut &str) -> Lexed<()> {
    let space = take_while(1.., [' ', '\t', '\n', '\r']).void();
    let comment = ("//", take_till(0.., '\n')).void();
    repeat(0.., alt((space, comment))).parse_next(input)
}

fn token<'s>(input: &mut &'s str) -> Lexed<(Kind, &'s str)> {
    let meant = dispatch! {peek(any);
        'a'..='z' | 'A'..='Z' | '_' => bare.map(|text| (Kind::Word, text)),
        '%' => prefixed.map(|text| (Kind::Value, text)),
        '0'..='9' => number,
        '"' => string.map(|text| (Kind::String, text)),
        '@' => ('@', alt((bare, string))).take().map(|text| (Kind::Symbol, text)),
        '#' => alt((prefixed.map(|text| (Kind::Hash, text)), punctuation)),
        '!' => prefixed.map(|text| (Kind::Bang, text)),
        '^' => prefixed.map(|text| (Kind::Caret, text)),
        _ => punctuation,
    };
    let meaningless =
        alt((('"', take_till(0.., '\n')).take(), any.take())).map(|text| (Kind::Invalid, text));
    alt((meant, meaningless)).parse_next(input)
}

fn bare<'s>(input: &mut &'s str) -> Lexed<&'s str> {
    (
        one_of(|c: char| c.is_ascii_alphabetic() || c == '_'),
        take_while(0.., |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.')),
    )
        .take()
        .parse_next(input)
}

/// A sigil, then only digits or a name that begins with none.
fn prefixed<'s>(input: &mut &'s str) -> Lexed<&'s str> {
    let name = (
        one_of(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$' | '.' | '-')),
        take_while(0.., |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.' | '-')),
    )
        .take();
    (any, alt((digit1, name))).take().parse_next(input)
}

fn number<'s>(input: &mut &'s str) -> Lexed<(Kind, &'s str)> {
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1);
    alt((
        ("0x", hex_digit1).take().map(|text| (Kind::Integer, text)),
        (digit1, '.', digit0, opt(exponent)).take().map(|text| (Kind::Float, text)),
        digit1.map(|text| (Kind::Integer, text)),
    ))
    .parse_next(input)
}

fn string<'s>(input: &mut &'s str) -> Lexed<&'s str> {
    let plain = take_while(1.., |c: char| !matches!(c, '"' | '\\' | '\n')).void();
    let escaped = preceded('\\', none_of('\n')).void();
    let inside = repeat::<_, _, (), _, _>(0.., alt((plain, escaped)));
    ('"', inside, '"').take().parse_next(input)
}

fn punctuation<'s>(input: &mut &'s str) -> Lexed<(Kind, &'s str)> {
    let single = one_of([
        ':', ',', '=', '>', '{', '(', '[', '-', '<', '+', '?', '}', ')', ']', '*', '/', '|',
    ])
    .take();
    alt(("->", "::", "...", "{-#", "#-}", "==", ">=", single, fail))
        .map(|text| (Kind::Punctuation, text))
        .parse_next(input)
}

/// The content of a string literal.
pub(super) fn unquote(literal: &str) -> String {
    let inner =
        literal.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(literal);
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let hex = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, taken) = match (hex, escape.as_bytes().first()) {
            (Some(byte), _) => (byte, 2),
            (None, Some(b'n')) => (b'\n', 1),
            (None, Some(b't')) => (b'\t', 1),
            (None, Some(&other)) if other.is_ascii() => (other, 1),
            (None, _) => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &escape[taken..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}
