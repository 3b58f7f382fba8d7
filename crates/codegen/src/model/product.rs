//! Products of integers and dimensions, such as `3 * d_model`.

use miette::SourceSpan;

use super::parse::{closest, listed};
use super::{Extent, MAX_EXTENT, Model};
use crate::problem::Problem;

/// One factor of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    /// A positive integer.
    Number(u64),
    /// The name of a dimension.
    Name(String),
}

/// A product and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// Its factors, at least one.
    pub factors: Vec<Factor>,
    /// Where it stands.
    pub span: SourceSpan,
}

impl Product {
    /// Reads `"3 * d_model"`. The error says which factor is none.
    pub(super) fn parse(text: &str, span: SourceSpan) -> Result<Self, String> {
        let factors = text.split('*').map(str::trim).map(factor).collect::<Result<_, _>>()?;
        Ok(Self { factors, span })
    }

    /// Whether a dimension is among the factors.
    pub fn uses(&self, name: &str) -> bool {
        self.factors.iter().any(|factor| matches!(factor, Factor::Name(other) if other == name))
    }

    /// Its value for a model at a length.
    pub(super) fn value(
        &self,
        op: &str,
        model: &Model,
        length: Option<u64>,
    ) -> Result<u64, Problem> {
        let mut value: u64 = 1;
        for factor in &self.factors {
            let factor = match factor {
                Factor::Number(number) => *number,
                Factor::Name(name) => match (model.dimension(name), length) {
                    (Some(Extent::Fixed(size)), _) => *size,
                    (Some(Extent::Lengths(_)), Some(length)) => length,
                    _ => return Err(self.missing(op, name, model)),
                },
            };
            // Each factor is at most MAX_EXTENT, and so is the product so far.
            value *= factor;
            if value > MAX_EXTENT {
                return Err(self.too_large(op, model, length));
            }
        }
        Ok(value)
    }

    fn missing(&self, op: &str, name: &str, model: &Model) -> Problem {
        let names: Vec<&str> = model.dimensions.iter().map(|(name, _)| name.as_str()).collect();
        Problem {
            message: format!("op `{op}` uses `{name}`, which model `{}` does not have", model.name),
            span: self.span,
            label: "no such dimension".to_owned(),
            help: match closest(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => format!("add `{name} = …` to the model"),
                None => format!("add `{name} = …` to the model; it has {}", listed(&names)),
            },
        }
    }

    fn too_large(&self, op: &str, model: &Model, length: Option<u64>) -> Problem {
        let depends = model.lengths().is_some_and(|(name, _)| self.uses(name));
        let at = length.filter(|_| depends).map(|length| format!(" at length {length}"));
        let at = at.unwrap_or_default();
        Problem {
            message: format!("op `{op}` of model `{}` is too large{at}", model.name),
            span: self.span,
            label: format!("more than {MAX_EXTENT}"),
            help: format!("keep M, K, N and count at {MAX_EXTENT} or below"),
        }
    }
}

fn factor(text: &str) -> Result<Factor, String> {
    if text.is_empty() {
        return Err("a factor is missing".to_owned());
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return match text.replace('_', "").parse::<u64>() {
            Ok(number) if (1..=MAX_EXTENT).contains(&number) => Ok(Factor::Number(number)),
            Ok(number) => Err(format!("{number} is not from 1 to {MAX_EXTENT}")),
            Err(_) => Err(format!("`{text}` is no number")),
        };
    }
    let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text.chars().all(named) {
        true => Ok(Factor::Name(text.to_owned())),
        false => Err(format!("`{text}` is neither a number nor a name")),
    }
}
