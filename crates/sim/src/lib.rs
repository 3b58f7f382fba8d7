//! A simulator of AMD NPUs.
//!
//! It runs MLIR-AIE designs as text, the same text that goes to `aiecc`, and says whether they
//! compute the right thing, whether they can hang, and how long they take.
//!
//! Data flows one way: [`text`] reads a design into operations, [`netlist`] turns these into what
//! the array consists of (tiles, buffers, locks, descriptors, channels, flows, core programs), and
//! [`engine`] runs the netlist. [`functions`] are the core kernels that a design calls.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tilewright_sim::engine::{Limits, Simulator};
//! use tilewright_sim::functions::Functions;
//! use tilewright_sim::netlist::Netlist;
//! use tilewright_sim::text::{Source, parse};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let design = r#"
//!   aie.device(npu1_1col) {
//!     %shim = aie.tile(0, 0)
//!     %mem = aie.tile(0, 1)
//!     aie.objectfifo @in(%shim, {%mem}, 2 : i32) : !aie.objectfifo<memref<16xi32>>
//!     aie.objectfifo @out(%mem, {%shim}, 2 : i32) : !aie.objectfifo<memref<16xi32>>
//!     aie.objectfifo.link [@in] -> [@out]([] [])
//!     aie.runtime_sequence @copy(%a: memref<64xi32>, %b: memref<64xi32>) {
//!       aiex.npu.dma_memcpy_nd(%a[0, 0, 0, 0][1, 1, 1, 64][0, 0, 0, 1]) {id = 0 : i64, metadata = @in} : memref<64xi32>
//!       aiex.npu.dma_memcpy_nd(%b[0, 0, 0, 0][1, 1, 1, 64][0, 0, 0, 1]) {id = 1 : i64, metadata = @out} : memref<64xi32>
//!       aiex.npu.dma_wait {symbol = @out}
//!     }
//!   }
//! "#;
//! let netlist = Netlist::build(parse(&Source::new("copy.mlir", design))?, None)?;
//! let mut array = Simulator::new(Arc::new(netlist), Functions::new(), Limits::default())?;
//!
//! let (mut a, mut b): (Vec<u8>, Vec<u8>) = ((0..=255).collect(), vec![0; 256]);
//! let run = array.run("copy", &mut [&mut a, &mut b])?;
//! assert_eq!(a, b);
//! assert!(run.findings.is_empty());
//! println!("{:.1} µs on the device", run.microseconds);
//! # Ok(())
//! # }
//! ```

pub mod engine;
pub mod functions;
pub mod netlist;
pub mod text;
