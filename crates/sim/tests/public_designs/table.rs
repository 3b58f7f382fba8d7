//! The designs, what their hosts put in and what they check.

use super::Case;

const NPU1: &[&str] = &["npu1_1col"];
/// Most are built for both.
const BOTH: &[&str] = &["npu1_1col", "npu2_1col"];

pub(crate) fn bytes(words: impl IntoIterator<Item = i32>) -> Vec<u8> {
    words.into_iter().flat_map(i32::to_le_bytes).collect()
}

/// A buffer that is only read.
pub(crate) fn input(words: impl IntoIterator<Item = i32>) -> (Vec<u8>, Option<Vec<u8>>) {
    let bytes = bytes(words);
    (bytes.clone(), Some(bytes))
}

/// One that is only written.
pub(crate) fn output(words: impl IntoIterator<Item = i32>) -> (Vec<u8>, Option<Vec<u8>>) {
    let bytes = bytes(words);
    (vec![0xee; bytes.len()], Some(bytes))
}

pub(crate) fn unused(size: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    (vec![0xdd; size], Some(vec![0xdd; size]))
}

fn input8(values: impl IntoIterator<Item = i32>) -> (Vec<u8>, Option<Vec<u8>>) {
    let bytes: Vec<u8> = values.into_iter().map(|value| value as u8).collect();
    (bytes.clone(), Some(bytes))
}

fn output8(values: impl IntoIterator<Item = i32>) -> (Vec<u8>, Option<Vec<u8>>) {
    let bytes: Vec<u8> = values.into_iter().map(|value| value as u8).collect();
    (vec![0xee; bytes.len()], Some(bytes))
}

/// Numbers that look random.
pub(crate) fn random(count: usize, most: i32) -> Vec<i32> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as i32 % most
    };
    (0..count).map(|_| next()).collect()
}

pub(crate) type Buffers = Vec<(Vec<u8>, Option<Vec<u8>>)>;

pub(crate) fn case(path: &'static str, devices: &'static [&'static str], buffers: Buffers) -> Case {
    Case {
        path,
        devices,
        device: "",
        sequence: "",
        buffers,
        passes: "",
        dynamic: false,
        deserves: &[],
    }
}

impl Case {
    pub(crate) fn device(self, device: &'static str) -> Self {
        Self { device, ..self }
    }

    pub(crate) fn sequence(self, sequence: &'static str) -> Self {
        Self { sequence, ..self }
    }

    pub(crate) fn passes(self, passes: &'static str) -> Self {
        Self { passes, ..self }
    }

    pub(crate) fn dynamic(self) -> Self {
        Self { dynamic: true, ..self }
    }

    pub(crate) fn deserves(self, deserves: &'static [&'static str]) -> Self {
        Self { deserves, ..self }
    }
}

/// A control packet that writes one word.
fn packet(address: u32, value: u32) -> [i32; 2] {
    let parity = |word: u32| word | u32::from(word.count_ones().is_multiple_of(2)) << 31;
    [parity(address) as i32, value as i32]
}

/// A control packet that reads four words, answered as a packet of that id.
fn request(address: u32, id: u32) -> i32 {
    let word = id << 24 | 1 << 22 | 3 << 20 | address;
    (word | u32::from(word.count_ones().is_multiple_of(2)) << 31) as i32
}

/// 64 numbers from 1 on, an unused buffer of 32, 64 numbers from `from` on.
fn adds(from: i32) -> Buffers {
    vec![input(1..65), unused(128), output(from..from + 64)]
}

fn copies(words: i32) -> Buffers {
    let size = words as usize * 4;
    vec![input(1..=words), unused(size), output(1..=words)]
}

/// One row of zeros around `inner` of what goes in, `width` in all, plus `add`.
fn padded(rows: i32, width: i32, inner: std::ops::Range<i32>, add: i32) -> Vec<i32> {
    let mut next = 0;
    let mut values = Vec::new();
    for _ in 0..rows {
        for column in 0..width {
            if inner.contains(&column) {
                next += 1;
                values.push(next + add);
            } else {
                values.push(add);
            }
        }
    }
    values
}

