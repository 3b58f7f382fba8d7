//! Machines, and what is said of them.

use std::io::ErrorKind;
use std::path::PathBuf;

use tilewright::backend::npu::Description;
use tilewright_kernel::Device;

use super::facts::{self, Facts};
use super::judge::{Check, State, judge};

/// A machine on which the NPU works.
fn good() -> Facts {
    Facts {
        kernel: Some("6.14.0".to_owned()),
        pci: vec![("0000:c4:00.1".to_owned(), Device::Npu1)],
        driver: true,
        nodes: vec![(PathBuf::from("/dev/accel/accel0"), Ok(()))],
        memlock: None,
        privileged: false,
        xrt: Ok("2.25.0, libxrt_coreutil.so.2".to_owned()),
        device: Ok(Description {
            name: "NPU Phoenix".to_owned(),
            bdf: "0000:c4:00.1".to_owned(),
            firmware: Some("1.5.2.380".to_owned()),
            xrt: "2.25.0".to_owned(),
            generation: Some(Device::Npu1),
        }),
        compiled: vec![Device::Npu1],
        toolchain: Ok("aiecc".to_owned()),
        memory: Some([32 << 30, 16 << 30]),
        isa: "avx512".to_owned(),
    }
}

/// Names of the checks that are not ok, with their states.
fn bad(facts: &Facts) -> Vec<(&'static str, State)> {
    let checks = judge(facts);
    let remedied = |check: &Check| check.state != State::Missing || check.remedy.is_some();
    assert!(checks.iter().all(remedied), "what is missing has a remedy: {checks:?}");
    let bad = checks.iter().filter(|check| check.state != State::Ok);
    bad.map(|check| (check.check, check.state)).collect()
}

#[test]
fn a_machine_on_which_all_is_well() {
    assert_eq!(bad(&good()), []);
}

#[test]
fn each_thing_that_is_missing_is_found() {
    use State::{Missing, Optional};
    type Change = fn(&mut Facts);
    let cases: [(Change, &[(&str, State)]); 9] = [
        (|facts| facts.pci.clear(), &[("NPU", Missing)]),
        (|facts| facts.driver = false, &[("kernel driver", Missing)]),
        (|facts| facts.nodes.clear(), &[("device node", Missing)]),
        (|facts| facts.nodes[0].1 = Err(ErrorKind::PermissionDenied), &[("device node", Missing)]),
        (|facts| facts.memlock = Some(8 << 20), &[("memlock", Missing)]),
        (|facts| facts.memlock = Some(128 << 20), &[("memlock", Optional)]),
        (|facts| facts.compiled.clear(), &[("kernels", Missing)]),
        (|facts| facts.compiled = vec![Device::Npu2], &[("kernels", Missing)]),
        (|facts| facts.toolchain = Err("aiecc not found".to_owned()), &[("toolchain", Optional)]),
    ];
    for (change, expected) in cases {
        let mut facts = good();
        change(&mut facts);
        assert_eq!(bad(&facts), expected);
    }
}

#[test]
fn a_driver_that_xrt_does_not_see_lacks_its_plugin() {
    let facts = Facts { device: Err(("XRT finds no NPU".to_owned(), None)), ..good() };
    let checks = judge(&facts);
    let check = checks.iter().find(|check| check.check == "NPU in XRT").unwrap();
    assert_eq!(check.state, State::Missing);
    assert!(check.remedy.as_ref().unwrap().debian.contains("libxrt-npu2"));
}

#[test]
fn facts_are_read_as_the_system_writes_them() {
    let text = "MemTotal:       32000000 kB\nMemFree:  1 kB\nMemAvailable:   16000000 kB\n";
    assert_eq!(facts::memory(text), Some([32_768_000_000, 16_384_000_000]));
    assert_eq!(facts::memory("MemTotal: x kB"), None);
    assert!(facts::may_lock("Name:\tx\nCapEff:\t000001ffffffffff\n"));
    assert!(!facts::may_lock("CapEff:\t0000000000003fff\n"));
    let folder = tempfile::tempdir().unwrap();
    for (name, vendor, device) in
        [("0000:00:01.0", "0x8086", "0x1502"), ("0000:c4:00.1", "0x1022", "0x17f0")]
    {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("vendor"), format!("{vendor}\n")).unwrap();
        std::fs::write(folder.join("device"), format!("{device}\n")).unwrap();
    }
    assert_eq!(facts::pci(folder.path()), [("0000:c4:00.1".to_owned(), Device::Npu2)]);
    assert_eq!(facts::nodes(&folder.path().join("nothing")), []);
    let node = folder.path().join("accel0");
    std::fs::write(&node, "").unwrap();
    assert!(facts::nodes(folder.path()).contains(&(node, Ok(()))));
}
