//! Several jobs at the same time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

/// Does the work for all items, so many at the same time; returns for how many it succeeded. A panic is
/// the failure of its item alone.
pub(super) fn run<T: Sync>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> bool + Sync,
    panicked: impl Fn(&T) + Sync,
) -> usize {
    run_on(Builder::new, items, jobs, work, panicked)
}

/// The same, on threads that are made so.
fn run_on<T: Sync>(
    builder: fn() -> Builder,
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> bool + Sync,
    panicked: impl Fn(&T) + Sync,
) -> usize {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let job = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let succeeded = catch_unwind(AssertUnwindSafe(|| work(item))).unwrap_or_else(|_| {
                panicked(item);
                false
            });
            done.fetch_add(usize::from(succeeded), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        // One is done here, and all where no threads are to be had.
        for _ in 1..jobs {
            if builder().spawn_scoped(scope, job).is_err() {
                break;
            }
        }
        job();
    });
    done.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_that_of_one_item() {
        // No system has so much memory for a stack.
        let none = || Builder::new().stack_size(usize::MAX / 4);
        for (builder, jobs) in [(Builder::new as fn() -> _, 1), (Builder::new, 3), (none, 3)] {
            let (tried, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let work = |item: &usize| {
                tried.fetch_add(1, Ordering::Relaxed);
                assert!(*item != 2, "a panic that the test is about");
                *item != 4
            };
            let panicked = |item: &usize| {
                told.fetch_add(*item, Ordering::Relaxed);
            };
            assert_eq!(run_on(builder, &[1, 2, 3, 4, 5], jobs, work, panicked), 3);
            assert_eq!((tried.into_inner(), told.into_inner()), (5, 2));
        }
    }
}
