//! Attributes.

use super::lexer::{Kind, Token, unquote};
use super::{Parsed, Parser};
use crate::text::{Attribute, Dimension, Padding, Span, Symbol, Type};

impl<'s> Parser<'s> {
    /// Any attribute.
    pub(super) fn attribute(&mut self) -> Parsed<Attribute> {
        self.nested(Self::attribute_here)
    }

    fn attribute_here(&mut self) -> Parsed<Attribute> {
        if self.at_number() {
            return self.number().map(|(value, _)| value);
        }
        match self.token.kind {
            Kind::String => {
                let token = self.advance();
                if self.eat(":") {
                    self.ty()?;
                }
                Ok(Attribute::String(unquote(token.text)))
            }
            Kind::Symbol => Ok(Attribute::Symbol(self.symbol_reference()?)),
            Kind::Hash => self.hash_attribute(),
            Kind::Punctuation if self.at("[") => {
                self.advance();
                Ok(Attribute::Array(self.list("]", Self::attribute)?))
            }
            Kind::Punctuation if self.at("{") => Ok(Attribute::Dictionary(self.dictionary()?)),
            Kind::Word if !self.at_type() => self.word_attribute(),
            _ if self.at_type() => Ok(Attribute::Type(self.ty()?)),
            _ => Err(self.expected("an attribute")),
        }
    }

    fn word_attribute(&mut self) -> Parsed<Attribute> {
        match self.token.text {
            "true" | "false" => Ok(Attribute::Bool(self.advance().text == "true")),
            "unit" => {
                self.advance();
                Ok(Attribute::Unit)
            }
            "dense" => self.dense(None).map(|(value, _)| value),
            "array" => self.integers(),
            "affine_map" => Ok(Attribute::AffineMap(self.affine_map()?)),
            "affine_set" | "strided" | "sparse" | "dense_resource" | "opaque" | "distinct"
            | "loc" => {
                let name = self.advance();
                let mut text = name.text.to_owned();
                if name.text == "distinct" {
                    text.push_str(&self.captured()?);
                }
                text.push_str(&self.captured()?);
                if self.eat(":") {
                    text.push_str(&format!(" : {}", self.ty()?));
                }
                Ok(Attribute::Other(text))
            }
            _ => Err(self.expected("an attribute")),
        }
    }

    /// `4`, `4 : i32`, `1.5 : f32`, `0x7FC0 : bf16`, and the type; without one an `i64` or `f64`.
    pub(super) fn number(&mut self) -> Parsed<(Attribute, Type)> {
        let literal = self.literal()?;
        let ty = match self.eat(":") {
            true => self.ty()?,
            false if literal.is_decimal() => Type::Float(crate::text::Float::F64),
            false => Type::Integer { width: 64, unsigned: false },
        };
        let value = match &ty {
            Type::Float(float) => Attribute::Float(self.typed_float(&literal, *float)?),
            Type::Integer { width: 1, unsigned: false } => {
                Attribute::Bool(self.typed_integer(&literal, &ty)? != 0)
            }
            _ => Attribute::Integer(self.typed_integer(&literal, &ty)?),
        };
        Ok((value, ty))
    }

    /// The contents of a memref: `dense<…>`, whose type is that of the memref if it is not written.
    pub(super) fn initial_value(&mut self, ty: &Type, at: Span) -> Parsed<Attribute> {
        if !self.at("dense") {
            return self.attribute();
        }
        let tensor = match ty {
            Type::MemRef(memref) => memref
                .shape
                .iter()
                .copied()
                .collect::<Option<Vec<u64>>>()
                .map(|shape| Type::Tensor(shape, Box::new(memref.element.clone()))),
            _ => None,
        };
        if tensor.is_none() {
            let message = format!("{ty} cannot be initialised: its sizes are not all known");
            return Err(self.error(at, message, "give all sizes"));
        }
        self.dense(tensor.as_ref()).map(|(value, _)| value)
    }

    /// `@a::@b`.
    pub(super) fn symbol_reference(&mut self) -> Parsed<Symbol> {
        let mut parts = vec![self.symbol_name()?];
        while self.at("::") {
            self.advance();
            parts.push(self.symbol_name()?);
        }
        Ok(Symbol(parts))
    }

