//! `tilewright doctor` on this machine, whatever it is.

use super::{Outcome, Sandbox};

#[test]
fn the_status_says_whether_the_npu_would_work() {
    let sandbox = Sandbox::new();
    // Without XRT nothing works.
    let doctor = |arguments: &[&str]| {
        let mut command = sandbox.command(&[&["doctor"], arguments].concat());
        Outcome::of(command.env("TILEWRIGHT_XRT", sandbox.path("no-xrt")))
    };
    let Outcome { status, stdout, stderr } = doctor(&["--json"]);
    assert_eq!((status, stderr.as_str()), (Some(1), ""));
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
    assert_eq!(report["npu_works"], false);
    let checks = report["checks"].as_array().expect("a list");
    let xrt = checks.iter().find(|check| check["check"] == "XRT").expect("it is checked");
    assert_eq!(xrt["state"], "missing");
    assert!(xrt["debian"].is_string() && xrt["ubuntu"].is_string(), "{xrt}");
    let text = doctor(&[]).stdout;
    for check in checks {
        assert!(text.contains(check["check"].as_str().expect("a name")), "{check}");
    }
    assert!(text.contains("The NPU would not work."), "{text}");
}
