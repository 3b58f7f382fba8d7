//! The pretty forms of each dialect.

mod affine;
mod aie;
mod aie_fifo;
mod aie_trace;
mod aiex;
mod arith;
mod builtin;
mod cf;
mod func;
mod math;
mod memref;
mod scf;
mod vector;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Parser;
use super::form::Form;
use super::lexer::Token;
use crate::text::DesignError;

const DIALECTS: [&str; 11] =
    ["aie", "aiex", "affine", "arith", "builtin", "cf", "func", "math", "memref", "scf", "vector"];

static FORMS: LazyLock<HashMap<&'static str, &'static Form>> = LazyLock::new(|| {
    [
        affine::FORMS,
        aie::FORMS,
        aie_fifo::FORMS,
        aie_trace::FORMS,
        aiex::FORMS,
        arith::FORMS,
        builtin::FORMS,
        cf::FORMS,
        func::FORMS,
        math::FORMS,
        memref::FORMS,
        scf::FORMS,
        vector::FORMS,
    ]
    .into_iter()
    .flatten()
    .map(|form| (form.name, form))
    .collect()
});

/// The form of an operation by its name with the dialect, be it an older name.
pub(super) fn form(name: &str) -> Option<&'static Form> {
    let name = match name {
        "aiex.runtime_sequence" => "aie.runtime_sequence",
        other => other,
    };
    FORMS.get(name).copied()
}

/// An operation in a pretty form that is not known.
pub(super) fn unknown(parser: &Parser<'_>, token: Token<'_>) -> DesignError {
    let dialects = DIALECTS.map(|name| format!("`{name}`")).join(", ");
    let help = match token.text.split_once('.') {
        None => format!(
            "write it with its dialect, as `func.{}`; the dialects known here are {dialects}",
            token.text
        ),
        Some((dialect, _)) if DIALECTS.contains(&dialect) => format!(
            "if it is not a slip, write it in the generic form `\"{}\"(…) …`, as \
             `aie-opt --mlir-print-op-generic` does",
            token.text
        ),
        Some(_) => format!(
            "pretty forms are known of the dialects {dialects}; anything can be read in the \
             generic form `\"{}\"(…) …` that `aie-opt --mlir-print-op-generic` prints",
            token.text
        ),
    };
    parser.error(
        token.span(),
        format!("the pretty form of the operation `{}` is not known", token.text),
        help,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_of_a_dialect_that_messages_name() {
        for name in FORMS.keys() {
            let dialect = name.split('.').next().unwrap();
            assert!(DIALECTS.contains(&dialect), "{name}");
        }
    }
}
