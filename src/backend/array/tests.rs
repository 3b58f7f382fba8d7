//! Packing against index formulas that share nothing with the packer.

use half::bf16;
use proptest::prelude::*;
use tilewright_codegen::plan::array::Layout;
use tilewright_codegen::plan::sequence::Sequence;
use tilewright_kernel::{
    DesignText, Device, Epilogue, KernelInfo, Precision, Shape, TargetInfo, Tile, WeightsRef,
};

use super::{ArrayError, DeviceTime, Geometry, Operand, WeightsId};
use crate::backend::cpu::{Cpu, Output, Scaling, SharedBytes};

/// A kernel as a generated table has it; it lives as long as the tests.
fn kernel(layout: &Layout, shape: Shape, epilogue: Epilogue) -> &'static KernelInfo {
    Box::leak(Box::new(kernel_info(layout, shape, epilogue)))
}

fn kernel_info(layout: &Layout, shape: Shape, epilogue: Epilogue) -> KernelInfo {
    let sequence = Sequence::new(layout, shape, epilogue);
    let target = Box::leak(Box::new(TargetInfo {
        model: "test",
        device: layout.device,
        precision: layout.precision,
        tile: layout.tile,
        micro_tile: layout.micro,
        configuration: "",
        design: DesignText { module: "", core_kernel: "" },
        xclbin: None,
    }));
    let host_bytes: Vec<usize> = sequence.arguments.iter().map(|buffer| buffer.bytes()).collect();
    KernelInfo {
        target,
        op: "op",
        length: None,
        count: 1,
        shape,
        padded: sequence.padded,
        loops: sequence.loops,
        epilogue,
        sequence: "sequence",
        host_bytes: host_bytes.try_into().unwrap(),
        stream: None,
    }
}

/// Layouts and shapes of every device and precision; few of the shapes are whole tiles.
fn kernels() -> impl Strategy<Value = &'static KernelInfo> {
    let tile = (1..4_usize, 1..4_usize, 1..4_usize);
    let layouts = (0..2_usize, 0..2_usize, tile).prop_map(|(device, precision, (m, k, n))| {
        let (device, precision) = (Device::ALL[device], Precision::ALL[precision]);
        let micro = device.micro_tile(precision);
        let tile = Tile { m: m * 2 * micro.r, k: k * micro.s, n: n * 2 * micro.t };
        Layout::new(device, precision, tile)
    });
    (layouts, 1..400_usize, 1..90_usize, 1..400_usize)
        .prop_map(|(layout, m, k, n)| kernel(&layout, Shape { m, k, n }, Epilogue::Bias))
}

/// Where an element of A lies, in elements of the buffer: by the words of the module's head.
fn a_index(kernel: &KernelInfo, row: usize, column: usize) -> usize {
    let (tile, micro) = (kernel.target.tile, kernel.target.micro_tile);
    let parameter_tiles = usize::from(kernel.target.precision == Precision::I8);
    let row_block = row / (4 * tile.m);
    let core_row = row / tile.m % 4;
    let k_tile = column / tile.k;
    let (i, j) = (row % tile.m, column % tile.k);
    let micro_tile = i / micro.r * (tile.k / micro.s) + j / micro.s;
    let inside = i % micro.r * micro.s + j % micro.s;
    ((row_block * 4 + core_row) * (kernel.loops.k_tiles + parameter_tiles) + k_tile)
        * (tile.m * tile.k)
        + micro_tile * (micro.r * micro.s)
        + inside
}

/// The same for B.
fn b_index(kernel: &KernelInfo, row: usize, column: usize) -> usize {
    let (tile, micro) = (kernel.target.tile, kernel.target.micro_tile);
    let columns = kernel.target.device.columns();
    let array_column = column / tile.n % columns;
    let column_block = column / tile.n / columns;
    let k_tile = row / tile.k;
    let (i, j) = (row % tile.k, column % tile.n);
    let micro_tile = i / micro.s * (tile.n / micro.t) + j / micro.t;
    let inside = i % micro.s * micro.t + j % micro.t;
    ((array_column * kernel.loops.column_blocks + column_block) * (kernel.loops.k_tiles + 1)
        + k_tile)
        * (tile.k * tile.n)
        + micro_tile * (micro.s * micro.t)
        + inside
}

