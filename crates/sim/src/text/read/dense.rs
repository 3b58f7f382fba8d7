//! `dense<…> : tensor<…>`.

use super::lexer::{Kind, unquote};
use super::numbers::{Literal, from_bits};
use super::{Parsed, Parser};
use crate::text::{Attribute, Dense, DenseElements, Span, Type};

/// Integers that a floating-point number of 64 bits holds exactly.
const EXACT: i128 = 1 << 53;

/// What stands between the angle brackets.
enum Content<'s> {
    Empty,
    Hex(&'s str, Span),
    /// One without brackets, or sizes of nested lists and all their elements.
    Elements(Option<Vec<u64>>, Vec<Element<'s>>),
}

enum Element<'s> {
    Bool(bool),
    Number(Literal<'s>),
}

impl<'s> Parser<'s> {
    /// `dense<…> : tensor<…>`, and its type; with a type given from outside, the `: tensor<…>` may be missing.
    pub(super) fn dense(&mut self, outer: Option<&Type>) -> Parsed<(Attribute, Type)> {
        let start = self.expect("dense")?;
        self.expect("<")?;
        let content = self.dense_content()?;
        let close = self.expect(">")?;
        let ty = match outer {
            Some(ty) if !self.at(":") => ty.clone(),
            _ => {
                self.expect(":")?;
                self.ty()?
            }
        };
        let span = Span { start: start.start, end: close.end() };
        let (shape, element) = match ty.clone() {
            Type::Tensor(shape, element) | Type::Vector(shape, element) => (shape, *element),
            // Initial values of objectfifos, in some versions.
            Type::MemRef(memref) if memref.elements().is_some() => {
                (memref.shape.iter().flatten().copied().collect(), memref.element)
            }
            other => {
                return Err(self.error(
                    span,
                    format!("expected constants of a tensor or vector type, but this is {other}"),
                    "give all sizes: `dense<0> : tensor<4xi32>`",
                ));
            }
        };
        let elements = self.dense_elements(content, &shape, &element, span)?;
        Ok((Attribute::Dense(Dense { shape, element, elements }), ty))
    }

    fn dense_content(&mut self) -> Parsed<Content<'s>> {
        if self.at(">") {
            return Ok(Content::Empty);
        }
        if self.at_kind(Kind::String) {
            let token = self.advance();
            return Ok(Content::Hex(token.text, token.span()));
        }
        let mut elements = Vec::new();
        if !self.at("[") {
            elements.push(self.dense_element()?);
            return Ok(Content::Elements(None, elements));
        }
        let mut lists = Lists::default();
        self.dense_list(&mut lists, 0, &mut elements)?;
        let shape = lists.sizes.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Content::Elements(Some(shape), elements))
    }

    /// One list, whose size must be that of the lists before it at the same depth.
    fn dense_list(
        &mut self,
        lists: &mut Lists,
        depth: usize,
        elements: &mut Vec<Element<'s>>,
    ) -> Parsed<()> {
        let open = self.expect("[")?;
        if lists.sizes.len() == depth {
            lists.sizes.push(None);
        }
        let mut count = 0_u64;
        while !self.at("]") {
            let token = self.token;
            let leaf = !self.at("[");
            if leaf {
                elements.push(self.dense_element()?);
            } else {
                self.nested(|p| p.dense_list(lists, depth + 1, elements))?;
            }
            if *lists.depth.get_or_insert(depth) != depth && leaf
                || !leaf && lists.depth == Some(depth)
            {
                return Err(self.error(token.span(), "these lists are not equally deep", ""));
            }
            count += 1;
            if !self.at("]") && !self.eat(",") {
                return Err(self.expected("`,` or `]`"));
            }
        }
        self.expect("]")?;
        match lists.sizes.get_mut(depth) {
            Some(Some(size)) if *size != count => {
                let message = format!("this list has {count} elements, the one before it {size}");
                Err(self.error(open.span(), message, "give all lists of a depth the same size"))
            }
            Some(size) => {
                *size = Some(count);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn dense_element(&mut self) -> Parsed<Element<'s>> {
        if self.eat("true") {
            return Ok(Element::Bool(true));
        }
        if self.eat("false") {
            return Ok(Element::Bool(false));
        }
        if !self.at_number() {
            return Err(self.expected("a number, `true`, `false` or `[`"));
        }
        Ok(Element::Number(self.literal()?))
    }

    fn dense_elements(
        &self,
        content: Content<'s>,
        shape: &[u64],
        element: &Type,
        span: Span,
    ) -> Parsed<DenseElements> {
        let count = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
        let Some(count) = count else {
            return Err(self.error(span, "this type has more than 2^64 elements", ""));
        };
        match content {
            Content::Hex(literal, at) => self.dense_hex(literal, at, count, element),
            Content::Empty if count == 0 => Ok(DenseElements::Each(Vec::new())),
            Content::Empty => Err(self.error(span, format!("{count} elements are missing"), "")),
            Content::Elements(None, elements) => {
                let Some(only) = elements.first() else {
                    return Ok(DenseElements::Each(Vec::new()));
                };
                let value = self.dense_value(only, element, span)?;
                if value.is_exact() {
                    return Ok(DenseElements::Splat(value.rounded()));
                }
                Ok(DenseElements::Bytes(value.bytes(element)))
            }
            Content::Elements(Some(sizes), elements) => {
                if sizes != shape {
                    let message =
                        format!("the lists have the sizes {sizes:?}, the type has {shape:?}");
                    return Err(self.error(span, message, "make list and type the same size"));
                }
                let values = elements
                    .iter()
                    .map(|one| self.dense_value(one, element, span))
                    .collect::<Parsed<Vec<_>>>()?;
                if values.iter().all(Number::is_exact) {
                    return Ok(collapsed(values.iter().map(Number::rounded).collect()));
                }
                Ok(DenseElements::Bytes(values.iter().flat_map(|v| v.bytes(element)).collect()))
            }
        }
    }

    fn dense_value(&self, value: &Element<'s>, element: &Type, span: Span) -> Parsed<Number> {
        match (value, element) {
            (Element::Bool(value), Type::Integer { width: 1, .. }) => {
                Ok(Number::Integer(i128::from(*value)))
            }
            (Element::Number(literal), Type::Integer { width: 1, .. }) => {
                Ok(Number::Integer(self.typed_integer(literal, element)?.abs()))
            }
            (Element::Number(literal), Type::Index | Type::Integer { .. }) => {
                Ok(Number::Integer(self.typed_integer(literal, element)?))
            }
            (Element::Number(literal), Type::Float(float)) => {
                Ok(Number::Float(self.typed_float(literal, *float)?))
            }
            _ => Err(self.error(
                span,
                format!("these constants are not of type {element}"),
                "elements may be integers, `index` or floating-point numbers of 16 to 64 bits",
            )),
        }
    }

    /// `"0x0A00…"`: the bytes of the elements, little-endian; of one element, they mean all.
    fn dense_hex(
        &self,
        literal: &str,
        at: Span,
        count: u64,
        element: &Type,
    ) -> Parsed<DenseElements> {
        let text = unquote(literal);
        let digits = text.strip_prefix("0x").unwrap_or("").as_bytes();
        let bytes: Option<Vec<u8>> = digits
            .chunks(2)
            .map(|pair| match pair {
                &[high, low] => {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    Some((digit(high)? * 16 + digit(low)?) as u8)
                }
                _ => None,
            })
            .collect();
        let Some(bytes) = bytes.filter(|_| text.starts_with("0x")) else {
            return Err(self.error(
                at,
                "expected `\"0x…\"` with two hexadecimal digits for each byte",
                "",
            ));
        };
        let size = match element {
            // Bits are packed here; leave them as they are.
            Type::Integer { width: 1, .. } => return Ok(DenseElements::Bytes(bytes)),
            other => other.scalar_bytes().filter(|&size| size <= 8),
        };
        let Some(size) = size else { return Ok(DenseElements::Bytes(bytes)) };
        let given = bytes.len() as u64;
        let splat = given == size as u64;
        if !splat && count.checked_mul(size as u64) != Some(given) {
            let message = format!("{count} elements of type {element} are not {given} bytes");
            return Err(self.error(at, message, "give all elements, or one that all are like"));
        }
        let values: Vec<Number> = bytes.chunks(size).map(|raw| from_bytes(raw, element)).collect();
        if !values.iter().all(Number::is_exact) {
            return Ok(DenseElements::Bytes(bytes));
        }
        let values: Vec<f64> = values.iter().map(Number::rounded).collect();
        Ok(match (splat, values.first()) {
            (true, Some(&value)) => DenseElements::Splat(value),
            _ => collapsed(values),
        })
    }
}

/// Sizes of nested lists, and how deep their elements are.
#[derive(Default)]
struct Lists {
    sizes: Vec<Option<u64>>,
    depth: Option<usize>,
}

enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn is_exact(&self) -> bool {
        match self {
            Self::Integer(value) => value.abs() <= EXACT,
            Self::Float(_) => true,
        }
    }

    fn rounded(&self) -> f64 {
        match self {
            Self::Integer(value) => *value as f64,
            Self::Float(value) => *value,
        }
    }

    fn bytes(&self, element: &Type) -> Vec<u8> {
        let size = element.scalar_bytes().unwrap_or(8).min(16);
        match self {
            Self::Integer(value) => value.to_le_bytes()[..size].to_vec(),
            // Floating-point numbers are always exact.
            Self::Float(value) => value.to_le_bytes().to_vec(),
        }
    }
}

fn from_bytes(raw: &[u8], element: &Type) -> Number {
    let bits = raw.iter().rev().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
    match element {
        Type::Float(float) => Number::Float(from_bits(bits, *float)),
        Type::Integer { width, unsigned: false } if *width > 0 => {
            let unused = 64 - width.min(&64);
            Number::Integer(i128::from((bits << unused) as i64 >> unused))
        }
        Type::Index => Number::Integer(i128::from(bits as i64)),
        _ => Number::Integer(i128::from(bits)),
    }
}

/// A list of equal values is a splat, as in MLIR.
fn collapsed(values: Vec<f64>) -> DenseElements {
    match values.as_slice() {
        [first, rest @ ..] if rest.iter().all(|value| value.to_bits() == first.to_bits()) => {
            DenseElements::Splat(*first)
        }
        _ => DenseElements::Each(values),
    }
}
