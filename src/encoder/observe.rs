//! Looking on while an encoder works.

use std::time::{Duration, Instant};

/// Is told what an encoder does.
pub trait Observer {
    /// An operator was done in this time; several calls have the same name.
    fn operator(&mut self, name: &'static str, took: Duration) {
        let _ = (name, took);
    }

    /// Hidden values, positions × width: for index 0 the input of the first layer, for 1 and up the
    /// output of each layer but the last, and for the last index the features.
    fn hidden(&mut self, index: usize, values: &[f32]) {
        let _ = (index, values);
    }
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Observer for Nobody {}

/// Time per operator, in the order in which they were first met.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    operators: Vec<(&'static str, u64, Duration)>,
}

impl Profile {
    /// Name, calls and total time of each operator.
    pub fn operators(&self) -> &[(&'static str, u64, Duration)] {
        &self.operators
    }

    /// Time of all operators.
    pub fn total(&self) -> Duration {
        self.operators.iter().map(|(_, _, time)| *time).sum()
    }
}

impl Observer for Profile {
    fn operator(&mut self, name: &'static str, took: Duration) {
        match self.operators.iter_mut().find(|(other, ..)| *other == name) {
            Some((_, calls, time)) => {
                *calls += 1;
                *time += took;
            }
            None => self.operators.push((name, 1, took)),
        }
    }
}

/// Does something and tells how long it took.
pub(super) fn timed<T>(
    observer: &mut dyn Observer,
    name: &'static str,
    work: impl FnOnce() -> T,
) -> T {
    let start = Instant::now();
    let result = work();
    observer.operator(name, start.elapsed());
    result
}
