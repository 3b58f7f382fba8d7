use tilewright_codegen::{device::*, model::Shape, plan::{array::*, sequence::*, limits}, render::design};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let device = if a[1] == "npu1" { Device::Npu1 } else { Device::Npu2 };
    let p = if a[2] == "i8" { Precision::I8 } else { Precision::Bf16 };
    let layout = Layout::new(device, p, Tile { m: a[3].parse().unwrap(), k: a[4].parse().unwrap(), n: a[5].parse().unwrap() });
    let array = layout.array();
    let mut text = design::configuration(&array).unwrap();
    let mut seqs = String::new();
    eprintln!("{:?}", limits::check_layout(&layout)); eprintln!("{:?}", limits::check_array(&array));
    for (m, k, n, e) in [(1500, 512, 1536, Epilogue::Bias), (1500, 512, 2048, Epilogue::BiasGelu), (384, 2048, 512, Epilogue::None), (20000, 64, 64, Epilogue::None)] {
        let s = Sequence::new(&layout, Shape { m, k, n }, e);
        eprintln!("{:?}", limits::check_sequence(&array, &s));
        seqs += &design::sequence(&array, &s).unwrap();
    }
    text = text.replacen(design::SEQUENCES_MARKER, &seqs, 1);
    println!("{text}");
}