/// Byte of the scale of a row in A.
fn row_scale_at(kernel: &KernelInfo, row: usize) -> usize {
    let tile = kernel.target.tile;
    let panel = (kernel.loops.k_tiles + 1) * tile.m * tile.k;
    row / tile.m * panel + kernel.loops.k_tiles * tile.m * tile.k + row % tile.m * 4
}

/// Byte of the scale of a column in B, or of its bias.
fn column_parameter_at(kernel: &KernelInfo, column: usize, is_bias: bool) -> usize {
    let tile = kernel.target.tile;
    let bytes = kernel.target.precision.bytes();
    let first = column / tile.n * tile.n;
    let tile_start = b_index(kernel, 0, first) + kernel.loops.k_tiles * tile.k * tile.n;
    let behind_scales = is_bias && kernel.target.precision == Precision::I8;
    tile_start * bytes + (usize::from(behind_scales) * tile.n + column % tile.n) * 4
}

/// A number for each element, none of them 0.
fn value(i: usize) -> i8 {
    (i.wrapping_mul(2_654_435_761) >> 7) as i8 | 1
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    buffer[at..at + bytes.len()].copy_from_slice(bytes);
}

fn cpu() -> Cpu {
    Cpu::new().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn activations_lie_where_the_formula_says_and_all_else_is_zero(kernel in kernels()) {
        let geometry = Geometry::new(kernel).unwrap();
        let Shape { m, k, .. } = kernel.shape;
        let mut buffer = vec![0xa5; kernel.host_bytes[0]];
        let mut expected = vec![0; kernel.host_bytes[0]];
        match kernel.target.precision {
            Precision::I8 => {
                let values: Vec<i8> = (0..m * k).map(value).collect();
                let scales: Vec<f32> = (0..m).map(|i| 1.0 + i as f32).collect();
                let a = Operand::I8(&values, &scales);
                geometry.pack_activations(&cpu(), a, &mut buffer).unwrap();
                for (i, value) in values.iter().enumerate() {
                    expected[a_index(kernel, i / k, i % k)] = value.cast_unsigned();
                }
                for (row, scale) in scales.iter().enumerate() {
                    put(&mut expected, row_scale_at(kernel, row), &scale.to_le_bytes());
                }
            }
            Precision::Bf16 => {
                let values: Vec<bf16> =
                    (0..m * k).map(|i| bf16::from_f32(f32::from(value(i)))).collect();
                geometry.pack_activations(&cpu(), Operand::Bf16(&values), &mut buffer).unwrap();
                for (i, value) in values.iter().enumerate() {
                    put(&mut expected, 2 * a_index(kernel, i / k, i % k), &value.to_le_bytes());
                }
            }
        }
        prop_assert!(buffer == expected);
    }

    #[test]
    fn weights_lie_where_the_formula_says_and_all_else_is_zero(kernel in kernels()) {
        let geometry = Geometry::new(kernel).unwrap();
        let Shape { k, n, .. } = kernel.shape;
        let bias: Vec<f32> = (0..n).map(|i| -1.0 - i as f32).collect();
        let scales: Vec<f32> = (0..n).map(|i| 1.0 + i as f32).collect();
        let mut expected = vec![0; kernel.host_bytes[1]];
        for (column, bias) in bias.iter().enumerate() {
            put(&mut expected, column_parameter_at(kernel, column, true), &bias.to_le_bytes());
        }
        let packed = match kernel.target.precision {
            Precision::I8 => {
                let values: Vec<i8> = (0..n * k).map(value).collect();
                for (i, value) in values.iter().enumerate() {
                    expected[b_index(kernel, i / n, i % n)] = value.cast_unsigned();
                }
                for (column, scale) in scales.iter().enumerate() {
                    let at = column_parameter_at(kernel, column, false);
                    put(&mut expected, at, &scale.to_le_bytes());
                }
                let weights = WeightsRef::I8 { values: &values, scales: &scales, bias: &bias };
                geometry.pack_narrow_weights(weights).unwrap()
            }
            Precision::Bf16 => {
                let values: Vec<bf16> =
                    (0..n * k).map(|i| bf16::from_f32(f32::from(value(i)))).collect();
                for (i, value) in values.iter().enumerate() {
                    put(&mut expected, 2 * b_index(kernel, i / n, i % n), &value.to_le_bytes());
                }
                let weights = WeightsRef::Bf16 { values: &values, bias: &bias };
                geometry.pack_narrow_weights(weights).unwrap()
            }
        };
        prop_assert!(packed == expected);
    }

    /// From f32, with whatever was in the buffer, it is the same as narrowing first.
    #[test]
    fn narrowing_on_the_way_is_narrowing_first(kernel in kernels()) {
        let geometry = Geometry::new(kernel).unwrap();
        let Shape { m, k, n } = kernel.shape;
        let floats = |count: usize| -> Vec<f32> {
            (0..count).map(|i| f32::from(value(i)) * 0.37 + i as f32 * 1e-3).collect()
        };
        let a = floats(m * k);
        let mut at_once = vec![0x5a; kernel.host_bytes[0]];
        let operand = Operand::F32(&a, Scaling::PerRow);
        geometry.pack_activations(&cpu(), operand, &mut at_once).unwrap();
        let mut in_steps = vec![0xff; kernel.host_bytes[0]];
        let (weights, bias) = (floats(n * k), floats(n));
        let packed = geometry.pack_weights(&cpu(), &weights, Some(&bias)).unwrap();
        // Weights are N × K here and K × N there.
        let transposed = |i: usize| weights[i % n * k + i / n];
        let expected = match kernel.target.precision {
            Precision::I8 => {
                let (values, scales) = quantise(&a, k);
                let operand = Operand::I8(&values, &scales);
                geometry.pack_activations(&cpu(), operand, &mut in_steps).unwrap();
                let (channels, scales) = quantise(&weights, k);
                let values: Vec<i8> = (0..n * k).map(|i| channels[i % n * k + i / n]).collect();
                let narrow = WeightsRef::I8 { values: &values, scales: &scales, bias: &bias };
                geometry.pack_narrow_weights(narrow).unwrap()
            }
            Precision::Bf16 => {
                let values: Vec<bf16> = a.iter().map(|&x| bf16::from_f32(x)).collect();
                geometry.pack_activations(&cpu(), Operand::Bf16(&values), &mut in_steps).unwrap();
                let values: Vec<bf16> =
                    (0..n * k).map(|i| bf16::from_f32(transposed(i))).collect();
                let narrow = WeightsRef::Bf16 { values: &values, bias: &bias };
                geometry.pack_narrow_weights(narrow).unwrap()
            }
        };
        prop_assert!(at_once == in_steps);
        prop_assert!(packed == expected);
    }

    #[test]
    fn results_are_the_exact_part_of_the_padded_rows(kernel in kernels()) {
        let geometry = Geometry::new(kernel).unwrap();
        let Shape { m, n, .. } = kernel.shape;
        let number = |i: usize| bf16::from_f32(f32::from(value(i)));
        let mut buffer = vec![0xff; kernel.host_bytes[2]];
        for i in 0..m * n {
            let at = i / n * kernel.padded.n + i % n;
            put(&mut buffer, 2 * at, &number(i).to_le_bytes());
        }
        let mut narrow = vec![bf16::ZERO; m * n];
        geometry.unpack_narrow(&buffer, &mut narrow).unwrap();
        prop_assert!((0..m * n).all(|i| narrow[i] == number(i)));
        let mut c = vec![9.0; m * n];
        geometry.unpack(&cpu(), &buffer, Output::Store, &mut c).unwrap();
        prop_assert!((0..m * n).all(|i| c[i] == number(i).to_f32()));
        geometry.unpack(&cpu(), &buffer, Output::Add, &mut c).unwrap();
        prop_assert!((0..m * n).all(|i| c[i] == 2.0 * number(i).to_f32()));
    }
}

