//! Sequences of chains, of other sequences and for several devices; cascades.

use std::sync::Arc;

use tilewright_sim::functions::{Argument, CorePorts, Functions, Returned, WithPorts};

use super::{last, refusal, simulate};

/// 16 words go through a memtile in four pieces, which a chain of descriptors sends in any order.
const CHAIN: &str = r#"module {
  aie.device(npu1_1col) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %buffer = aie.buffer(%mem) : memref<16xi32>
    aie.flow(%shim, DMA : 0, %mem, DMA : 0)
    aie.flow(%mem, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @in(%shim, MM2S, 0)
    aie.bd_chain @halves(%x: memref<16xi32>) {
      aie.dma_bd(%x : memref<16xi32>, 8, 8)
      aie.next_bd ^first
    ^first:
      aie.dma_bd(%x : memref<16xi32>, 0, 8)
      aie.end
    }
    aie.bd_chain @whole(%x: memref<16xi32>) {
      aie.dma_bd(%x : memref<16xi32>, 0, 16, [<size = 4, stride = 1>, <size = 4, stride = 4>])
      aie.end
    }
    aie.runtime_sequence @run(%a: memref<16xi32>, %c: memref<16xi32>) {
      %fill = aiex.dma_start_bd_chain @whole(%buffer) : (memref<16xi32>) on (%mem, S2MM, 0) {issue_token = true}
      %in = aiex.dma_start_bd_chain_for @halves(%a) : (memref<16xi32>) for @in
      aiex.dma_await_task(%fill)
      %drain = aiex.dma_start_bd_chain @halves(%buffer) : (memref<16xi32>) on (%mem, MM2S, 0)
      %out = aiex.dma_start_bd_chain @whole(%c) : (memref<16xi32>) on (%shim, S2MM, 0) {issue_token = true}
      aiex.dma_await_task(%out)
    }
  }
}
"#;

#[test]
fn chains_are_started_on_any_tile() {
    let sent: Vec<i32> = (8..16).chain(0..8).collect();
    let transposed = |words: &[i32]| -> Vec<i32> {
        let mut out = vec![0; 16];
        for (i, &word) in words.iter().enumerate() {
            out[i % 4 * 4 + i / 4] = word;
        }
        out
    };
    let held = transposed(&sent);
    let drained = [&held[8..], &held[..8]].concat();
    assert_eq!(last(CHAIN, vec![(0..16).collect(), vec![0; 16]]), transposed(&drained));
}

/// A device that adds, and one that only gives its memtile's buffer back; the sequence uses both.
fn devices(sequence: &str) -> String {
    format!(
        r#"module {{
  aie.device(npu1_1col) @main {{
    aie.runtime_sequence @run(%a: memref<8xi32>) {{ {sequence} }}
  }}
  aie.device(npu1_1col) @keep {{
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %full = aie.lock(%mem, 0) {{init = 0 : i32}}
    %buffer = aie.buffer(%mem) {{address = 256 : i32}} : memref<4xi32>
    aie.flow(%shim, DMA : 0, %mem, DMA : 0)
    aie.shim_dma_allocation @in(%shim, MM2S, 0)
    %dma = aie.memtile_dma(%mem) {{
      %0 = aie.dma_start(S2MM, 0, ^bd, ^end)
    ^bd:
      aie.dma_bd(%buffer : memref<4xi32>)
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^end
    ^end:
      aie.end
    }}
    aie.runtime_sequence @fill(%x: memref<4xi32>) {{
      %t = aiex.dma_configure_task_for @in {{ aie.dma_bd(%x : memref<4xi32>, 0, 4) aie.end }} {{issue_token = true}}
      aiex.dma_start_task(%t)
      aiex.dma_await_task(%t)
    }}
  }}
  aie.device(npu1_1col) @give {{
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %buffer = aie.buffer(%mem) {{address = 256 : i32}} : memref<4xi32>
    aie.flow(%mem, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @out(%shim, S2MM, 0)
    %dma = aie.memtile_dma(%mem) {{
      %0 = aie.dma_start(MM2S, 0, ^bd, ^end)
    ^bd:
      aie.dma_bd(%buffer : memref<4xi32>)
      aie.next_bd ^end
    ^end:
      aie.end
    }}
    aie.runtime_sequence @drain(%x: memref<4xi32>) {{
      %t = aiex.dma_configure_task_for @out {{ aie.dma_bd(%x : memref<4xi32>, 0, 4) aie.end }} {{issue_token = true}}
      aiex.dma_start_task(%t)
      aiex.dma_await_task(%t)
    }}
  }}
}}"#
    )
}

