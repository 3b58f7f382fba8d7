//! Threads for those who come without.

use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Thread pools, one for each who works at the same time.
///
/// A token takes some fifty operators of some ten microseconds each. From a thread that belongs to no
/// pool, each of them would be handed to another thread and waited for, which takes as long again.
pub(super) struct Pools {
    /// Of each.
    threads: usize,
    idle: Mutex<Vec<ThreadPool>>,
}

impl Pools {
    /// Of so many threads each, one at least.
    pub(super) fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), idle: Mutex::default() }
    }

    /// Works on the pool that it is called from, or on one of these.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_some() {
            return work();
        }
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = idle().pop();
        let new = || ThreadPoolBuilder::new().num_threads(self.threads).build().ok();
        let Some(pool) = pool.or_else(new) else {
            // Where no more threads are to be had, the operators share those that there are.
            return work();
        };
        let result = pool.install(work);
        idle().push(pool);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_pool_and_it_is_used_again() {
        let pools = Pools::new(2);
        let threads = || (rayon::current_num_threads(), rayon::current_thread_index().is_some());
        assert_eq!(pools.run(|| pools.run(threads)), (2, true));
        assert_eq!(pools.idle.lock().unwrap().len(), 1);
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| pools.run(|| barrier.wait()));
            }
        });
        assert_eq!(pools.idle.lock().unwrap().len(), 2);
        let own = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(own.install(|| pools.run(threads)), (3, true));
    }
}
