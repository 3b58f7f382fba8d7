//! Whatever a model file says, the planner answers: with a plan that keeps every limit, or with
//! problems; never with a panic.

mod common;

use common::models::model_file;
use proptest::prelude::*;
use tilewright_codegen::device::Device;
use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::Plan;
use tilewright_codegen::plan::limits::{check_array, check_layout, check_sequence};
use tilewright_codegen::render::Rendered;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_accepted_model_keeps_every_limit_and_covers_every_shape(text in model_file()) {
        let file = ModelFile::parse("model.toml", &text).expect("it makes sense by itself");
        let Ok(plan) = Plan::new(&file) else { return Ok(()) };
        for design in &plan.designs {
            prop_assert_eq!(check_layout(&design.layout), []);
            prop_assert_eq!(check_array(&design.array), []);
            for sequence in &design.sequences {
                prop_assert_eq!(check_sequence(&design.array, sequence), []);
            }
            let (tile, columns) = (design.layout.tile, design.layout.device.columns());
            for kernel in &design.kernels {
                let blocks = [
                    (kernel.shape.m, kernel.padded.m, tile.m * Device::ROWS),
                    (kernel.shape.k, kernel.padded.k, tile.k),
                    (kernel.shape.n, kernel.padded.n, tile.n * columns),
                ];
                for (exact, padded, block) in blocks {
                    prop_assert!(padded >= exact && padded - exact < block && padded % block == 0);
                }
                prop_assert!(kernel.cost.utilisation > 0.0 && kernel.cost.utilisation <= 1.0);
                prop_assert!(kernel.cost.array_us.is_finite() && kernel.cost.array_us > 0.0);
            }
        }
        prop_assert!(Rendered::new(&file, &plan).is_ok());
    }

    #[test]
    fn an_unchecked_plan_never_panics(text in model_file()) {
        let file = ModelFile::parse("model.toml", &text).expect("it makes sense by itself");
        let (plan, refusals) = Plan::unchecked(&file);
        prop_assert_eq!(refusals.is_empty(), Plan::new(&file).is_ok());
        prop_assert!(Rendered::new(&file, &plan).is_ok());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = ModelFile::parse("model.toml", &text);
    }

    /// A good file with a few bytes changed is nearer to what people write than noise.
    #[test]
    fn no_typo_makes_the_planner_panic(
        text in model_file(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[\\x20-\\x7e\\n]"), 1..4),
    ) {
        let mut text = text;
        for (at, with) in edits {
            let at = at.index(text.len());
            text.replace_range(at..at + 1, &with);
        }
        if let Ok(file) = ModelFile::parse("model.toml", &text) {
            let _ = Plan::unchecked(&file);
        }
    }
}
