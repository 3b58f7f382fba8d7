//! Types.

use winnow::Parser as _;
use winnow::ascii::{digit1, space0};
use winnow::combinator::{alt, terminated};
use winnow::error::EmptyError;

use super::lexer::Kind;
use super::{MOST_ALIASED, Parsed, Parser};
use crate::text::{DesignError, Float, MemRef, Type};

/// Bits of an integer, as in MLIR.
const WIDEST: u32 = (1 << 24) - 1;

impl<'s> Parser<'s> {
    /// Any type.
    pub(super) fn ty(&mut self) -> Parsed<Type> {
        if self.at("(") {
            return self.nested(Self::function_type);
        }
        if self.at_kind(Kind::Bang) {
            return self.dialect_type();
        }
        if !self.at_kind(Kind::Word) {
            return Err(self.expected("a type"));
        }
        match self.token.text {
            "index" => self.simple(Type::Index),
            "f16" => self.simple(Type::Float(Float::F16)),
            "bf16" => self.simple(Type::Float(Float::Bf16)),
            "f32" => self.simple(Type::Float(Float::F32)),
            "f64" => self.simple(Type::Float(Float::F64)),
            "memref" => self.nested(Self::memref),
            "vector" | "tensor" => self.nested(Self::shaped),
            "none" | "f80" | "f128" | "tf32" => {
                let token = self.advance();
                Ok(Type::Other(token.text.to_owned()))
            }
            text if text.starts_with("f8") || text.starts_with("f6") || text.starts_with("f4") => {
                let token = self.advance();
                Ok(Type::Other(token.text.to_owned()))
            }
            "tuple" | "complex" => {
                let token = self.advance();
                let inner = self.captured()?;
                Ok(Type::Other(format!("{}{inner}", token.text)))
            }
            text => match integer_type(text) {
                Some(ty) => self.simple(ty),
                None => Err(self.expected("a type")),
            },
        }
    }

    /// Whether a type stands next.
    pub(super) fn at_type(&self) -> bool {
        self.at("(")
            || self.at_kind(Kind::Bang)
            || self.at_kind(Kind::Word)
                && (matches!(
                    self.token.text,
                    "index"
                        | "f16"
                        | "bf16"
                        | "f32"
                        | "f64"
                        | "memref"
                        | "vector"
                        | "tensor"
                        | "none"
                        | "f80"
                        | "f128"
                        | "tf32"
                        | "tuple"
                        | "complex"
                ) || self.token.text.starts_with("f8E")
                    || integer_type(self.token.text).is_some())
    }

    fn simple(&mut self, ty: Type) -> Parsed<Type> {
        self.advance();
        Ok(ty)
    }

    /// `(i32, f32) -> (i32)`, or with a single result without parentheses.
    fn function_type(&mut self) -> Parsed<Type> {
        self.expect("(")?;
        let inputs = self.list(")", Self::ty)?;
        self.expect("->")?;
        Ok(Type::Function(inputs, self.result_types()?))
    }

    /// `i32`, `()` or `(i32, f32)`.
    pub(super) fn result_types(&mut self) -> Parsed<Vec<Type>> {
        if self.eat("(") {
            return self.list(")", Self::ty);
        }
        Ok(vec![self.ty()?])
    }

    /// A function type in its parts.
    pub(super) fn signature(&mut self) -> Parsed<(Vec<Type>, Vec<Type>)> {
        let token = self.token;
        match self.ty()? {
            Type::Function(inputs, results) => Ok((inputs, results)),
            other => Err(self.error(
                token.span(),
                format!("expected a function type `(…) -> …`, but {other} stands here"),
                "",
            )),
        }
    }

