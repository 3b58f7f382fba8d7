//! After the first window an encoder takes no more memory: its buffers and the operators' scratch
//! memory are there by then.

#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use tilewright::audio::{LogMel, WINDOW_SAMPLES};
use tilewright::backend::cpu::{Cpu, Numeric, Scaling};
use tilewright::encoder::{self, Nobody};
use tilewright::kernels::TABLE;
use tilewright::weights::Weights;

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
}
