//! What the toolchain made of a target, checked before it is used.

use tilewright_kernel::{Artifact, KernelInfo, TargetInfo};

use super::NpuError;

/// The xclbin of a target, after its hash was checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Xclbin {
    target: &'static TargetInfo,
    pub(super) artifact: &'static Artifact,
}

impl Xclbin {
    pub(super) fn of(target: &'static TargetInfo) -> Result<Self, NpuError> {
        let missing = NpuError::NotCompiled { target: target.name() };
        let artifact = target.xclbin.ok_or(missing)?;
        check("the xclbin", target, artifact.bytes, artifact.hash)?;
        Ok(Self { target, artifact })
    }

    /// The words of a kernel's stream, if it is one that was compiled with this xclbin.
    pub(super) fn stream(&self, kernel: &KernelInfo) -> Result<Vec<u32>, NpuError> {
        let missing = NpuError::NotCompiled { target: self.target.name() };
        let stream = kernel.stream.ok_or(missing)?;
        if stream.xclbin_hash != self.artifact.hash {
            return Err(NpuError::Foreign {
                sequence: kernel.sequence,
                compiled: stream.xclbin_hash.to_owned(),
                loaded: self.artifact.hash.to_owned(),
            });
        }
        let what = format!("the stream {}", kernel.sequence);
        check(&what, self.target, stream.bytes, stream.hash)?;
        let (words, _) = stream.bytes.as_chunks::<4>();
        Ok(words.iter().map(|&word| u32::from_le_bytes(word)).collect())
    }
}

fn check(what: &str, target: &TargetInfo, bytes: &[u8], expected: &str) -> Result<(), NpuError> {
    let found = blake3::hash(bytes).to_hex();
    if found.as_str() == expected {
        return Ok(());
    }
    Err(NpuError::Damaged {
        what: what.to_owned(),
        target: target.name(),
        expected: expected.to_owned(),
        found: found.to_string(),
    })
}