    /// `!aie.objectfifo<…>`, an alias, or any other dialect's type.
    fn dialect_type(&mut self) -> Parsed<Type> {
        let token = self.advance();
        if !token.text.contains('.') && !self.at("<") {
            let Some((ty, bytes)) = self.type_aliases.get(token.text) else {
                return Err(self.unknown_alias(token.span(), token.text));
            };
            let (ty, bytes) = (ty.clone(), *bytes);
            self.spend(bytes)?;
            return Ok(ty);
        }
        // `!aie<objectfifo<…>>` is an older spelling of the same.
        let old = token.text == "!aie";
        if old {
            self.expect("<")?;
        }
        let name = if old { self.advance().text } else { token.text.trim_start_matches("!aie.") };
        let wrap = match name {
            "objectfifo" => Type::ObjectFifo,
            "objectfifosubview" => Type::Subview,
            _ if old => return Err(self.expected("`objectfifo` or `objectfifosubview`")),
            _ => {
                let inner = if self.at("<") { self.captured()? } else { String::new() };
                return Ok(Type::Other(format!("{}{inner}", token.text)));
            }
        };
        self.expect("<")?;
        let inner = self.nested(Self::ty)?;
        self.expect(">")?;
        if old {
            self.expect(">")?;
        }
        Ok(wrap(Box::new(inner)))
    }

    /// Counts what an alias expands to against the limit.
    pub(super) fn spend(&mut self, bytes: usize) -> Parsed<()> {
        self.aliased = self.aliased.saturating_add(bytes);
        if self.aliased > MOST_ALIASED {
            return Err(self.error(
                self.token.span(),
                "the aliases of this text stand for too much",
                "define aliases without other aliases, or write their content where it is used",
            ));
        }
        Ok(())
    }

    pub(super) fn unknown_alias(&self, span: crate::text::Span, name: &str) -> DesignError {
        self.error(
            span,
            format!("`{name}` is not defined"),
            format!("define the alias before its use: `{name} = …` outside of the module"),
        )
    }

    /// Sizes, each with an `x` behind it; these are not tokens of their own.
    fn sizes(&mut self) -> Parsed<Vec<Option<u64>>> {
        let mut rest = self.text.get(self.token.start as usize..).unwrap_or_default();
        let mut size = terminated(
            alt(("?".value(None), digit1::<_, EmptyError>.map(Some))),
            (space0, 'x', space0),
        );
        let mut sizes = Vec::new();
        let end = self.text.len() as u32;
        loop {
            let start = end - rest.len() as u32;
            match size.parse_next(&mut rest) {
                Ok(None) => sizes.push(None),
                Ok(Some(digits)) => match digits.parse::<u64>() {
                    Ok(size) if i64::try_from(size).is_ok() => sizes.push(Some(size)),
                    _ => {
                        let span = crate::text::Span { start, end: start + digits.len() as u32 };
                        return Err(self.error(span, "this size has more than 63 bits", ""));
                    }
                },
                Err(_) => {
                    self.jump(start);
                    return Ok(sizes);
                }
            }
        }
    }

    fn memref(&mut self) -> Parsed<Type> {
        self.advance();
        self.expect("<")?;
        if self.at("*") {
            return self.unranked("memref");
        }
        let shape = self.sizes()?;
        let element = self.nested(Self::ty)?;
        let mut layout = None;
        while self.eat(",") {
            if self.at("strided") {
                layout = Some(self.strided()?);
            } else if self.at("affine_map") || self.at_kind(Kind::Hash) {
                let start = self.token;
                match self.attribute()? {
                    crate::text::Attribute::AffineMap(map) if map.is_identity() => {}
                    crate::text::Attribute::AffineMap(map) => {
                        let Some((strides, offset)) = map.strides() else {
                            return Err(self.error(
                                start.span(),
                                "this layout is not linear",
                                "layouts must be `strided<[…], offset: …>` or a map that is linear",
                            ));
                        };
                        layout = Some((strides.into_iter().map(Some).collect(), Some(offset)));
                    }
                    // A memory space that is an attribute of some dialect.
                    _ => {}
                }
            } else {
                // The memory space: all memory of a tile is alike.
                self.attribute()?;
            }
        }
        if let Some((strides, _)) = &layout
            && strides.len() != shape.len()
        {
            return Err(self.error(
                self.token.span(),
                format!("this memref has {} sizes, but {} strides", shape.len(), strides.len()),
                "",
            ));
        }
        if !self.eat(">") {
            return Err(self.expected("`,` or `>`"));
        }
        Ok(Type::MemRef(Box::new(MemRef { shape, element, layout })))
    }