#[test]
fn sequences_reconfigure_the_array_and_memtiles_keep_their_bytes() {
    let design = devices(
        r#"aiex.configure @keep {
      %s = memref.subview %a[0] [4] [1] : memref<8xi32> to memref<4xi32, strided<[1]>>
      %x = memref.reinterpret_cast %s to offset: [0], sizes: [4], strides: [1] : memref<4xi32, strided<[1]>> to memref<4xi32>
      aiex.run @fill(%x) : (memref<4xi32>)
    }
    aiex.configure @give {
      %s = memref.subview %a[4] [4] [1] : memref<8xi32> to memref<4xi32, strided<[1], offset: 4>>
      %x = memref.reinterpret_cast %s to offset: [0], sizes: [4], strides: [1] : memref<4xi32, strided<[1], offset: 4>> to memref<4xi32>
      aiex.run @drain(%x) : (memref<4xi32>)
    }"#,
    );
    assert_eq!(last(&design, vec![(1..9).collect()]), [1, 2, 3, 4, 1, 2, 3, 4]);
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let message = refusal(&devices("aiex.configure @nowhere { }"), 1);
    assert!(message.contains("no aie.device @nowhere"), "{message}");
}

/// Three cores hand a running sum on; the last one gives it out.
const CASCADE: &str = r#"module {
  aie.device(npu1) {
    %shim = aie.tile(0, 0)
    %a = aie.tile(0, 3)
    %b = aie.tile(1, 3)
    %c = aie.tile(1, 2)
    aie.cascade_flow(%a, %b)
    aie.cascade_flow(%b, %c)
    aie.objectfifo @out(%c, {%shim}, 1 : i32) : !aie.objectfifo<memref<4xi32>>
    func.func private @first()
    func.func private @middle()
    func.func private @last(memref<4xi32>)
    %ca = aie.core(%a) { func.call @first() : () -> () aie.end }
    %cb = aie.core(%b) { func.call @middle() : () -> () aie.end }
    %cc = aie.core(%c) {
      %o = aie.objectfifo.acquire @out(Produce, 1) : !aie.objectfifosubview<memref<4xi32>>
      %x = aie.objectfifo.subview.access %o[0] : !aie.objectfifosubview<memref<4xi32>> -> memref<4xi32>
      func.call @last(%x) : (memref<4xi32>) -> ()
      aie.objectfifo.release @out(Produce, 1)
      aie.end
    }
    aie.runtime_sequence @run(%y: memref<4xi32>) {
      aiex.npu.dma_memcpy_nd(%y[0, 0, 0, 0][1, 1, 1, 4][0, 0, 0, 1]) {id = 0 : i64, metadata = @out} : memref<4xi32>
      aiex.npu.dma_wait {symbol = @out}
    }
  }
}
"#;

type Result = std::result::Result<Returned, String>;

