//! Commands as XRT writes them: the packets of `xrt/detail/ert.h`.

/// What becomes of a command: the low bits of its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is done.
    Completed = 4,
    /// It failed.
    Error = 5,
    /// Its context was torn down.
    Abort = 6,
    /// The driver gave it up.
    TimeOut = 8,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Runs a kernel: its register map.
    Start(Registers),
    /// Runs commands one after the other, by the handles of their buffers.
    Chain(Vec<u32>),
}

/// The register map of a kernel, after the arguments that every kernel of an NPU has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registers {
    /// Which kernel of the context.
    pub(crate) kernel: usize,
    /// Where the instructions are.
    pub(crate) instructions: u64,
    /// Their words.
    pub(crate) words: u32,
    /// Addresses of the buffers; those that the program did not set are 0.
    pub(crate) buffers: Vec<u64>,
}

const START: u32 = 0;
const CHAIN: u32 = 19;
/// "Run a transaction": the only opcode of kernels that MLIR-AIE makes.
const TRANSACTION: u64 = 3;
/// Words of a chain before the handles: counts and what is reserved.
const CHAIN_HEAD: usize = 6;

impl Packet {
    /// Reads the buffer of a command.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let words: Vec<u32> = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
        let (&header, payload) = words.split_first().ok_or("the command is empty")?;
        let (count, opcode) = ((header >> 12 & 0x7ff) as usize, header >> 23 & 0x1f);
        let payload = payload.get(..count).ok_or("the command is longer than its buffer")?;
        match opcode {
            START => {
                let masks = 1 + (header >> 10 & 3) as usize;
                let registers = payload.get(masks..).ok_or("the command has no registers")?;
                let set = payload[..masks].iter().position(|&mask| mask != 0);
                let set = set.ok_or("the command is for no kernel")?;
                let kernel = 32 * set + payload[set].trailing_zeros() as usize;
                Registers::parse(kernel, registers).map(Self::Start)
            }
            CHAIN => {
                let commands = payload.first().map_or(0, |&commands| commands as usize);
                let handles = payload.get(CHAIN_HEAD..CHAIN_HEAD + 2 * commands);
                let handles = handles.ok_or("the chain is longer than its packet")?;
                Ok(Self::Chain(handles.chunks_exact(2).map(|handle| handle[0]).collect()))
            }
            other => Err(format!("commands of opcode {other} are not played")),
        }
    }
}

impl Registers {
    fn parse(kernel: usize, words: &[u32]) -> Result<Self, String> {
        let long = |words: &[u32]| u64::from(words[0]) | u64::from(words[1]) << 32;
        let [opcode, instructions, ..] = words.as_chunks::<2>().0 else {
            return Err("the kernel has no arguments".to_owned());
        };
        let (opcode, instructions) = (long(opcode), long(instructions));
        if opcode != TRANSACTION {
            return Err(format!("the kernel's opcode is {opcode}, not {TRANSACTION}"));
        }
        let [_, _, _, _, count, buffers @ ..] = words else {
            return Err("the kernel has no instruction count".to_owned());
        };
        let buffers = buffers.chunks_exact(2).map(long).collect();
        Ok(Self { kernel, instructions, words: *count, buffers })
    }
}

/// The first word of a command with another state.
pub(crate) fn with_state(first: u32, state: State) -> u32 {
    first & !0xf | state as u32
}

/// Where a chain says which of its commands failed.
pub(crate) const ERROR_INDEX: usize = 3 * 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn packets_are_read() {
        let start = [1 | 10 << 12, 4, 3, 0, 0x0400_0000, 0, 7, 0x10, 1, 0x20, 2, 99];
        let registers = Registers {
            kernel: 2,
            instructions: 0x0400_0000,
            words: 7,
            buffers: vec![0x1_0000_0010, 0x2_0000_0020],
        };
        assert_eq!(Packet::parse(&bytes(&start)), Ok(Packet::Start(registers)));
        let chain = [1 | 10 << 12 | 19 << 23, 2, 0, 0, 0, 0, 0, 5, 0, 6, 0, 99];
        assert_eq!(Packet::parse(&bytes(&chain)), Ok(Packet::Chain(vec![5, 6])));
    }

    #[test]
    fn packets_that_make_no_sense_are_refused() {
        let refused = |words: &[u32]| Packet::parse(&bytes(words)).unwrap_err();
        assert_eq!(refused(&[]), "the command is empty");
        assert_eq!(refused(&[9 << 12, 0]), "the command is longer than its buffer");
        assert_eq!(refused(&[6 << 12, 1, 2, 0, 4, 0, 1]), "the kernel's opcode is 2, not 3");
        assert_eq!(refused(&[4 << 23]), "commands of opcode 4 are not played");
        let cut = [7 << 12 | 19 << 23, 9, 0, 0, 0, 0, 0, 5];
        assert_eq!(refused(&cut), "the chain is longer than its packet");
    }
}
