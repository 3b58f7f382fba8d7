//! Looking on while an encoder works.

use std::time::{Duration, Instant};

use crate::backend::array::Spent;

/// Is told what an encoder does.
pub trait Observer {
    /// An operator was done in this time; several calls have the same name.
    fn operator(&mut self, name: &'static str, took: Duration) {
        let _ = (name, took);
    }

    /// The matmul that [`Observer::operator`] was told of last ran on an array, where its time went
    /// like this.
    fn array(&mut self, name: &'static str, spent: &Spent) {
        let _ = (name, spent);
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
    array: Vec<(&'static str, Spent)>,
}

impl Profile {
    /// Name, calls and total time of each operator.
    pub fn operators(&self) -> &[(&'static str, u64, Duration)] {
        &self.operators
    }

    /// Matmuls that ran on an array, and where their time went.
    pub fn on_array(&self) -> &[(&'static str, Spent)] {
        &self.array
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

    fn array(&mut self, name: &'static str, spent: &Spent) {
        match self.array.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => *sum += *spent,
            None => self.array.push((name, *spent)),
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
