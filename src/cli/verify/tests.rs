//! Designs with mistakes. Those of the table have none, and none can be made from outside: what the
//! command line can do to a kernel stands in `tests/cli`.

use indicatif::ProgressBar;
use serde_json::Value;
use tilewright_kernel::{KernelInfo, TargetInfo};

use super::{Selected, report};
use crate::cli::status::Status;

#[path = "../../../tests/sim/planned.rs"]
mod planned;

/// Two kernels, each of three tiles of K.
const SMALL: &str = r#"
[[model]]
name = "small"
width = 72

[[target]]
device = "npu1"
precision = "i8"
tile = { m = 16, k = 24, n = 32 }

[[op]]
name = "plain"
shape = [40, "width", "width"]

[[op]]
name = "down"
shape = [20, "width", 30]
epilogue = "bias"
"#;

/// The kernels of [`SMALL`] with something in the design of its first core replaced.
fn changed(from: &str, to: &str) -> Selected {
    let change = |module: String| {
        assert!(module.contains(from), "{from}: {module}");
        module.replacen(from, to, 1)
    };
    selected(planned::changed(SMALL, change))
}

fn selected(targets: Vec<(&'static TargetInfo, &'static [KernelInfo])>) -> Selected {
    let [(target, kernels)] = targets[..] else { panic!("{targets:?}") };
    assert_eq!(kernels.len(), 2);
    (target, kernels.iter().collect())
}

fn right() -> Selected {
    selected(planned::targets(SMALL))
}

/// A core keeps its results to itself.
fn hangs() -> Selected {
    changed("aie.objectfifo.release @C_l1_0_0(Produce, 1)\n", "\n")
}

/// A core takes every tile of K for the first.
fn wrong() -> Selected {
    changed("%k_tile = arith.index_cast %k : index to i32", "%k_tile = arith.constant 0 : i32")
}

/// A core reads a sum before there is one, and makes nothing of it.
fn reads_too_early() -> Selected {
    let lock = "aie.use_lock(%go_0_0, AcquireGreaterEqual, 1)\n";
    changed(lock, &format!("{lock} %early = memref.load %acc_0_0[%c0] : memref<512xi32>\n"))
}

/// How it ended, and the report's rows.
fn verified(selected: &[Selected]) -> (Status, Vec<Value>) {
    let report = report(selected, false, &ProgressBar::hidden());
    let Ok((report, status)) = report else { panic!("{}", report.err().unwrap()) };
    let Ok(json) = report.json() else { panic!("no JSON") };
    let mut json: Value = serde_json::from_str(&json).unwrap();
    let Value::Array(rows) = json["kernels"].take() else { panic!("{json}") };
    // What people see has a row for each as well.
    let text = report.text();
    for row in &rows {
        let status = row["status"].as_str().unwrap();
        assert!(text.contains(&format!(" {status}\n")), "{status}: {text}");
    }
    (status, rows)
}

#[test]
fn a_hang_is_status_3_and_says_who_waits() {
    let (status, rows) = verified(&[hangs()]);
    assert_eq!(status as u8, 3);
    // The next kernel has an array of its own, and hangs there.
    for row in rows {
        assert_eq!(row["status"], "hang", "{row}");
        assert!(row["error"].as_str().unwrap().contains("C_l"), "{row}");
        assert_eq!((&row["ulps"], &row["again"]), (&Value::Null, &Value::Null), "{row}");
    }
}

#[test]
fn a_wrong_sum_is_status_4_and_says_which() {
    let (status, rows) = verified(&[wrong()]);
    assert_eq!(status as u8, 4);
    for row in rows {
        assert_eq!(row["status"], "mismatch", "{row}");
        // The first core has the first tile.
        let first = &row["first_wrong_sum"];
        assert_eq!((&first["row"], &first["column"]), (&0.into(), &0.into()), "{row}");
        assert_ne!(first["got"], first["expected"], "{row}");
        assert!(row["wrong_sums"].as_u64().unwrap() > 100, "{row}");
        // Wrong, and always the same.
        assert_eq!(row["again"], true, "{row}");
    }
}

#[test]
fn a_finding_is_status_5_although_all_is_right() {
    let (status, rows) = verified(&[reads_too_early()]);
    assert_eq!(status as u8, 5);
    // From the second kernel on there is an old sum to read.
    let [first, second] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((&first["status"], &second["status"]), (&"findings".into(), &"right".into()));
    let finding = first["findings"][0].as_str().unwrap();
    assert!(finding.starts_with("uninitialised at line "), "{finding}");
    for row in &rows {
        assert_eq!((&row["wrong_sums"], &row["again"]), (&0.into(), &true.into()), "{row}");
    }
}

#[test]
fn of_several_targets_the_gravest_counts() {
    for (targets, expected) in [
        (vec![right()], 0),
        (vec![right(), reads_too_early()], 5),
        (vec![wrong(), reads_too_early(), right()], 4),
        (vec![reads_too_early(), hangs(), wrong()], 3),
    ] {
        let (status, rows) = verified(&targets);
        assert_eq!(status as u8, expected);
        assert_eq!(rows.len(), 2 * targets.len());
    }
}
