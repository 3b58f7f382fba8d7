//! Runs the block on every target that `model.toml` declares, and says how far the targets'
//! precisions take the result from each other.

use tilewright_kernel::{Reference, TargetInfo};
use transformer_block::kernels::{Pass, TABLE, Visitor, deit_tiny, dispatch};
use transformer_block::{Block, Parameters};

/// The shorter of the compiled lengths.
const TOKENS: usize = deit_tiny::TOKENS[0];
const WIDTH: usize = deit_tiny::WIDTH;

struct RunBlock<'a>(&'a Parameters);

impl Visitor for RunBlock<'_> {
    type Output = Result<Vec<f32>, Box<dyn std::error::Error>>;

    fn visit<P: Pass>(self) -> Self::Output {
        let mut hidden = noise(1, TOKENS * WIDTH, 1.0);
        Block::<P>::new(self.0)?.run(&Reference, &mut hidden)?;
        Ok(hidden)
    }
}

/// Numbers between −scale and scale from a linear congruential generator.
fn noise(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..count).map(|_| next()).collect()
}

fn parameters() -> Parameters {
    let matrix = |seed, k: usize, n: usize| {
        (noise(seed, k * n, (3.0 / k as f32).sqrt()), noise(seed + 100, n, 0.1))
    };
    Parameters {
        qkv: matrix(2, WIDTH, 3 * WIDTH),
        proj: matrix(3, WIDTH, WIDTH),
        mlp_up: matrix(4, WIDTH, 4 * WIDTH),
        mlp_down: matrix(5, 4 * WIDTH, WIDTH),
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parameters = parameters();
    let run = |target: &TargetInfo| {
        dispatch(target, Some(TOKENS), RunBlock(&parameters)).ok_or("no pass")?
    };
    let mut first: Option<Vec<f32>> = None;
    for target in TABLE.targets {
        let hidden = run(target)?;
        let cosine = cosine(first.get_or_insert_with(|| hidden.clone()), &hidden);
        println!("{}: tile {}, cosine to the first target {cosine:.6}", target.name(), target.tile);
        if cosine < 0.999 {
            return Err("the targets disagree".into());
        }
    }
    Ok(())
}