fn quarters() -> impl Iterator<Item = i32> {
    [2048, 0, 3072, 1024].into_iter().flat_map(|from| from + 1..from + 1025)
}

fn sums() -> Vec<i32> {
    let mut rows = vec![1, 1];
    while rows.len() < 8 {
        rows.push(rows.iter().sum());
    }
    rows.iter().flat_map(|&row| [row; 16]).collect()
}

fn matmul(path: &'static str) -> Case {
    let (a, b) = (random(256, 1000), random(256, 900));
    let c = (0..256).map(|at| (0..16).map(|k| a[at / 16 * 16 + k] * b[k * 16 + at % 16]).sum());
    case(path, &["npu1"], vec![input(a.clone()), input(b.clone()), output(c)])
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = designs();
    cases.extend(control());
    cases.extend(from_scripts());
    cases
}

fn designs() -> Vec<Case> {
    let border = |i: i32| {
        let (row, column) = (i / 64, i % 64);
        if (2..63).contains(&row) && (4..60).contains(&column) { 13 } else { 12 }
    };
    let halves = |i: i32| if i < 4096 { 13 } else { 8 };
    let image = random(8192, 256);
    let threshold: Vec<i32> = image.iter().map(|&x| if x > 50 { 255 } else { 0 }).collect();
    let six = || {
        let mut sums = vec![10];
        sums.extend((0..8).map(|i| (12 * i..12 * i + 12).map(|j| 2 * j + 3).sum::<i32>()));
        vec![input(0..5), input(1..97), input(2..98), output(sums)]
    };
    let initial = || vec![input(1..257), unused(1024), output((0..256).map(|i| 2 * i + 1))];
    let cascade = (0..64).map(|i| if i == 5 { 214 } else { 0 });
    let mut cases = vec![
        case(
            "add_12_i8_using_2d_dma_op_with_padding/aie",
            BOTH,
            vec![input8([1; 61 * 56]), unused(32), output8((0..4096).map(border))],
        ),
        case(
            "add_21_i8_using_dma_op_with_padding/aie",
            BOTH,
            vec![input8((1..33).chain([0; 32])), unused(32), output8(padded(4, 16, 4..12, 21))],
        ),
        case(
            "add_256_using_dma_op_no_double_buffering/aie",
            BOTH,
            vec![input(0..64), unused(128), output(256..320)],
        ),
        case("add_314_using_dma_op/aie", BOTH, adds(315)),
        case(
            "add_378_i32_using_dma_op_with_padding/aie",
            BOTH,
            vec![input((1..53).chain([0; 12])), unused(128), output(padded(4, 16, 2..15, 378))],
        ),
        case(
            "add_blockwrite/aie",
            BOTH,
            vec![
                input(1..65),
                unused(128),
                output((0..64).map(|i| i + 1 + if i % 8 == 4 { 42 } else { i % 8 + 1 })),
            ],
        ),
        case(
            "add_maskwrite/aie",
            BOTH,
            vec![output({
                let mut words = [0x3737_3737_u32; 8];
                words[0] = words[0] & !0xf0f0_f0f0 | 0x1234_5678 & 0xf0f0_f0f0;
                words[1] = words[1] & !0x0f0f_0f0f | 0x9abc_def0 & 0x0f0f_0f0f;
                words.map(|word| word as i32 + 1)
            })],
        )
        .sequence("seq"),
        case("add_one_using_dma/aie", BOTH, adds(2)),
        case("add_one_objFifo/aie", BOTH, adds(42)),
        case("add_one_objFifo_elf/aie", BOTH, adds(42)),
        case("add_one_cpp_aiecc/aie", BOTH, adds(2)),
        case("add_one_cpp_aiecc_xchesscc/aie", BOTH, adds(2)),
        case("add_one_func_link_with_chess/aie", BOTH, adds(2)),
        case("add_one_func_link_with_peano/aie", BOTH, adds(2)),
        case("add_one_two/aie", BOTH, adds(2)).device("design1"),
        case("add_one_two/aie", BOTH, adds(3)).device("design2"),
        case("add_one_two_runlist/aie", BOTH, vec![input(1..65), output(2..66)])
            .device("aie_add_1"),
        case("add_one_two_runlist/aie", BOTH, vec![input(1..65), output(3..67)])
            .device("aie_add_2"),
        case("add_one_two_txn/aie", BOTH, vec![input(1..65), output(2..66)]).device("add_one"),
        case("add_one_two_txn/aie", BOTH, vec![input(1..65), output(103..167)]).device("add_two"),
        case("cascade_flows/aie", NPU1, vec![input(1..65), unused(128), output(cascade)]),
        case("core_dmas/dma_configure_task_lock/aie", BOTH, vec![input(1..1025), output(1..1025)]),
        case("core_dmas/dma_configure_task_token/aie", BOTH, vec![input(1..1025), output(1..1025)]),
        case(
            "memtile_dmas/dma_configure_task_lock/aie",
            BOTH,
            vec![input(1..4097), output(quarters())],
        ),
        case(
            "memtile_dmas/dma_configure_task_token/aie",
            BOTH,
            vec![input(1..4097), output(quarters())],
        ),
        case("dmabd_task_queue/aie", &["npu1", "npu2_4col"], six())
            .sequence("six")
            // Its second transfer is written into the descriptor of the first at once.
            .deserves(&["descriptor 0 of shim (0, 0) is written while the transfer"]),
        case("packet_flow/aie", BOTH, vec![input8([1; 4096]), unused(32), output8([13; 4096])]),
        case(
            "packet_flow_fanin/aie",
            BOTH,
            vec![input8([1; 8192]), unused(32), output8((0..8192).map(halves))],
        ),
        case(
            "packet_flow_fanout/aie",
            BOTH,
            vec![input8([1; 8192]), unused(32), output8((0..8192).map(halves))],
        ),
        case("loadpdi/aie", NPU1, vec![(bytes(0..512), Some(bytes(2..514)))]).sequence("sequence"),
        case(
            "reconfigure_loadpdi/aie",
            NPU1,
            vec![{
                let add = |i: i32| match i / 4 {
                    0 => 2,
                    1 => 3,
                    3 => 5,
                    _ => 0,
                };
                (bytes(0..512), Some(bytes((0..512).map(|i| i + add(i)))))
            }],
        )
        .sequence("sequence"),
        case(
            "reconfigure_loadpdi_persistent_memtile/aie",
            NPU1,
            vec![{
                let known = [11, 22, 33, 44, 11, 22, 33, 44];
                let after = known.into_iter().chain(8..512);
                (bytes(0..512), Some(bytes(after)))
            }],
        )
        .sequence("sequence"),
        case(
            "runtime_cumsum/aie",
            NPU1,
            vec![{
                let before = (0..128).map(|i| i32::from(i < 16));
                (bytes(before), Some(bytes(sums())))
            }],
        )
        .sequence("sequence"),
        case("static_L1_init/aie", BOTH, initial()),
        case("vec_vec_add_tile_init/aie", BOTH, initial()),
        case("vec_vec_add_memtile_init/aie", BOTH, initial()),
        case(
            "tile_mapped_read/aie",
            NPU1,
            vec![input([0xfab_cdef; 64]), output((0..64).map(|i| i % 8 + 42))],
        ),
        case("two_col/aie", NPU1, vec![input8(image), unused(128), output8(threshold)]),
        case(
            "vec_mul_event_trace/aie",
            NPU1,
            vec![
                input(1..4097),
                input([3]),
                output((1..4097).map(|i| 3 * i)),
                unused(4),
                unused(8192 * 4),
            ],
        ),
        case(
            "vector_scalar_using_dma/aie",
            NPU1,
            vec![input(1..4097), unused(4096 * 4), output((1..4097).map(|i| 3 * i))],
        ),
        matmul("matrix_multiplication_using_cascade/aie_plainx1"),
        matmul("matrix_multiplication_using_cascade/aie_plainx4"),
        matmul("matrix_multiplication_using_cascade/aie_bufferx4"),
        matmul("matrix_multiplication_using_cascade/aie_cascadex4"),
    ];
    for path in ["add_one_scale_func_link_with_chess/aie", "add_one_scale_func_link_with_peano/aie"]
    {
        let doubled = output((0..64).map(|i| (i + 2) * 2));
        cases.push(case(path, BOTH, vec![input(1..65), unused(128), doubled]));
    }
    for path in [
        "memtile_dmas/blockwrite_using_locks/aie",
        "memtile_dmas/writebd/aie",
        "memtile_dmas/writebd_tokens/aie",
        "tile_dmas/blockwrite_using_locks/aie",
        "tile_dmas/writebd/aie",
        "tile_dmas/writebd_tokens/aie",
    ] {
        cases.push(case(path, NPU1, copies(4096)));
    }
    cases
}

