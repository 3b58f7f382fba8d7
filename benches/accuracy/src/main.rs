//! Prints how accurate each size is at each precision: `cargo run --release -p accuracy -- [SIZE…]`.

use accuracy::{Error, NUMERICS, goldens, measure};

const SIZES: [&str; 6] = ["nano", "tiny", "base", "small", "medium", "large-v3-turbo"];

fn main() -> Result<(), Error> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let goldens = goldens();
    println!("| size | precision | cosine | mean abs | max abs | relative | encoder ms |");
    println!("|---|---|---|---|---|---|---|");
    for size in SIZES.iter().filter(|size| named.is_empty() || named.iter().any(|n| n == *size)) {
        for (name, numeric) in NUMERICS {
            let measured = measure(&goldens, size, numeric, 3)?;
            let d = measured.distance;
            println!(
                "| {size} | {name} | {:.7} | {:.2e} | {:.2e} | {:.3} % | {:.0} |",
                d.cosine,
                d.mean_abs,
                d.max_abs,
                d.relative * 100.0,
                measured.time.as_secs_f64() * 1000.0
            );
        }
    }
    Ok(())
}
