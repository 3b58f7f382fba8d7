//! The threads that operators run on.

use std::panic::resume_unwind;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// A thread pool that several threads outside of it let work for them. Copies are of the same one.
///
/// A token takes some fifty operators of some ten microseconds each. From a thread that belongs to no
/// pool, each of them would be handed to another thread and waited for, which takes as long again: so
/// work goes to the pool in whole.
#[derive(Debug, Clone, Default)]
pub struct Threads(Option<Arc<ThreadPool>>);

impl Threads {
    /// So many, one at least. Where no more threads are to be had, work is done on rayon's global pool.
    pub fn new(count: usize) -> Self {
        let pool = ThreadPoolBuilder::new().num_threads(count.max(1));
        let pool = pool.thread_name(|i| format!("tilewright-{i}")).build();
        Self(pool.ok().map(Arc::new))
    }

    /// Works on the pool.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => rayon::scope(|_| work()),
        }
    }

    /// Works outside of any pool. A thread of a pool that waits for something may take up another task
    /// of its pool meanwhile, for which that something may be waiting.
    pub fn outside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        if rayon::current_thread_index().is_none() {
            return work();
        }
        let result = std::thread::scope(|scope| scope.spawn(work).join());
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (usize, bool) {
        (rayon::current_num_threads(), rayon::current_thread_index().is_some())
    }

    #[test]
    fn work_is_done_inside_or_outside_of_a_pool() {
        let threads = Threads::new(3);
        assert_eq!(threads.run(place), (3, true));
        assert_eq!(threads.clone().run(|| threads.run(place)), (3, true));
        assert!(!threads.run(|| Threads::outside(place)).1);
        assert!(!Threads::outside(place).1);
        assert!(Threads::default().run(place).1);
        assert!(Threads::new(0).run(place).1);
    }

    #[test]
    fn a_panic_outside_is_that_of_who_asked() {
        let panic = std::panic::catch_unwind(|| {
            Threads::new(1).run(|| Threads::outside(|| std::panic::panic_any(7_u8)));
        });
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&7_u8));
    }
}