/// They wait for answers that nobody asks for.
const IDLE: &[&str] = &["(`ctrl0`) still writes to the host", "shim (0, 0) S2MM 0"];

/// Those with control packets.
fn control() -> Vec<Case> {
    let locks = [packet(0x1_f000, 2), packet(0x1_f020, 2)].concat();
    let mut with_requests = locks.clone();
    with_requests.extend([request(0x440, 2), request(0x450, 2)]);
    with_requests.resize(8, 0);
    let cores = locks.repeat(4);
    let four = || output((0..32).map(|i| 7 + i % 8));
    let several = || (0..16384).map(|i| i + 1);
    let each = |add: i32| several().map(move |x| x + add + (x - 1) / 4096);
    let columns = || (0..16384).map(|i| i % 128 + 1);
    let each_column = || output8(columns().enumerate().map(|(i, x)| x + 12 + (i / 4096) as i32));
    vec![
        case("add_one_ctrl_packet/aie", BOTH, vec![
            output(8..16),
            input(with_requests),
            output(7..15),
        ])
        .sequence("seq"),
        case("add_one_ctrl_packet_4_cores/aie", &["npu1", "npu2_4col"], vec![
            unused(32),
            input(cores.clone()),
            four(),
        ])
        .sequence("seq")
        .deserves(IDLE),
        case("add_one_ctrl_packet_col_overlay/aie", &["npu1"], vec![
            unused(32),
            input(cores),
            four(),
        ])
        .sequence("seq")
        .passes("aie-assign-tile-controller-ids,aie-generate-column-control-overlay{route-shim-to-tile-ctrl=true}")
        .deserves(IDLE),
        case("ctrl_packet_reconfig/aie", BOTH, vec![
            input8((0..4096).map(|i| i + 1)),
            output8((0..4096).map(|i| i + 13)),
        ])
        .device("main")
        .sequence("run"),
        case("ctrl_packet_reconfig_elf/aie", BOTH, vec![
            input8((0..4096).map(|i| i % 64 + 1)),
            output8((0..4096).map(|i| i % 64 + 4)),
        ])
        .device("main")
        .sequence("run"),
        case("ctrl_packet_reconfig_1x4_cores/aie", BOTH, vec![
            input8(several()),
            output8(each(12)),
        ])
        .device("main")
        .sequence("run"),
        case("ctrl_packet_reconfig_4x1_cores/aie", &["npu1", "npu2"], vec![
            input8(columns()),
            each_column(),
        ])
        .device("main")
        .sequence("run"),
    ]
}

