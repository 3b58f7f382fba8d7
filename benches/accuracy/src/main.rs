//! Prints how accurate each size is at each precision: `cargo run --release -p accuracy -- [SIZE…]`.

use accuracy::{Error, NUMERICS, goldens, measure, measure_decoder};

const SIZES: [&str; 6] = ["nano", "tiny", "base", "small", "medium", "large-v3-turbo"];

fn main() -> Result<(), Error> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let goldens = goldens();
    println!("| size | precision | cosine | mean abs | max abs | relative | encoder ms |");
    println!("|---|---|---|---|---|---|---|");
    let sizes = || SIZES.iter().filter(|size| named.is_empty() || named.iter().any(|n| n == *size));
    for size in sizes() {
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
    println!("\n| size | decoder | max abs | relative | greedy tokens | ms per token |");
    println!("|---|---|---|---|---|---|");
    for size in sizes() {
        for (name, numeric) in NUMERICS.into_iter().take(3) {
            let measured = measure_decoder(&goldens, size, numeric)?;
            let pairs = measured.greedy.iter().zip(&measured.reference);
            let same = pairs.take_while(|(ours, theirs)| ours == theirs).count();
            println!(
                "| {size} | {name} | {:.2e} | {:.3} % | {same} of {} | {:.2} |",
                measured.distance.max_abs,
                measured.distance.relative * 100.0,
                measured.reference.len(),
                measured.time.as_secs_f64() * 1000.0
            );
        }
    }
    Ok(())
}