/// Groups of `k` values, each with its scale.
fn quantise(values: &[f32], k: usize) -> (Vec<i8>, Vec<f32>) {
    let scale = |row: &[f32]| row.iter().fold(0.0_f32, |max, x| max.max(x.abs())) / 127.0;
    let scales: Vec<f32> = values.chunks(k).map(scale).collect();
    let narrow = |(i, x): (usize, &f32)| (x / scales[i / k]).round_ties_even() as i8;
    (values.iter().enumerate().map(narrow).collect(), scales)
}

fn small(precision: Precision, epilogue: Epilogue) -> &'static KernelInfo {
    let layout = Layout::new(Device::Npu1, precision, Tile { m: 16, k: 16, n: 16 });
    kernel(&layout, Shape { m: 5, k: 20, n: 9 }, epilogue)
}

#[test]
fn one_scale_serves_all_rows_when_asked_to() {
    let kernel = small(Precision::I8, Epilogue::Bias);
    let geometry = Geometry::new(kernel).unwrap();
    let a: Vec<f32> = (0..100).map(|i| i as f32 - 20.0).collect();
    let mut buffer = vec![0; kernel.host_bytes[0]];
    let operand = Operand::F32(&a, Scaling::PerTensor);
    geometry.pack_activations(&cpu(), operand, &mut buffer).unwrap();
    for row in 0..5 {
        let at = row_scale_at(kernel, row);
        assert_eq!(buffer[at..at + 4], (79.0_f32 / 127.0).to_le_bytes());
    }
    assert_eq!(buffer[a_index(kernel, 4, 19)], 127);
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let kernel = small(Precision::I8, Epilogue::None);
    let geometry = Geometry::new(kernel).unwrap();
    let mut buffer = vec![0; kernel.host_bytes[0]];
    let mut error =
        |a: Operand<'_>| geometry.pack_activations(&cpu(), a, &mut buffer).unwrap_err().to_string();
    assert_eq!(
        error(Operand::F32(&[0.0; 99], Scaling::PerRow)),
        "A has 99 elements where 100 are needed"
    );
    assert_eq!(
        error(Operand::Bf16(&[bf16::ZERO; 100])),
        "an operand of the other precision does not fit a kernel of i8"
    );
    let error = geometry.pack_weights(&cpu(), &[0.0; 180], Some(&[0.0; 9])).unwrap_err();
    assert!(matches!(error, ArrayError::UnusedBias));
    let mut weights = [0.0; 180];
    weights[47] = f32::INFINITY;
    let error = geometry.pack_weights(&cpu(), &weights, None).unwrap_err();
    assert_eq!(error.to_string(), "the weights of output channel 2 are not all finite");

    let layout = Layout::new(Device::Npu1, Precision::I8, Tile { m: 16, k: 16, n: 16 });
    let mut wrong = kernel_info(&layout, kernel.shape, Epilogue::None);
    wrong.host_bytes[1] += 1;
    let error = Geometry::new(Box::leak(Box::new(wrong))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kernel sequence: host buffers are as large as what is packed into them"
    );
}

