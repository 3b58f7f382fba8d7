//! What there is on this machine. Looks only; runs nothing on an NPU.

use std::fs;
use std::path::{Path, PathBuf};

use tilewright::backend::cpu::Isa;
use tilewright::backend::npu::{self, Description, NpuError};
use tilewright::kernels::TABLE;
use tilewright_codegen::compile::{Discovery, discover};
use tilewright_kernel::Device;

/// All that is judged.
pub(super) struct Facts {
    /// Version of the kernel.
    pub(super) kernel: Option<String>,
    /// NPUs on the PCI bus: address and generation.
    pub(super) pci: Vec<(String, Device)>,
    /// Whether the driver is loaded.
    pub(super) driver: bool,
    /// Device nodes, and why one cannot be opened.
    pub(super) nodes: Vec<(PathBuf, Result<(), std::io::ErrorKind>)>,
    /// The limit for locked memory in bytes; none if there is none.
    pub(super) memlock: Option<u64>,
    /// Whether the limit does not count: the process has the capability to lock more.
    pub(super) privileged: bool,
    /// Version and place of XRT.
    pub(super) xrt: Result<String, (String, Option<&'static str>)>,
    /// The NPU as XRT sees it.
    pub(super) device: Result<Description, (String, Option<&'static str>)>,
    /// Devices that kernels are compiled in for.
    pub(super) compiled: Vec<Device>,
    /// The toolchain, or what is missing of it.
    pub(super) toolchain: Result<String, String>,
    /// Bytes of memory, and of it those that are free.
    pub(super) memory: Option<[u64; 2]>,
    /// The best instruction set that there are kernels for.
    pub(super) isa: String,
}

impl Facts {
    /// Looks at this machine.
    pub(super) fn gather() -> Self {
        let device = npu::detect();
        let mut compiled: Vec<Device> = TABLE
            .targets
            .iter()
            .filter(|target| target.xclbin.is_some())
            .map(|target| target.device)
            .collect();
        compiled.dedup();
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            pci: pci(Path::new("/sys/bus/pci/devices")),
            driver: Path::new("/sys/module/amdxdna").exists(),
            nodes: nodes(Path::new("/dev/accel")),
            memlock: npu::memlock(),
            privileged: read("/proc/self/status").is_some_and(|text| may_lock(&text)),
            xrt: npu::xrt().map_err(told),
            device: device.map_err(told),
            compiled,
            toolchain: toolchain(),
            memory: read("/proc/meminfo").and_then(|text| memory(&text)),
            isa: Isa::best().to_string(),
        }
    }
}

fn told(error: NpuError) -> (String, Option<&'static str>) {
    (error.to_string(), error.help())
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// NPUs of AMD by their PCI numbers.
pub(super) fn pci(devices: &Path) -> Vec<(String, Device)> {
    let entries = fs::read_dir(devices).into_iter().flatten().flatten();
    let mut found: Vec<(String, Device)> = entries
        .filter_map(|entry| {
            let number = |name| read(entry.path().join(name));
            let generation = match (number("vendor")?.as_str(), number("device")?.as_str()) {
                ("0x1022", "0x1502") => Device::Npu1,
                ("0x1022", "0x17f0") => Device::Npu2,
                _ => return None,
            };
            Some((entry.file_name().to_string_lossy().into_owned(), generation))
        })
        .collect();
    found.sort();
    found
}

/// Device nodes, each opened as XRT opens it.
pub(super) fn nodes(folder: &Path) -> Vec<(PathBuf, Result<(), std::io::ErrorKind>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut nodes: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    nodes.sort();
    let open = |node: &PathBuf| fs::OpenOptions::new().read(true).write(true).open(node);
    let opened = |node: PathBuf| {
        let result = open(&node).map(drop).map_err(|error| error.kind());
        (node, result)
    };
    nodes.into_iter().map(opened).collect()
}

/// Total and available bytes, as `/proc/meminfo` has them.
pub(super) fn memory(text: &str) -> Option<[u64; 2]> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes << 10)
    };
    Some([value("MemTotal")?, value("MemAvailable")?])
}

/// Whether `/proc/self/status` has `CAP_IPC_LOCK` among the capabilities.
pub(super) fn may_lock(status: &str) -> bool {
    const IPC_LOCK: u32 = 14;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    capabilities.is_some_and(|capabilities| capabilities >> IPC_LOCK & 1 == 1)
}

fn toolchain() -> Result<String, String> {
    match discover(&|name| std::env::var_os(name)) {
        Ok(Discovery::Found(found)) => Ok(format!(
            "{}, {}, {}",
            found.aiecc.display(),
            found.clang().display(),
            found.xclbinutil.display()
        )),
        Ok(Discovery::Missing(missing)) => {
            let tools: Vec<String> = missing.tools.iter().map(ToString::to_string).collect();
            Err(format!("{} not found", tools.join(", ")))
        }
        Err(error) => Err(error.to_string()),
    }
}
