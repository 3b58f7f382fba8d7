//! What a function of the core gets at beside its arguments.

use std::collections::VecDeque;

use super::{Argument, Function, Returned};

/// The ports of a core: its cascade and the registers of its tile.
pub struct CorePorts<'a> {
    incoming: &'a VecDeque<u8>,
    registers: &'a dyn Fn(u32) -> Result<u32, String>,
    /// Bytes of `incoming` that the function has taken.
    pub(crate) taken: usize,
    pub(crate) outgoing: Vec<u8>,
    /// Whether the function wanted more than had come.
    pub(crate) starved: bool,
}

impl<'a> CorePorts<'a> {
    pub(crate) fn new(
        incoming: &'a VecDeque<u8>,
        registers: &'a dyn Fn(u32) -> Result<u32, String>,
    ) -> Self {
        Self { incoming, registers, taken: 0, outgoing: Vec::new(), starved: false }
    }

    /// Takes bytes from the cascade, in the order in which the core before put them.
    ///
    /// # Errors
    /// When not all of them have come; to be passed on.
    pub fn get_cascade(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        if self.incoming.len() - self.taken < bytes.len() {
            self.starved = true;
            return Err("the cascade has not brought this yet".to_owned());
        }
        for (to, &from) in bytes.iter_mut().zip(self.incoming.iter().skip(self.taken)) {
            *to = from;
        }
        self.taken += bytes.len();
        Ok(())
    }

    /// Puts bytes into the cascade. The simulated one holds as much as is put into it, until the
    /// next core takes it.
    pub fn put_cascade(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    /// Reads a register of the core's tile, as the processor bus does: locks and buffer descriptors,
    /// by their address within the tile.
    ///
    /// # Errors
    /// When nothing is known to be there.
    pub fn read_register(&self, address: u32) -> Result<u32, String> {
        (self.registers)(address)
    }
}

/// A closure that is called with the ports of its core.
pub struct WithPorts<F>(pub F);

impl<F> Function for WithPorts<F>
where
    F: Fn(&mut [Argument<'_>], &mut CorePorts<'_>) -> Result<Returned, String> + Send + Sync,
{
    fn call(&self, _: &mut [Argument<'_>]) -> Result<Returned, String> {
        Err("it needs the ports of its core".to_owned())
    }

    fn call_with(
        &self,
        arguments: &mut [Argument<'_>],
        ports: &mut CorePorts<'_>,
    ) -> Result<Returned, String> {
        (self.0)(arguments, ports)
    }

    fn uses_ports(&self) -> bool {
        true
    }
}
