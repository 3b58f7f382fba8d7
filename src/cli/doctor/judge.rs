//! What the facts mean, and what to do.

use std::io::ErrorKind;

use serde::Serialize;
use tilewright_kernel::Device;

use super::facts::Facts;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// The NPU works without.
    Optional,
    /// The NPU does not work without.
    Missing,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Optional => "optional",
            Self::Missing => "missing",
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Remedy {
    pub(super) debian: &'static str,
    pub(super) ubuntu: &'static str,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    #[serde(flatten)]
    pub(super) remedy: Option<Remedy>,
}

const fn both(what: &'static str) -> Remedy {
    Remedy { debian: what, ubuntu: what }
}

const DRIVER: Remedy = Remedy {
    debian: "sudo modprobe amdxdna; Linux 6.14 or later has it (backports: linux-image-amd64), and \
             firmware-amd-graphics or linux-firmware its firmware",
    ubuntu: "sudo add-apt-repository ppa:amd-team/xrt && sudo apt install amdxdna-dkms, then reboot",
};
const XRT: Remedy = Remedy {
    debian: "sudo apt install libxrt2 libxrt-npu2, of trixie-backports or later",
    ubuntu: "sudo add-apt-repository ppa:amd-team/xrt && sudo apt install libxrt2 libxrt-npu2",
};
const PERMISSION: Remedy = both("sudo usermod -aG render $USER, then log in again");
const MEMLOCK: Remedy = both(
    "add `* soft memlock unlimited` and `* hard memlock unlimited` to \
     /etc/security/limits.d/99-npu.conf, then log in again",
);
const TOOLCHAIN: Remedy = both(
    "install the Python wheels mlir_aie and llvm-aie, and xclbinutil (libxrt-utils); set \
     MLIR_AIE_INSTALL_DIR and PEANO_INSTALL_DIR; then cargo build",
);

/// What XRT locks at once.
const HEAP: u64 = 64 << 20;
/// What an encoder's buffers and the program itself take, for the largest models.
const ENOUGH: u64 = 4 << 30;

/// Judges all that was found, in the order in which things depend on each other.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    vec![
        npu(facts),
        driver(facts),
        node(facts),
        memlock(facts),
        xrt(facts),
        device(facts),
        kernels(facts),
        toolchain(facts),
        memory(facts),
        cpu(facts),
    ]
}

fn check(name: &'static str, state: State, found: impl Into<String>) -> Check {
    Check { check: name, state, found: found.into(), remedy: None }
}

impl Check {
    fn remedy(self, remedy: Remedy) -> Self {
        Self { remedy: Some(remedy), ..self }
    }
}

fn generation(device: Device) -> &'static str {
    match device {
        Device::Npu1 => "npu1 (Phoenix, Hawk Point)",
        Device::Npu2 => "npu2 (Strix, Strix Halo, Krackan)",
    }
}

fn npu(facts: &Facts) -> Check {
    let found = facts.pci.iter().map(|(bdf, device)| format!("{} at {bdf}", generation(*device)));
    let found: Vec<String> = found.collect();
    if found.is_empty() {
        return check("NPU", State::Missing, "no AMD NPU on the PCI bus")
            .remedy(both("enable the NPU (IPU) in the firmware setup, if the processor has one"));
    }
    check("NPU", State::Ok, found.join(", "))
}

fn driver(facts: &Facts) -> Check {
    let kernel = facts.kernel.as_deref().unwrap_or("unknown");
    if facts.driver {
        return check("kernel driver", State::Ok, format!("amdxdna is loaded, Linux {kernel}"));
    }
    let found = format!("amdxdna is not loaded, Linux {kernel}");
    check("kernel driver", State::Missing, found).remedy(DRIVER)
}