#[test]
fn every_compiled_kernel_has_a_geometry() {
    for kernel in crate::kernels::TABLE.kernels() {
        Geometry::new(kernel).unwrap();
    }
}

/// `cargo test --release -p tilewright rate_of_packing -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn rate_of_packing_on_this_machine() {
    let cpu = cpu();
    for kernel in crate::kernels::TABLE.kernels().filter(|kernel| kernel.length == Some(1500)) {
        let geometry = Geometry::new(kernel).unwrap();
        let Shape { m, k, n } = kernel.shape;
        let a: Vec<f32> = (0..m * k).map(|i| f32::from(value(i))).collect();
        let mut buffer = vec![0; kernel.host_bytes[0]];
        let mut c = vec![0.0; m * n];
        let results = vec![0; kernel.host_bytes[2]];
        let median = |work: &mut dyn FnMut()| {
            let mut times: Vec<f64> = (0..15)
                .map(|_| {
                    let start = std::time::Instant::now();
                    work();
                    start.elapsed().as_secs_f64()
                })
                .collect();
            times.sort_by(f64::total_cmp);
            times[7]
        };
        let operand = Operand::F32(&a, Scaling::PerRow);
        let pack = median(&mut || geometry.pack_activations(&cpu, operand, &mut buffer).unwrap());
        let unpack = median(&mut || geometry.unpack(&cpu, &results, Output::Add, &mut c).unwrap());
        let copied = a.clone();
        let mut target = a.clone();
        let copy = median(&mut || target.copy_from_slice(&copied));
        eprintln!(
            "{} {}: pack {:.0} µs ({:.1} GB/s read), unpack {:.0} µs, memcpy of A {:.0} µs",
            kernel.target.name(),
            kernel.op,
            pack * 1e6,
            (m * k * 4) as f64 / pack * 1e-9,
            unpack * 1e6,
            copy * 1e6
        );
    }
}

