//! C++ that calls any function through one signature.
//!
//! A trampoline knows the types of its function and nothing of the function itself, which it gets
//! as a pointer: so it stands in a file of its own, where no declaration contradicts the kernel's.

use std::fmt::Write;

use super::{Declaration, LibraryError, Parameter};
use crate::text::Float;

/// Symbol of the trampoline of a declaration by its position.
pub(super) fn name(index: usize) -> String {
    format!("tilewright_call_{index}")
}

const PRELUDE: &str = r#"// Calls functions of a core, whatever their arguments, through one signature.
#include <stdint.h>
#include <string.h>

namespace {

// A 16-bit float as kernels declare theirs: a struct around its bits.
struct Half { uint16_t bits; };

// Upper half of a float that has no lower one.
Half to_bf16(double value) {
  float narrow = static_cast<float>(value);
  uint32_t bits;
  memcpy(&bits, &narrow, sizeof bits);
  return Half{static_cast<uint16_t>(bits >> 16)};
}

[[maybe_unused]] double from_bf16(Half half) {
  uint32_t bits = static_cast<uint32_t>(half.bits) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

} // namespace

"#;

/// Trampolines for declarations, in their order.
pub(super) fn source(declarations: &[Declaration]) -> Result<String, LibraryError> {
    let mut text = PRELUDE.to_owned();
    for (index, declaration) in declarations.iter().enumerate() {
        declaration.check()?;
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", trampoline(index, declaration)?);
    }
    Ok(text)
}

fn trampoline(index: usize, declaration: &Declaration) -> Result<String, LibraryError> {
    let (mut buffers, mut integers, mut floats) = (0, 0, 0);
    let (mut types, mut values) = (Vec::new(), Vec::new());
    for parameter in &declaration.parameters {
        let ty = c_type(declaration, parameter)?;
        values.push(match parameter {
            Parameter::Buffer { .. } => format!("buffers[{}]", next(&mut buffers)),
            Parameter::Integer { .. } => {
                format!("static_cast<{ty}>(integers[{}])", next(&mut integers))
            }
            Parameter::Float { format: Float::Bf16 } => {
                format!("to_bf16(floats[{}])", next(&mut floats))
            }
            Parameter::Float { .. } => format!("static_cast<{ty}>(floats[{}])", next(&mut floats)),
        });
        types.push(ty);
    }
    let result = match &declaration.result {
        Some(result) => c_type(declaration, result)?,
        None => "void",
    };
    let call = format!("call({})", values.join(", "));
    let statement = match declaration.result {
        None => call,
        Some(Parameter::Float { format: Float::Bf16 }) => format!("*real = from_bf16({call})"),
        Some(Parameter::Float { .. }) => format!("*real = {call}"),
        Some(_) => format!("*integer = static_cast<int64_t>({call})"),
    };
    Ok(format!(
        r#"// {symbol}
extern "C" void {name}(void *function, [[maybe_unused]] void *const *buffers,
    [[maybe_unused]] const int64_t *integers, [[maybe_unused]] const double *floats,
    [[maybe_unused]] int64_t *integer, [[maybe_unused]] double *real) {{
  const auto call = reinterpret_cast<{result} (*)({types})>(function);
  {statement};
}}

"#,
        symbol = declaration.symbol.escape_default(),
        name = name(index),
        types = types.join(", "),
    ))
}

fn next(counter: &mut usize) -> usize {
    *counter += 1;
    *counter - 1
}

fn c_type(declaration: &Declaration, parameter: &Parameter) -> Result<&'static str, LibraryError> {
    Ok(match parameter {
        Parameter::Buffer { .. } => "void *",
        Parameter::Integer { bits: 1, .. } => "bool",
        Parameter::Integer { bits: 8, unsigned: false } => "int8_t",
        Parameter::Integer { bits: 16, unsigned: false } => "int16_t",
        Parameter::Integer { bits: 32, unsigned: false } => "int32_t",
        Parameter::Integer { bits: 64, unsigned: false } => "int64_t",
        Parameter::Integer { bits: 8, .. } => "uint8_t",
        Parameter::Integer { bits: 16, .. } => "uint16_t",
        Parameter::Integer { bits: 32, .. } => "uint32_t",
        Parameter::Integer { bits: 64, .. } => "uint64_t",
        Parameter::Float { format: Float::Bf16 } => "Half",
        Parameter::Float { format: Float::F32 } => "float",
        Parameter::Float { format: Float::F64 } => "double",
        Parameter::Integer { .. } | Parameter::Float { format: Float::F16 } => {
            return Err(LibraryError::Type {
                symbol: declaration.symbol.clone(),
                ty: parameter.to_string(),
            });
        }
    })
}
