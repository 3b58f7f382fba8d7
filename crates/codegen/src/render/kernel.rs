//! C++ source of the core kernel of a target, and what it takes to compile it for the host.
//!
//! There is one template for all targets. It is written against the AIE API, so that Peano compiles
//! it for a core; with [`HOST_HEADERS`] in the include path any C++17 compiler makes the same
//! functions for the host, which is what the simulator calls.

use serde::Serialize;

use super::{RenderError, render};
use crate::device::{Device, MicroTile, Precision, Tile};
use crate::plan::array::Layout;

/// Headers that stand in for the AIE API on the host: path below an include directory, and text.
pub const HOST_HEADERS: &[(&str, &str)] =
    &[("aie_api/aie.hpp", include_str!("../../kernel-templates/host/aie_api/aie.hpp"))];

/// C++ source of the core kernel of a layout.
///
/// # Errors
/// When the template does not fit its context, which is a fault of this library.
pub fn kernel(layout: &Layout) -> Result<String, RenderError> {
    render("gemm.cc", &Context::new(layout))
}

/// Context of `gemm.cc.tera`.
#[derive(Serialize)]
struct Context {
    device: Device,
    precision: Precision,
    input: &'static str,
    sum: &'static str,
    wide: &'static str,
    scaled: bool,
    tile: Tile,
    micro: MicroTile,
    matmul: String,
    epilogue: String,
    trips: usize,
}

impl Context {
    fn new(layout: &Layout) -> Self {
        let symbols = layout.symbols();
        let (input, sum) = match layout.precision {
            Precision::I8 => ("int8", "int32"),
            Precision::Bf16 => ("bfloat16", "float"),
        };
        Self {
            device: layout.device,
            precision: layout.precision,
            input,
            sum,
            wide: match layout.device {
                Device::Npu1 => "acc32",
                Device::Npu2 => "acc64",
            },
            scaled: layout.a_has_parameters(),
            tile: layout.tile,
            micro: layout.micro,
            matmul: symbols.matmul,
            epilogue: symbols.epilogue,
            trips: (layout.tile.k / layout.micro.s).saturating_sub(1),
        }
    }
}