/// A device that takes two runs at a time, writes down what it is asked, and fails once.
struct Diary {
    target: &'static TargetInfo,
    buffers: [Vec<u8>; 2],
    said: std::sync::Arc<std::sync::Mutex<String>>,
    /// Waits until one fails.
    fails_in: Option<usize>,
    recovers: bool,
}

impl Diary {
    fn say(&self, what: &str) {
        self.said.lock().unwrap().push_str(what);
    }
}

impl super::Device for Diary {
    fn name(&self) -> &'static str {
        "diary"
    }

    fn target(&self) -> &'static TargetInfo {
        self.target
    }

    fn keep(&mut self, _: &KernelInfo, _: SharedBytes) -> Result<WeightsId, ArrayError> {
        Ok(WeightsId(0))
    }

    fn depth(&self) -> usize {
        2
    }

    fn input(&mut self, kernel: &KernelInfo) -> Result<&mut [u8], ArrayError> {
        self.say("i");
        self.buffers[0].resize(kernel.host_bytes[0], 0);
        Ok(&mut self.buffers[0])
    }

    fn start(&mut self, kernel: &KernelInfo, _: WeightsId) -> Result<(), ArrayError> {
        self.say("s");
        self.buffers[1].resize(kernel.host_bytes[2], 0);
        Ok(())
    }

    fn finish(&mut self) -> Result<DeviceTime, ArrayError> {
        self.say("f");
        let left = self.fails_in.map(|left| left.checked_sub(1));
        self.fails_in = left.flatten();
        if left == Some(None) { Err(ArrayError::UnusedBias) } else { Ok(DeviceTime::default()) }
    }

    fn output(&self) -> &[u8] {
        &self.buffers[1]
    }

    fn recover(&mut self, error: ArrayError) -> Result<(), ArrayError> {
        self.say("!");
        if self.recovers { Ok(()) } else { Err(error) }
    }
}

/// What a device is asked for a matmul of three windows.
fn diary(fails_in: Option<usize>, recovers: bool) -> (String, Result<u32, ArrayError>) {
    struct Two(String, Result<u32, ArrayError>);
    struct Ask(Option<usize>, bool);
    impl crate::kernels::Visitor for Ask {
        type Output = Two;

        fn visit<P: crate::kernels::Pass>(self) -> Two {
            let info = <P::AttnOut as tilewright_kernel::Kernel>::INFO;
            let said = std::sync::Arc::default();
            let device = Diary {
                target: info.target,
                buffers: Default::default(),
                said: std::sync::Arc::clone(&said),
                fails_in: self.0,
                recovers: self.1,
            };
            let mut array = super::Array::new(Box::new(device), Cpu::new().unwrap());
            let packed = std::sync::Arc::new(vec![0_u8; info.host_bytes[1]]);
            let weights = array.load::<P::AttnOut>(packed).unwrap();
            let Shape { m, k, n } = info.shape;
            let (a, mut c) = (vec![1.0; 3 * m * k], vec![1.0; 3 * m * n]);
            let spent = array.matmul(&weights, Scaling::PerRow, &a, Output::Store, &mut c);
            if spent.is_ok() {
                assert!(c.iter().all(|&c| c == 0.0), "every window is unpacked");
            }
            let said = said.lock().unwrap().clone();
            Two(said, spent.map(|spent| spent.runs))
        }
    }
    let kernel = crate::kernels::TABLE.kernels().min_by_key(|kernel| kernel.shape.m).unwrap();
    let Two(said, runs) =
        crate::kernels::dispatch(kernel.target, kernel.length, Ask(fails_in, recovers)).unwrap();
    (said, runs)
}

#[test]
fn a_window_is_packed_while_the_one_before_runs() {
    let (said, runs) = diary(None, false);
    assert_eq!((said.as_str(), runs.unwrap()), ("isisfisff", 3));
}

#[test]
fn what_failed_is_repeated_from_where_it_was() {
    // The second window fails; it and the third, which was on the device too, are packed again.
    let (said, runs) = diary(Some(1), true);
    assert_eq!((said.as_str(), runs.unwrap()), ("isisfisf!isisff", 3));
}

#[test]
fn what_is_given_up_leaves_nothing_on_the_device() {
    let (said, runs) = diary(Some(0), false);
    assert!(matches!(runs, Err(ArrayError::UnusedBias)));
    assert_eq!(said, "isisf!ff");
}