/// Those that Python scripts make.
fn from_scripts() -> Vec<Case> {
    let rows = random(100, 1000);
    let row = |i: usize| rows[10 * i..10 * i + 10].to_vec();
    let pair = |i: usize, j: usize| -> Vec<i32> {
        row(i).iter().zip(row(j)).map(|(a, b)| a + b).collect()
    };
    let windows: Vec<i32> = (0..10).flat_map(|i: usize| pair(i.saturating_sub(1), i)).collect();
    let halves: Vec<i32> = (0..5).flat_map(|i| pair(2 * i, 2 * i + 1)).collect();
    let five: Vec<i32> = (0..5).flat_map(|i| row(i).repeat(5)).collect();
    let repeated = |count: i32| (0..4 * count).map(move |i| i % count + 1);
    let distributed = (0..4096).map(|i| match i {
        0..2048 => i % 512 + 2,
        _ => i % 512 + 512 + 3,
    });
    let tiled = (0..16 * 128).map(|i| {
        // Tiles of 16 x 32, of which pieces of 4 x 8 come one after the other.
        let (tile, piece, at) = (i / 512, i % 512 / 32, i % 32);
        let (row, column) = (piece / 4 * 4 + at / 8, piece % 4 * 8 + at % 8);
        tile * 512 + row * 32 + column
    });
    let transposed = (0..133).map(|i| i % 7 * 19 + i / 7);
    let shorts = |values: &[i16]| -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    let same = |bytes: Vec<u8>| (bytes.clone(), Some(bytes));
    let (even, odd): (Vec<i16>, Vec<i16>) =
        ((0..8).map(|i| 2 * i).collect(), (0..12).map(|i| 2 * i + 1).collect());
    let mixed: [i16; 22] =
        [0, 0, 0, 2, 8, 10, 4, 6, 12, 14, 1, 3, 9, 11, 17, 19, 5, 7, 13, 15, 21, 23];
    let line: Vec<i16> = (0..2048).collect();
    let chunks = random(16384, 256);
    let twice: Vec<i32> = (0..32768).map(|i| chunks[i / 2048 * 1024 + i % 1024]).collect();
    let tokens = || {
        let sums = (0..16).map(|i| (16 * i..16 * i + 16).sum::<i32>());
        vec![input(0..256), output(sums)]
    };
    let initial = |from: i32| (0..256).map(move |i| from + i);
    let cases = vec![
        case("ping_pong", BOTH, vec![input(0..1024), output(0..1024)]),
        case(
            "sliding_window_conditional",
            BOTH,
            vec![input(rows.clone()), output(windows.clone())],
        )
        .dynamic(),
        case("two_core_sliding_window", BOTH, vec![input(rows.clone()), output(windows)]).dynamic(),
        case("reduction", BOTH, vec![input(rows.clone()), output(halves)]),
        case("nested_loops", BOTH, vec![input(rows[..50].to_vec()), output(five)]),
        case("compute_repeat", BOTH, vec![input(1..1025), unused(4096), output(repeated(1024))]),
        case("init_values_repeat", BOTH, vec![unused(2048), unused(2048), output(repeated(512))]),
        case("distribute_repeat", BOTH, vec![input(1..1025), unused(4096), output(distributed)]),
        case("neighbor_tile_memory_access", BOTH, vec![input(1..1025), output(2..1026)]),
        case("dma_complex_dims", BOTH, vec![input(0..2048), unused(8192), output(tiled)]),
        case("matrix_transpose", &["npu1"], vec![input(0..133), output(transposed)]),
        case(
            "nd_memcpy_transforms",
            &["npu1"],
            vec![same(shorts(&even)), same(shorts(&odd)), (vec![0; 44], Some(shorts(&mixed)))],
        )
        // Two transfers of one shim are written into the same descriptor.
        .deserves(&["descriptor 1 of shim (0, 0) is written while the transfer"]),
        case(
            "nd_memcpy_linear_repeat",
            &["npu1"],
            vec![
                same(shorts(&line)),
                unused(4096),
                (vec![0; 3 * 4096], Some(shorts(&line.repeat(3)))),
            ],
        ),
        case("dma_task_large_linear", &["npu1"], vec![input(0..65536), output(1..65537)]),
        case(
            "two_memtiles",
            &["npu1"],
            vec![input([1; 256]), unused(1024), output((0..256).map(|i| i + 1))],
        ),
        case(
            "bd_chain_repeat_on_memtile",
            BOTH,
            vec![input8(chunks), output8(twice), unused(16384)],
        ),
        case("sync_task_complete_token", &["npu1"], tokens()),
        case("sync_task_complete_token_bd_chaining", &["npu1"], tokens()),
        case(
            "vec_vec_add_objfifo_init",
            BOTH,
            vec![unused(1024), input(initial(0)), output((0..256).map(|i| 2 * i + 1))],
        ),
    ];
    cases.into_iter().map(|case| case.sequence("sequence")).collect()
}
