//! What the kernels of the designs compute.

use std::sync::Arc;

use tilewright_sim::functions::{Argument, CorePorts, Functions, Returned, Scalar, WithPorts};

type Result = std::result::Result<Returned, String>;
type Body = Box<dyn Fn(&mut [Argument<'_>], &mut CorePorts<'_>) -> Result + Send + Sync>;

/// A buffer of the arguments.
fn buffer<'b>(arguments: &'b mut [Argument<'_>], at: usize) -> &'b mut [u8] {
    match &mut arguments[at] {
        Argument::Buffer(bytes) => bytes,
        Argument::Scalar(_) => panic!("argument {at} is a scalar"),
    }
}

fn scalar(arguments: &[Argument<'_>], at: usize) -> i64 {
    match arguments[at] {
        Argument::Scalar(Scalar::Integer(value)) => value,
        _ => panic!("argument {at} is no integer"),
    }
}

/// A buffer as words.
fn words(arguments: &mut [Argument<'_>], at: usize) -> Vec<i32> {
    let words = buffer(arguments, at).chunks_exact(4);
    words.map(|word| i32::from_le_bytes(word.try_into().unwrap())).collect()
}

fn put(arguments: &mut [Argument<'_>], at: usize, words: &[i32]) {
    let target = buffer(arguments, at);
    for (to, word) in target.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}

fn done() -> Result {
    Ok(Returned::default())
}

/// The low word of a cascade's vector of 1024 bits.
fn get(ports: &mut CorePorts<'_>) -> std::result::Result<i32, String> {
    let mut vector = [0; 128];
    ports.get_cascade(&mut vector)?;
    Ok(i32::from_le_bytes([vector[0], vector[1], vector[2], vector[3]]))
}

fn send(ports: &mut CorePorts<'_>, value: i32) {
    let mut vector = [0; 128];
    vector[..4].copy_from_slice(&value.to_le_bytes());
    ports.put_cascade(&vector);
}

/// Tiles m, k, n of r, s, t, as `mm.cc` lays them out.
fn matmul(
    tiles: [usize; 3],
    sizes: [usize; 3],
    gets: bool,
    puts: bool,
) -> impl Fn(&mut [Argument<'_>], &mut CorePorts<'_>) -> Result {
    move |arguments, ports| {
        let ([m_tiles, k_tiles, n_tiles], [m_size, k_size, n_size]) = (tiles, sizes);
        let (a, b, mut c) = (words(arguments, 0), words(arguments, 1), words(arguments, 2));
        for m_tile in 0..m_tiles {
            for n_tile in 0..n_tiles {
                for k_tile in 0..k_tiles {
                    let a_at = (k_tile * m_tiles + m_tile) * m_size * k_size;
                    let b_at = (n_tile * k_tiles + k_tile) * k_size * n_size;
                    let c_at = (n_tile * m_tiles + m_tile) * m_size * n_size;
                    for m in 0..m_size {
                        for n in 0..n_size {
                            let mut sum = 0_i32;
                            if gets && k_tile == 0 {
                                sum = get(ports)?;
                            }
                            for k in 0..k_size {
                                let product =
                                    a[a_at + m * k_size + k].wrapping_mul(b[b_at + k * n_size + n]);
                                sum = sum.wrapping_add(product);
                            }
                            let at = c_at + m * n_size + n;
                            c[at] = c[at].wrapping_add(sum);
                            if puts && k_tile == k_tiles - 1 {
                                send(ports, c[at]);
                            }
                        }
                    }
                }
            }
        }
        put(arguments, 2, &c);
        done()
    }
}

/// All of them.
pub(crate) fn functions() -> Functions {
    let mut functions = Functions::new();
    let mut simple = |name: &str, body: fn(&mut [Argument<'_>]) -> Result| {
        functions.register(name, Arc::new(body));
    };
    simple("add_one", |a| {
        let count = scalar(a, 2) as usize;
        let sums: Vec<i32> = words(a, 0)[..count].iter().map(|x| x + 1).collect();
        put(a, 1, &sums);
        done()
    });
    simple("scale_by_two", |a| {
        let count = scalar(a, 2) as usize;
        let doubled: Vec<i32> = words(a, 0)[..count].iter().map(|x| x * 2).collect();
        put(a, 1, &doubled);
        done()
    });
    simple("scale_int32", |a| {
        let scaled: Vec<i32> = words(a, 0).iter().map(|x| x.wrapping_mul(3)).collect();
        put(a, 1, &scaled);
        done()
    });
    simple("vector_scalar_mul_aie_scalar", |a| {
        let (factor, count) = (words(a, 2)[0], scalar(a, 3) as usize);
        let scaled: Vec<i32> =
            words(a, 0)[..count].iter().map(|x| x.wrapping_mul(factor)).collect();
        put(a, 1, &scaled);
        done()
    });
    simple("thresholdLine", |a| {
        let (limit, most) = (scalar(a, 3) as u8, scalar(a, 4) as u8);
        let line = buffer(a, 0).to_vec();
        for (to, from) in buffer(a, 1).iter_mut().zip(line) {
            *to = if from > limit { most } else { 0 };
        }
        done()
    });
    simple("sum", |a| {
        let sums: Vec<i32> = words(a, 0).iter().zip(words(a, 1)).map(|(x, y)| x + y).collect();
        put(a, 1, &sums);
        done()
    });
    simple("zero", |a| {
        buffer(a, 0).fill(0);
        done()
    });
    // These mark traces.
    for name in ["event_0", "event_1", "flush_trace"] {
        simple(name, |_| done());
    }
    more(&mut simple);
    let mut ports = |name: &str, body: Body| functions.register(name, Arc::new(WithPorts(body)));
    ports(
        "extern_kernel1",
        Box::new(|_, ports| {
            send(ports, 14);
            done()
        }),
    );
    ports(
        "extern_kernel2",
        Box::new(|_, ports| {
            get(ports)?;
            send(ports, 114);
            done()
        }),
    );
    ports(
        "extern_kernel3",
        Box::new(|a, ports| {
            let got = get(ports)?;
            let count = scalar(a, 1) as usize;
            let values: Vec<i32> = (0..count).map(|i| if i == 5 { got + 100 } else { 0 }).collect();
            put(a, 0, &values);
            done()
        }),
    );
    ports(
        "read_processor_bus",
        Box::new(|a, ports| {
            let (start, count, stride) = (scalar(a, 1), scalar(a, 2), scalar(a, 3));
            let read = (0..count).map(|i| ports.read_register((start + i * stride) as u32));
            let read: std::result::Result<Vec<u32>, String> = read.collect();
            let read: Vec<i32> = read?.into_iter().map(|word| word as i32).collect();
            put(a, 0, &read);
            done()
        }),
    );
    ports(
        "matmul_scalar_2x2x2_4x8x4_i32_i32",
        Box::new(matmul([2, 2, 2], [4, 8, 4], false, false)),
    );
    ports(
        "matmul_scalar_4x2x4_4x8x4_i32_i32",
        Box::new(matmul([4, 2, 4], [4, 8, 4], false, false)),
    );
    let small = ([4, 1, 4], [4, 4, 4]);
    for (name, gets, puts) in [("put", false, true), ("put_get", true, true), ("get", true, false)]
    {
        let symbol = format!("matmul_scalar_{name}_4x1x4_4x4x4_i32_i32");
        ports(&symbol, Box::new(matmul(small.0, small.1, gets, puts)));
        let symbol = format!("matmul_scalar_{name}_4x1x4_4x8x4_i32_i32");
        ports(&symbol, Box::new(matmul(small.0, [4, 8, 4], gets, puts)));
    }
    functions
}

/// Kernels of the designs that Python scripts make.
fn more(simple: &mut impl FnMut(&str, fn(&mut [Argument<'_>]) -> Result)) {
    for name in ["passthrough_64_i32", "passthrough_10_i32", "passthrough", "passThroughLine"] {
        simple(name, |a| {
            let from = buffer(a, 0).to_vec();
            buffer(a, 1).copy_from_slice(&from);
            done()
        });
    }
    simple("add_10_i32", |a| {
        let sums: Vec<i32> = words(a, 0).iter().zip(words(a, 1)).map(|(x, y)| x + y).collect();
        put(a, 2, &sums);
        done()
    });
    simple("concat", |a| {
        let all = [buffer(a, 0).to_vec(), buffer(a, 1).to_vec()].concat();
        buffer(a, 2).copy_from_slice(&all);
        done()
    });
}
