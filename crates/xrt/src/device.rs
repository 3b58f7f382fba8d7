//! An NPU.

#![allow(unsafe_code, reason = "calls the shim")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::bindings::{TW_BDF, TW_NAME};
use crate::context::Context;
use crate::error::{Action, Error};
use crate::library::{Found, library};
use crate::raw::{self, Owned, tw_device};

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The name that XRT has for it.
    pub name: String,
    /// Its PCI address.
    pub bdf: String,
    /// Version of its firmware, where the driver tells.
    pub firmware: Option<String>,
    /// Its PCI vendor and device, where the system tells.
    pub pci: Option<[u16; 2]>,
    /// The XRT that serves it.
    pub xrt: Found,
}

/// An open NPU.
#[derive(Clone)]
pub struct Device {
    pub(crate) inner: Arc<Mutex<Owned<tw_device>>>,
    info: Arc<DeviceInfo>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Device").field(&self.info).finish()
    }
}

impl Device {
    /// Opens the NPU with an index, and before that XRT: the library that `TILEWRIGHT_XRT` names (or
    /// the folder that it is in), else the one that the loader finds, else one in
    /// `/opt/xilinx/xrt`.
    ///
    /// # Errors
    /// When there is no XRT that serves, no such device, or no right to use it.
    pub fn open(index: u32) -> Result<Self, Error> {
        let library = library()?;
        let shim = &library.shim;
        // SAFETY: the function of this type, with what it asks for.
        let device = unsafe {
            let new = |error| (shim.tw_device_new)(index, error);
            Owned::<tw_device>::new(shim, Action::Open, new)?
        };
        let ask = |what: u32| {
            raw::text(|text, capacity, error| {
                let what = what.cast_signed();
                // SAFETY: the device lives, and there is room for so many bytes at `text`.
                unsafe { (shim.tw_device_info)(device.as_ptr(), what, text, capacity, error) }
            })
        };
        let (name, bdf) = (ask(TW_NAME)?, ask(TW_BDF)?);
        let firmware = attribute(&bdf, "fw_version");
        let pci = number(&bdf, "vendor").zip(number(&bdf, "device")).map(<[u16; 2]>::from);
        let info = Arc::new(DeviceInfo { name, bdf, firmware, pci, xrt: crate::find()? });
        Ok(Self { inner: Arc::new(Mutex::new(device)), info })
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Loads an xclbin and opens a context for it.
    ///
    /// # Errors
    /// When the xclbin is damaged, or no context is left.
    pub fn context(&self, xclbin: &[u8]) -> Result<Context, Error> {
        Context::new(self, xclbin)
    }
}

/// What the system shows beside a device. The driver shows the version of the firmware there, which
/// XRT's interface does not.
fn attribute(bdf: &str, name: &str) -> Option<String> {
    let file = Path::new("/sys/bus/pci/devices").join(bdf).join(name);
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number(bdf: &str, name: &str) -> Option<u16> {
    u16::from_str_radix(attribute(bdf, name)?.trim_start_matches("0x"), 16).ok()
}
