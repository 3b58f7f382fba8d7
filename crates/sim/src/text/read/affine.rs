//! Affine maps and the affine expressions of accesses.

use std::collections::HashMap;

use super::lexer::{Kind, Token};
use super::{Parsed, Parser};
use crate::text::{AffineExpr, AffineMap};

/// Operators of one expression: it becomes a tree that is walked recursively.
const MOST_OPERATORS: u32 = 96;

/// What the names of an expression mean.
pub(super) struct Names<'s> {
    declared: HashMap<&'s str, AffineExpr>,
    /// Values that an access uses, in place of declared names.
    values: Option<Vec<(Token<'s>, u32, bool)>>,
    operators: u32,
}

impl<'s> Parser<'s> {
    /// `affine_map<(d0, d1)[s0] -> (d0 + s0, d1)>`.
    pub(super) fn affine_map(&mut self) -> Parsed<AffineMap> {
        self.expect("affine_map")?;
        self.expect("<")?;
        let name = |p: &mut Self| p.expect_kind(Kind::Word, "the name of a dimension");
        self.expect("(")?;
        let dimensions = self.list(")", name)?;
        let symbols = if self.eat("[") { self.list("]", name)? } else { Vec::new() };
        let mut declared = HashMap::new();
        let numbered = (0..).map(AffineExpr::Dimension).zip(&dimensions);
        for (meaning, token) in numbered.chain((0..).map(AffineExpr::Symbol).zip(&symbols)) {
            if declared.insert(token.text, meaning).is_some() {
                let message = format!("`{}` is already a name in this map", token.text);
                return Err(self.error(token.span(), message, "give each its own name"));
            }
        }
        self.expect("->")?;
        self.expect("(")?;
        let mut names = Names { declared, values: None, operators: 0 };
        let results = self.list(")", |p| p.affine_sum(&mut names))?;
        self.expect(">")?;
        Ok(AffineMap {
            dimensions: dimensions.len() as u32,
            symbols: symbols.len() as u32,
            results,
        })
    }

    /// `%i * 2 + 1, symbol(%n)]`: the map, and the values for its dimensions, then its symbols.
    pub(super) fn affine_accesses(
        &mut self,
        close: &str,
    ) -> Parsed<(AffineMap, Vec<(Token<'s>, u32)>)> {
        let mut names = Names { declared: HashMap::new(), values: Some(Vec::new()), operators: 0 };
        let results = self.list(close, |p| p.affine_sum(&mut names))?;
        let values = names.values.unwrap_or_default();
        let map = AffineMap {
            dimensions: values.iter().filter(|(_, _, symbol)| !symbol).count() as u32,
            symbols: values.iter().filter(|(_, _, symbol)| *symbol).count() as u32,
            results,
        };
        let of = |wanted: bool| values.iter().filter(move |(_, _, symbol)| *symbol == wanted);
        let operands = of(false).chain(of(true)).map(|&(token, number, _)| (token, number));
        Ok((map, operands.collect()))
    }

    fn affine_sum(&mut self, names: &mut Names<'s>) -> Parsed<AffineExpr> {
        names.operators = 0;
        self.affine_terms(names)
    }

    fn affine_terms(&mut self, names: &mut Names<'s>) -> Parsed<AffineExpr> {
        let mut sum = self.affine_product(names)?;
        loop {
            if self.eat("+") {
                let term = self.affine_product(names)?;
                sum = AffineExpr::add(sum, term);
            } else if self.eat("-") {
                let term = self.affine_product(names)?;
                sum = AffineExpr::add(sum, AffineExpr::multiply(term, AffineExpr::Constant(-1)));
            } else {
                return Ok(sum);
            }
            self.count_operator(names)?;
        }
    }

    fn affine_product(&mut self, names: &mut Names<'s>) -> Parsed<AffineExpr> {
        let mut product = self.affine_factor(names)?;
        loop {
            let operator = self.token.text;
            if !["*", "floordiv", "ceildiv", "mod"].iter().any(|text| self.at(text)) {
                return Ok(product);
            }
            self.advance();
            let factor = self.affine_factor(names)?;
            self.count_operator(names)?;
            product = match operator {
                "*" => AffineExpr::multiply(product, factor),
                "floordiv" => AffineExpr::FloorDivide(Box::new(product), Box::new(factor)),
                "ceildiv" => AffineExpr::CeilDivide(Box::new(product), Box::new(factor)),
                _ => AffineExpr::Modulo(Box::new(product), Box::new(factor)),
            };
        }
    }

    fn affine_factor(&mut self, names: &mut Names<'s>) -> Parsed<AffineExpr> {
        if self.eat("(") {
            let inner = self.nested(|p| p.affine_terms(names))?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.at("-") {
            self.advance();
            let inner = self.nested(|p| p.affine_factor(names))?;
            self.count_operator(names)?;
            return Ok(AffineExpr::multiply(inner, AffineExpr::Constant(-1)));
        }
        if self.at_kind(Kind::Integer) {
            let token = self.token;
            let literal = self.literal()?;
            return match i64::try_from(self.integer_value(&literal)?) {
                Ok(value) => Ok(AffineExpr::Constant(value)),
                Err(_) => Err(self.error(token.span(), "this constant has more than 64 bits", "")),
            };
        }
        let symbol = self.at("symbol") && self.second().text == "(";
        if symbol && names.values.is_some() {
            self.advance();
            self.expect("(")?;
            let expression = self.affine_value(names, true)?;
            self.expect(")")?;
            return Ok(expression);
        }
        if names.values.is_some() {
            return self.affine_value(names, false);
        }
        let token = self.expect_kind(Kind::Word, "a dimension, a symbol or a number")?;
        match names.declared.get(token.text) {
            Some(meaning) => Ok(meaning.clone()),
            None => Err(self.error(
                token.span(),
                format!("`{}` is neither a dimension nor a symbol of this map", token.text),
                "name it in the parentheses or brackets before `->`",
            )),
        }
    }

    /// A value of an access: the same one again is the same dimension.
    fn affine_value(&mut self, names: &mut Names<'s>, symbol: bool) -> Parsed<AffineExpr> {
        let (token, number) = self.value_name()?;
        let values = names.values.get_or_insert_default();
        let same = |&(other, at, as_symbol): &(Token<'_>, u32, bool)| {
            (other.text, at, as_symbol) == (token.text, number, symbol)
        };
        let index = values.iter().position(same).unwrap_or(values.len());
        if index == values.len() {
            values.push((token, number, symbol));
        }
        let place = values[..index].iter().filter(|(_, _, other)| *other == symbol).count() as u32;
        // Quadratic in the number of distinct values, which real accesses have few of.
        names.operators += 1;
        if values.len() > MOST_OPERATORS as usize {
            return Err(self.error(token.span(), "this access uses too many values", ""));
        }
        Ok(if symbol { AffineExpr::Symbol(place) } else { AffineExpr::Dimension(place) })
    }

    fn count_operator(&self, names: &mut Names<'s>) -> Parsed<()> {
        names.operators += 1;
        if names.operators > MOST_OPERATORS {
            return Err(self.error(
                self.token.span(),
                format!("this expression has more than {MOST_OPERATORS} operators"),
                "compute parts of it with `affine.apply`",
            ));
        }
        Ok(())
    }
}