    /// `@a`: the name without the `@`.
    pub(super) fn symbol_name(&mut self) -> Parsed<String> {
        let token = self.expect_kind(Kind::Symbol, "a symbol `@…`")?;
        let name = token.text.trim_start_matches('@');
        Ok(if name.starts_with('"') { unquote(name) } else { name.to_owned() })
    }

    /// `{name = value, flag}`.
    pub(super) fn dictionary(&mut self) -> Parsed<Vec<(String, Attribute)>> {
        self.expect("{")?;
        let mut entries = self.list("}", |p| {
            let token = p.token;
            let name = match token.kind {
                Kind::Word => p.advance().text.to_owned(),
                Kind::String => unquote(p.advance().text),
                _ => return Err(p.expected("the name of an attribute")),
            };
            let value = if p.eat("=") { p.attribute()? } else { Attribute::Unit };
            Ok((name, value, token))
        })?;
        entries.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (name, _, token) = &pair[1];
            return Err(self.error(
                token.span(),
                format!("the attribute `{name}` is given twice"),
                "leave one of the two out",
            ));
        }
        Ok(entries.into_iter().map(|(name, value, _)| (name, value)).collect())
    }

    /// `{…}` if it stands next.
    pub(super) fn optional_dictionary(&mut self) -> Parsed<Vec<(String, Attribute)>> {
        if self.at("{") { self.dictionary() } else { Ok(Vec::new()) }
    }

    /// `array<i64: 1, 2>`; of floating-point numbers, as it is written.
    fn integers(&mut self) -> Parsed<Attribute> {
        let start = self.advance();
        self.expect("<")?;
        let token = self.token;
        let ty = self.ty()?;
        if matches!(ty, Type::Float(_)) {
            self.jump(start.end());
            return Ok(Attribute::Other(format!("array{}", self.captured()?)));
        }
        if !matches!(ty, Type::Integer { width, .. } if width <= 64) {
            return Err(self.error(
                token.span(),
                format!("an array holds numbers of at most 64 bits, not {ty}"),
                "",
            ));
        }
        let mut values = Vec::new();
        if self.eat(":") {
            values = self.list(">", |p| {
                if p.at("true") || p.at("false") {
                    return Ok(i64::from(p.advance().text == "true"));
                }
                let literal = p.literal()?;
                // An unsigned one may have its highest bit set.
                Ok(p.typed_integer(&literal, &ty)? as i64)
            })?;
        } else {
            self.expect(">")?;
        }
        Ok(Attribute::Integers(values))
    }

    /// `#alias`, `#aie.packet_info<…>`, `#aie<packet_info<…>>` or another dialect's attribute.
    fn hash_attribute(&mut self) -> Parsed<Attribute> {
        let token = self.advance();
        if !token.text.contains('.') && !self.at("<") {
            let Some((attribute, bytes)) = self.attribute_aliases.get(token.text) else {
                return Err(self.unknown_alias(token.span(), token.text));
            };
            let (attribute, bytes) = (attribute.clone(), *bytes);
            self.spend(bytes)?;
            return Ok(attribute);
        }
        if token.text == "#aie" {
            self.expect("<")?;
            let name = self.expect_kind(Kind::Word, "the name of an attribute of `aie`")?;
            let attribute = self.aie_attribute(name, name.text)?;
            self.expect(">")?;
            return Ok(attribute);
        }
        match token.text.strip_prefix("#aie.") {
            Some(name) => self.aie_attribute(token, name),
            None => self.other_attribute(token),
        }
    }

    fn other_attribute(&mut self, token: Token<'s>) -> Parsed<Attribute> {
        let inner = if self.at("<") { self.captured()? } else { String::new() };
        Ok(Attribute::Other(format!("{}{inner}", token.text)))
    }

    fn aie_attribute(&mut self, token: Token<'s>, name: &str) -> Parsed<Attribute> {
        match name {
            "bd_dim_layout_array" => Ok(Attribute::Dimensions(self.dimensions()?)),
            "bd_dim_layout_array_array" => {
                self.expect("[")?;
                Ok(Attribute::DimensionsOfEach(self.list("]", Self::dimensions)?))
            }
            "bd_dim_layout" => Ok(Attribute::Dimensions(vec![self.dimension()?])),
            "bd_pad_layout_array" => Ok(Attribute::Paddings(self.paddings()?)),
            "packet_info" => self.packet_info(),
            "trace_event" => {
                self.expect("<")?;
                let event = self.trace_event()?;
                self.expect(">")?;
                Ok(Attribute::String(event))
            }
            _ => self.other_attribute(token),
        }
    }

    /// `"INSTR_EVENT_0"` or `CoreEventAIE2::INSTR_EVENT_0`.
    pub(super) fn trace_event(&mut self) -> Parsed<String> {
        if self.at_kind(Kind::String) {
            return Ok(unquote(self.advance().text));
        }
        let mut text = self.expect_kind(Kind::Word, "an event, in quotes")?.text.to_owned();
        while self.eat("::") {
            text.push_str("::");
            text.push_str(self.expect_kind(Kind::Word, "the name of the event")?.text);
        }
        Ok(text)
    }

    /// `[<size = 4, stride = 16>, …]`, with `#aie.bd_dim_layout_array` before it or without.
    pub(super) fn dimensions(&mut self) -> Parsed<Vec<Dimension>> {
        self.skip_prefix("bd_dim_layout_array", |p| {
            p.expect("[")?;
            p.list("]", Self::dimension)
        })
    }

    fn dimension(&mut self) -> Parsed<Dimension> {
        let [size, stride] = self.pair(["size", "stride"], u64::from(u32::MAX))?;
        Ok(Dimension { size, stride })
    }

    /// `[<const_pad_before = 1, const_pad_after = 2>, …]`.
    pub(super) fn paddings(&mut self) -> Parsed<Vec<Padding>> {
        self.skip_prefix("bd_pad_layout_array", |p| {
            p.expect("[")?;
            p.list("]", |p| {
                let names = ["const_pad_before", "const_pad_after"];
                let [before, after] = p.pair(names, u64::from(u16::MAX))?;
                Ok(Padding { before, after })
            })
        })
    }

    /// `<pkt_type = 0, pkt_id = 3>`.
    pub(super) fn packet_info(&mut self) -> Parsed<Attribute> {
        self.skip_prefix("packet_info", |p| {
            let [pkt_type, pkt_id] = p.pair(["pkt_type", "pkt_id"], u64::from(u16::MAX))?;
            Ok(Attribute::Packet { pkt_type: pkt_type as u32, pkt_id: pkt_id as u32 })
        })
    }

    /// What a pretty form may write in full or without `#aie.name` before it.
    fn skip_prefix<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let full = self.at_kind(Kind::Hash);
        if full && self.token.text.strip_prefix("#aie.") == Some(name) {
            self.advance();
            return read(self);
        }
        if full && self.token.text == "#aie" {
            self.advance();
            self.expect("<")?;
            self.expect(name)?;
            let value = read(self)?;
            self.expect(">")?;
            return Ok(value);
        }
        read(self)
    }

    /// `<a = 1, b = 2>`, the names in any order.
    fn pair(&mut self, names: [&str; 2], most: u64) -> Parsed<[u64; 2]> {
        let mut values = [None; 2];
        let open = self.expect("<")?;
        self.list(">", |p| {
            let token = p.token;
            let place = names.iter().position(|name| p.at(name));
            let Some(place) = place.filter(|&place| values[place].is_none()) else {
                return Err(p.expected(&format!("`{} = …` and `{} = …`", names[0], names[1])));
            };
            p.advance();
            p.expect("=")?;
            let value = p.small_integer()?;
            match u64::try_from(value) {
                Ok(value) if value <= most => values[place] = Some(value),
                _ => {
                    let message = format!("`{}` must be 0 to {most}, not {value}", token.text);
                    return Err(p.error(token.span(), message, ""));
                }
            }
            Ok(())
        })?;
        match values {
            [Some(a), Some(b)] => Ok([a, b]),
            _ => {
                let message = format!("expected both `{}` and `{}`", names[0], names[1]);
                Err(self.error(open.span(), message, ""))
            }
        }
    }
}
