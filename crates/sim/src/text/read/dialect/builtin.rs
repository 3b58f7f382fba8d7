//! `builtin`: the module.

use crate::text::read::form::Piece::{
    Attributes, Body, Dictionary, Maybe, Name, Result, T, Types, Values,
};
use crate::text::read::form::{Form, op};

pub(super) const FORMS: &[Form] = &[
    op("builtin.module", &[Maybe(&[Name("sym_name")]), Attributes, Body]).isolated("builtin"),
    op(
        "builtin.unrealized_conversion_cast",
        &[Values("inputs"), T(":"), Types, T("to"), Result, Dictionary],
    ),
];