fn node(facts: &Facts) -> Check {
    const NAME: &str = "device node";
    let Some((node, first)) = facts.nodes.first() else {
        return check(NAME, State::Missing, "nothing in /dev/accel").remedy(DRIVER);
    };
    if let Some((node, _)) = facts.nodes.iter().find(|(_, opened)| opened.is_ok()) {
        return check(NAME, State::Ok, format!("{}, read and write", node.display()));
    }
    match first {
        Err(ErrorKind::PermissionDenied) => {
            let found = format!("no permission for {}", node.display());
            check(NAME, State::Missing, found).remedy(PERMISSION)
        }
        Err(kind) => {
            let found = format!("{} cannot be opened: {kind}", node.display());
            check(NAME, State::Missing, found).remedy(DRIVER)
        }
        Ok(()) => check(NAME, State::Ok, node.display().to_string()),
    }
}

fn memlock(facts: &Facts) -> Check {
    const NAME: &str = "memlock";
    match facts.memlock {
        None => check(NAME, State::Ok, "unlimited"),
        Some(limit) if facts.privileged => {
            let found = format!("{} KiB, but this process may lock more", limit >> 10);
            check(NAME, State::Ok, found)
        }
        Some(limit) => {
            let found = format!("{} KiB", limit >> 10);
            let (state, found) = if limit < HEAP {
                (State::Missing, format!("{found}, XRT locks {} KiB at once", HEAP >> 10))
            } else {
                (State::Optional, format!("{found}, large models may need more"))
            };
            check(NAME, state, found).remedy(MEMLOCK)
        }
    }
}

fn xrt(facts: &Facts) -> Check {
    match &facts.xrt {
        Ok(found) => check("XRT", State::Ok, found),
        Err((why, help)) => {
            let check = check("XRT", State::Missing, why);
            // A program without a shim has to be built again, whatever is installed.
            let remedy = help.filter(|help| help.contains("build again")).map_or(XRT, both);
            check.remedy(remedy)
        }
    }
}

fn device(facts: &Facts) -> Check {
    const NAME: &str = "NPU in XRT";
    match &facts.device {
        Ok(device) => {
            let firmware = device.firmware.as_deref().unwrap_or("unknown");
            check(NAME, State::Ok, format!("{}, firmware {firmware}", device.name))
        }
        Err(_) if facts.xrt.is_err() => check(NAME, State::Missing, "needs XRT"),
        Err((why, _)) => {
            let check = check(NAME, State::Missing, why);
            // Where the driver and the node are there, it is the plugin that is missing.
            let there = facts.driver && facts.nodes.iter().any(|(_, opened)| opened.is_ok());
            if there { check.remedy(XRT) } else { check }
        }
    }
}

fn kernels(facts: &Facts) -> Check {
    const NAME: &str = "kernels";
    let build = both("install the toolchain below and build again");
    let names: Vec<&str> = facts.compiled.iter().map(|&device| generation(device)).collect();
    if names.is_empty() {
        let found = "none compiled in: this program was built without the toolchain";
        return check(NAME, State::Missing, found).remedy(build);
    }
    let found = format!("compiled in for {}", names.join(", "));
    let serves = |(_, device): &(String, Device)| facts.compiled.contains(device);
    if !facts.pci.is_empty() && !facts.pci.iter().any(serves) {
        let remedy = both("add a [[target]] for this NPU to model.toml and build again");
        return check(NAME, State::Missing, found + ", not for this NPU").remedy(remedy);
    }
    check(NAME, State::Ok, found)
}

fn toolchain(facts: &Facts) -> Check {
    match &facts.toolchain {
        Ok(found) => check("toolchain", State::Ok, found),
        Err(missing) => check("toolchain", State::Optional, missing).remedy(TOOLCHAIN),
    }
}

fn memory(facts: &Facts) -> Check {
    const NAME: &str = "memory";
    let Some([total, free]) = facts.memory else {
        return check(NAME, State::Optional, "unknown");
    };
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let found = format!("{:.1} GB, {:.1} GB available", gigabytes(total), gigabytes(free));
    if free < ENOUGH {
        return check(NAME, State::Optional, found + ": too little for the largest models")
            .remedy(both("end other programs, or take a smaller model"));
    }
    check(NAME, State::Ok, found)
}

fn cpu(facts: &Facts) -> Check {
    let state = if facts.isa == "portable" { State::Optional } else { State::Ok };
    check("CPU", state, format!("packs and multiplies with {}", facts.isa))
}
