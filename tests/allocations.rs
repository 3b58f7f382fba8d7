//! After the first window an encoder takes no more memory: its buffers and the operators' scratch
//! memory are there by then.

#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use tilewright::audio::{LogMel, WINDOW_SAMPLES};
use tilewright::backend::array::{Geometry, Operand};
use tilewright::backend::cpu::{Cpu, Numeric, Output, Scaling};
use tilewright::decoder::{Decoder, Scratch};
use tilewright::encoder::{self, Nobody};
use tilewright::kernels::TABLE;
use tilewright::weights::{DecoderDimensions, Weights};

/// Bytes that were ever allocated.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is left to the system's allocator; counting touches no memory of others.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_second_window_needs_no_more_memory() {
    let length = TABLE.kernels().filter_map(|kernel| kernel.length).min();
    for numeric in [Numeric::I8 { activations: Scaling::PerRow }, Numeric::Bf16, Numeric::F32] {
        let (cpu, weights) = (Cpu::new().unwrap(), Weights::synthetic());
        let target = TABLE.targets[0];
        let mut encoder = encoder::load(target, length, cpu, numeric, &weights, None).unwrap();
        let mel = LogMel::new(encoder.dimensions().mel_bins).unwrap();
        let mel = mel.compute(&vec![0.01; WINDOW_SAMPLES]);
        let mut bytes_of_a_window = || {
            let before = ALLOCATED.load(Ordering::Relaxed);
            encoder.encode(&mel, &mut Nobody).unwrap();
            ALLOCATED.load(Ordering::Relaxed) - before
        };
        let first = bytes_of_a_window();
        let second = bytes_of_a_window();
        assert!(first > 1 << 20, "{first}: the count counts nothing");
        // What the thread pool needs to hand out work; a single buffer is a hundred times as large.
        assert!(second < 16 << 10, "{numeric:?}: {second} bytes");
    }
    packing_for_an_array_takes_none();
    the_memory_of_448_tokens_is_taken_once();
    layers_that_no_decoder_has_take_none();
}

/// Part of the one test above, so that nothing else allocates meanwhile.
fn the_memory_of_448_tokens_is_taken_once() {
    let sizes = DecoderDimensions {
        d_model: 64,
        heads: 2,
        layers: 2,
        ffn: 256,
        vocabulary: 51865,
        positions: 448,
    };
    for numeric in [Numeric::I8 { activations: Scaling::PerRow }, Numeric::Bf16, Numeric::F32] {
        let (cpu, weights) = (Cpu::new().unwrap(), Weights::synthetic());
        let decoder = Decoder::load(cpu, numeric, Some(sizes), &weights, None).unwrap();
        let (mut state, mut scratch) = (decoder.state(2), Scratch::default());
        decoder.listen(&vec![0.1; 1500 * 64], &mut state, &mut scratch).unwrap();
        decoder.prompt(&[1, 2, 3], &[2], &mut state, &mut scratch).unwrap();
        state.reorder(&[0, 0]);
        decoder.step(&[4, 5], &mut state, &mut scratch).unwrap();
        let before = ALLOCATED.load(Ordering::Relaxed);
        let mut steps = 0;
        while state.len() < 448 {
            decoder.step(&[6, 7], &mut state, &mut scratch).unwrap();
            state.reorder(&[1, 0]);
            steps += 1;
        }
        // Lists of as many elements as there are sequences, and what the thread pool needs.
        let each = (ALLOCATED.load(Ordering::Relaxed) - before) / steps;
        assert!(each < 4 << 10, "{numeric:?}: {each} bytes for each token");
    }
}

/// What a `config.json` claims is refused before room is made for it.
fn layers_that_no_decoder_has_take_none() {
    let folder = tempfile::tempdir().unwrap();
    let empty = [&2u64.to_le_bytes()[..], b"{}"].concat();
    std::fs::write(folder.path().join("model.safetensors"), empty).unwrap();
    for layers in [257, 1 << 20, 1 << 40, usize::MAX] {
        let config = format!(
            r#"{{"num_mel_bins": 80, "d_model": 512, "encoder_attention_heads": 8, "encoder_layers": 6,
                "encoder_ffn_dim": 2048, "decoder_layers": {layers}}}"#
        );
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let before = ALLOCATED.load(Ordering::Relaxed);
        let weights = Weights::open(folder.path()).unwrap();
        let error = Decoder::load(Cpu::new().unwrap(), Numeric::F32, None, &weights, None);
        let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("there are at most 256 layers"), "{error}");
        // The list of the tensors of 257 layers alone has some 400 kB.
        assert!(bytes < 64 << 10, "{layers} layers: {bytes} bytes");
    }
}

/// Not a test of its own: the count is that of all threads.
fn packing_for_an_array_takes_none() {
    let cpu = Cpu::new().unwrap();
    for kernel in TABLE.kernels() {
        let geometry = Geometry::new(kernel).unwrap();
        let [mut a, _, c] = geometry.host_bytes().map(|bytes| vec![0; bytes]);
        let activations = vec![0.5; kernel.shape.m * kernel.shape.k];
        let mut out = vec![0.0; kernel.shape.m * kernel.shape.n];
        let before = ALLOCATED.load(Ordering::Relaxed);
        let operand = Operand::F32(&activations, Scaling::PerRow);
        geometry.pack_activations(&cpu, operand, &mut a).unwrap();
        geometry.unpack(&cpu, &c, Output::Add, &mut out).unwrap();
        let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
        assert!(bytes < 16 << 10, "{} {}: {bytes} bytes", kernel.target.name(), kernel.op);
    }
}