fn register(
    functions: &mut Functions,
    name: &str,
    body: fn(&mut [Argument<'_>], &mut CorePorts<'_>) -> Result,
) {
    functions.register(name, Arc::new(WithPorts(body)));
}

fn cascade(first: u64) -> Functions {
    let mut functions = Functions::new();
    if first > 0 {
        register(&mut functions, "first", |_, ports| {
            ports.put_cascade(&[1, 2, 3, 4]);
            Ok(Returned { cycles: 5000, value: None })
        });
    } else {
        register(&mut functions, "first", |_, _| Ok(Returned::default()));
    }
    register(&mut functions, "middle", |_, ports| {
        let mut bytes = [0; 4];
        ports.get_cascade(&mut bytes)?;
        ports.put_cascade(&bytes.map(|byte| byte + 10));
        Ok(Returned::default())
    });
    register(&mut functions, "last", |arguments, ports| {
        let Argument::Buffer(buffer) = &mut arguments[0] else { return Err("no buffer".into()) };
        // Undone when the cascade has not brought enough.
        buffer.fill(0xff);
        for word in buffer.chunks_exact_mut(4) {
            let mut byte = [0];
            ports.get_cascade(&mut byte)?;
            word.copy_from_slice(&i32::from(byte[0]).to_le_bytes());
        }
        Ok(Returned::default())
    });
    functions
}

#[test]
fn cores_wait_for_their_cascade() {
    let mut buffers = vec![vec![0; 4]];
    let run = simulate(CASCADE, cascade(1), &mut buffers).unwrap();
    assert_eq!(run.findings, []);
    assert_eq!(buffers[0], [11, 12, 13, 14]);
    assert!(run.cycles > 5000, "{}", run.cycles);
}

#[test]
fn an_empty_cascade_hangs_by_name() {
    let error = simulate(CASCADE, cascade(0), &mut [vec![0; 4]]).unwrap_err().to_string();
    assert!(error.contains("core (1, 2): line 18 calls a function that waits"), "{error}");
    assert!(error.contains("core (1, 3): line 14 calls a function that waits"), "{error}");
}

pub(crate) fn seeds() -> Vec<String> {
    let both = devices("aiex.configure @keep { } aiex.npu.load_pdi {device_ref = @give}");
    vec![CHAIN.to_owned(), CASCADE.to_owned(), both, FIFOS.to_owned()]
}

/// Objectfifos through a memtile, for mutants.
const FIFOS: &str = r#"module {
  aie.device(npu1_1col) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %tile = aie.tile(0, 2)
    aie.objectfifo @in(%shim, {%mem}, 2 : i32) : !aie.objectfifo<memref<32xi8>>
    aie.objectfifo @core(%mem dimensionsToStream [<size = 4, stride = 8>, <size = 2, stride = 4>, <size = 4, stride = 1>], {%tile}, 2 : i32) {padDimensions = #aie<bd_pad_layout_array[<const_pad_before = 1, const_pad_after = 0>, <const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 0, const_pad_after = 4>]>} : !aie.objectfifo<memref<80xi8>>
    aie.objectfifo.link [@in] -> [@core]([] [])
    aie.objectfifo @out(%tile, {%shim}, 2 : i32) {repeat_count = 2 : i32} : !aie.objectfifo<memref<80xi8>>
    %program = aie.core(%tile) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c80 = arith.constant 80 : index
      scf.for %n = %c0 to %c80 step %c1 {
        %i = aie.objectfifo.acquire @core(Consume, 1) : !aie.objectfifosubview<memref<80xi8>>
        %x = aie.objectfifo.subview.access %i[0] : !aie.objectfifosubview<memref<80xi8>> -> memref<80xi8>
        %o = aie.objectfifo.acquire @out(Produce, 1) : !aie.objectfifosubview<memref<80xi8>>
        %y = aie.objectfifo.subview.access %o[0] : !aie.objectfifosubview<memref<80xi8>> -> memref<80xi8>
        scf.for %k = %c0 to %c80 step %c1 {
          %v = memref.load %x[%k] : memref<80xi8>
          %w = arith.muli %v, %v : i8
          memref.store %w, %y[%k] : memref<80xi8>
        }
        aie.objectfifo.release @core(Consume, 1)
        aie.objectfifo.release @out(Produce, 1)
      }
      aie.end
    }
    aie.runtime_sequence @run(%a: memref<64xi8>, %c: memref<320xi8>) {
      aiex.npu.dma_memcpy_nd(%c[0, 0, 0, 0][2, 2, 1, 80][160, 80, 80, 1]) {id = 0 : i64, metadata = @out} : memref<320xi8>
      aiex.npu.dma_memcpy_nd(%a[0, 0, 0, 0][2, 1, 4, 8][32, 0, 8, 1]) {id = 1 : i64, metadata = @in} : memref<64xi8>
      aiex.npu.dma_wait {symbol = @out}
    }
  }
}
"#;

#[test]
fn padded_objects_are_repeated() {
    let mut buffers = vec![vec![0x0403_0201; 16], vec![0; 80]];
    let run = simulate(FIFOS, Functions::new(), &mut buffers).unwrap();
    assert_eq!(run.findings, []);
    let mut object = vec![0; 4];
    for _ in 0..8 {
        object.extend([0x1009_0401, 0]);
    }
    assert_eq!(buffers[1], object.repeat(4));
}
