//! Literals of numbers.

use half::{bf16, f16};

use super::lexer::Kind;
use super::{Parsed, Parser};
use crate::text::{Float, Span, Type};

/// A number as it is written, before a type gives it its meaning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal<'s> {
    negative: bool,
    digits: &'s str,
    decimal: bool,
    span: Span,
}

impl Literal<'_> {
    /// Whether it has a decimal point.
    pub(super) fn is_decimal(&self) -> bool {
        self.decimal
    }
}

impl<'s> Parser<'s> {
    pub(super) fn at_number(&self) -> bool {
        matches!(self.token.kind, Kind::Integer | Kind::Float) || self.at("-")
    }

    /// `12`, `-0x1F`, `1.5e3`.
    pub(super) fn literal(&mut self) -> Parsed<Literal<'s>> {
        let start = self.token.start;
        let negative = self.eat("-");
        if !matches!(self.token.kind, Kind::Integer | Kind::Float) {
            return Err(self.expected("a number"));
        }
        let decimal = self.at_kind(Kind::Float);
        let token = self.advance();
        let span = Span { start, end: token.end() };
        Ok(Literal { negative, digits: token.text, decimal, span })
    }

    /// An integer of any size that fits.
    pub(super) fn integer_value(&self, literal: &Literal<'_>) -> Parsed<i128> {
        if literal.decimal {
            return Err(self.error(
                literal.span,
                "expected an integer, but this is a fraction",
                "",
            ));
        }
        let parsed = match literal.digits.strip_prefix("0x") {
            Some(hex) => i128::from_str_radix(hex, 16),
            None => literal.digits.parse(),
        };
        match parsed {
            Ok(value) if literal.negative => Ok(-value),
            Ok(value) => Ok(value),
            Err(_) => Err(self.error(
                literal.span,
                "this number has more than 127 bits",
                "no type of this dialect holds it",
            )),
        }
    }

    /// An integer of a type: the unsigned spelling of a negative one, as `255 : i8`, is that one.
    pub(super) fn typed_integer(&self, literal: &Literal<'_>, ty: &Type) -> Parsed<i128> {
        let value = self.integer_value(literal)?;
        let (width, unsigned) = match ty {
            Type::Integer { width, unsigned } => (*width, *unsigned),
            _ => (64, false),
        };
        if width > 126 {
            return Ok(value);
        }
        let (low, high) = match (width, unsigned) {
            (0, _) => (0, 0),
            (width, true) => (0, (1_i128 << width) - 1),
            (width, false) => (-(1_i128 << (width - 1)), (1_i128 << width) - 1),
        };
        if value < low || value > high {
            return Err(self.error(
                literal.span,
                format!("{value} is out of the range of {ty}"),
                format!("{ty} holds {low} to {high}"),
            ));
        }
        let wraps = !unsigned && width > 0 && value >= 1_i128 << (width - 1);
        Ok(if wraps { value - (1_i128 << width) } else { value })
    }

    /// A floating-point number of a type: rounded to it, or its bits in hexadecimal.
    pub(super) fn typed_float(&self, literal: &Literal<'_>, float: Float) -> Parsed<f64> {
        if literal.decimal {
            // The lexer's decimals are a subset of Rust's.
            let value = literal.digits.parse::<f64>().unwrap_or(f64::NAN);
            return Ok(round(if literal.negative { -value } else { value }, float));
        }
        let bits = match literal.digits.strip_prefix("0x") {
            Some(hex) if !literal.negative => u64::from_str_radix(hex, 16).ok(),
            _ => None,
        };
        match bits.filter(|&bits| float_bits(float) == 64 || bits >> float_bits(float) == 0) {
            Some(bits) => Ok(from_bits(bits, float)),
            None => Err(self.error(
                literal.span,
                format!("expected a number of type {}, but this is an integer", Type::Float(float)),
                "write it with a decimal point, or its bits in hexadecimal",
            )),
        }
    }
}

fn float_bits(float: Float) -> u32 {
    match float {
        Float::F16 | Float::Bf16 => 16,
        Float::F32 => 32,
        Float::F64 => 64,
    }
}

/// The value with these bits.
pub(super) fn from_bits(bits: u64, float: Float) -> f64 {
    match float {
        Float::F16 => f16::from_bits(bits as u16).to_f64(),
        Float::Bf16 => bf16::from_bits(bits as u16).to_f64(),
        Float::F32 => f64::from(f32::from_bits(bits as u32)),
        Float::F64 => f64::from_bits(bits),
    }
}

fn round(value: f64, float: Float) -> f64 {
    match float {
        Float::F16 => f16::from_f64(value).to_f64(),
        Float::Bf16 => bf16::from_f64(value).to_f64(),
        Float::F32 => f64::from(value as f32),
        Float::F64 => value,
    }
}