    fn unranked(&mut self, what: &str) -> Parsed<Type> {
        // `*xi32` is two tokens: `*` and `xi32`.
        self.advance();
        let start = self.token.start;
        if self.token.text.starts_with('x') {
            self.jump(start + 1);
        }
        let element = self.nested(Self::ty)?;
        while self.eat(",") {
            self.attribute()?;
        }
        self.expect(">")?;
        Ok(Type::Other(format!("{what}<*x{element}>")))
    }

    /// `strided<[4, ?], offset: ?>`.
    fn strided(&mut self) -> Parsed<(Vec<Option<i64>>, Option<i64>)> {
        self.advance();
        self.expect("<")?;
        self.expect("[")?;
        let strides = self.list("]", Self::optional_step)?;
        let offset = if self.eat(",") {
            self.expect("offset")?;
            self.expect(":")?;
            self.optional_step()?
        } else {
            Some(0)
        };
        self.expect(">")?;
        Ok((strides, offset))
    }

    fn optional_step(&mut self) -> Parsed<Option<i64>> {
        if self.eat("?") { Ok(None) } else { Ok(Some(self.small_integer()?)) }
    }

    /// An integer of 64 bits without a type.
    pub(super) fn small_integer(&mut self) -> Parsed<i64> {
        let token = self.token;
        let literal = self.literal()?;
        let value = self.integer_value(&literal)?;
        i64::try_from(value)
            .map_err(|_| self.error(token.span(), "this number has more than 64 bits", ""))
    }

    /// `vector<4x8xi8>`, `tensor<4xi32>`.
    fn shaped(&mut self) -> Parsed<Type> {
        let name = self.advance();
        self.expect("<")?;
        if self.at("*") {
            return self.unranked(name.text);
        }
        if self.at("[") {
            // Of a scalable size.
            self.jump(name.end());
            let inner = self.captured()?;
            return Ok(Type::Other(format!("{}{inner}", name.text)));
        }
        let sizes = self.sizes()?;
        let element = self.nested(Self::ty)?;
        while self.eat(",") {
            self.attribute()?;
        }
        self.expect(">")?;
        let Some(fixed) = sizes.iter().copied().collect::<Option<Vec<u64>>>() else {
            let sizes: String = sizes
                .iter()
                .map(|size| size.map_or_else(|| "?x".to_owned(), |size| format!("{size}x")))
                .collect();
            return Ok(Type::Other(format!("{}<{sizes}{element}>", name.text)));
        };
        let wrap = if name.text == "vector" { Type::Vector } else { Type::Tensor };
        Ok(wrap(fixed, Box::new(element)))
    }

    /// Text in brackets, in one spelling whatever its spaces were.
    pub(super) fn captured(&mut self) -> Parsed<String> {
        let start = self.token;
        self.skip_balanced()?;
        let end = self.token.start;
        self.jump(start.start);
        let mut text = String::new();
        let mut wordy = false;
        while self.token.start < end && !self.at_kind(Kind::End) {
            let token = self.advance();
            let word = token.kind != Kind::Punctuation;
            if wordy && word || text.ends_with(',') {
                text.push(' ');
            }
            wordy = word;
            text.push_str(token.text);
        }
        Ok(text)
    }
}

fn integer_type(text: &str) -> Option<Type> {
    let (unsigned, digits) = match text.strip_prefix('u') {
        Some(rest) => (true, rest.strip_prefix('i')?),
        None => (false, text.strip_prefix("si").or_else(|| text.strip_prefix('i'))?),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let width = digits.parse().ok().filter(|width| *width <= WIDEST)?;
    Some(Type::Integer { width, unsigned })
}
