//! One decoder for several threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rayon::prelude::*;

use super::running::Running;
use super::{Decoded, DecodingError, Task, Window};
use crate::backend::cpu::Threads;
use crate::decoder::{Decoder, Scratch, State};

/// The most windows of a pass: each of their tokens takes as long as the pass.
const MOST: usize = 16;

/// A decoder that several threads use: windows that are decoded at the same time share each pass over
/// the weights, whoever they belong to and whichever token each of them is at. The weights are then read
/// once for all of them, what each attends to still once for each; each is decoded to the same tokens as
/// alone.
///
/// It has no thread of its own: of those that wait, one works for all until its window is done, and
/// then the next. They must be outside of the thread pool, see [`Threads::outside`].
pub struct SharedDecoder {
    decoder: Decoder,
    threads: Threads,
    queue: Mutex<Queue>,
    /// A window is done, or a thread stops to work for all.
    changed: Condvar,
    /// Memory to be used again.
    states: Mutex<Vec<State>>,
    turns: AtomicU64,
    passes: AtomicU64,
}

struct Queue {
    waiting: VecDeque<Job>,
    /// Nothing while a thread works on it.
    work: Option<Work>,
}

/// Windows that are being decoded.
#[derive(Default)]
struct Work {
    jobs: Vec<Job>,
    scratch: Scratch,
}

struct Job {
    running: Running,
    result: Option<Outcome<Decoded>>,
    done: Arc<Done>,
}

/// What it came to; a panic is that of the thread whose window it was.
type Outcome<T> = thread::Result<Result<T, DecodingError>>;

/// Where a thread finds what became of its window.
#[derive(Default)]
struct Done(Mutex<Option<Outcome<(Decoded, State)>>>);

/// What a [`SharedDecoder`] has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passes {
    /// Turns of windows: prompts, and steps by a token.
    pub turns: u64,
    /// Passes over the weights: turns over passes is the mean number of windows of one.
    pub passes: u64,
}

impl SharedDecoder {
    /// Shares a decoder, which works on these threads.
    pub fn new(decoder: Decoder, threads: Threads) -> Self {
        let queue = Queue { waiting: VecDeque::new(), work: Some(Work::default()) };
        Self {
            decoder,
            threads,
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            states: Mutex::default(),
            turns: AtomicU64::new(0),
            passes: AtomicU64::new(0),
        }
    }

    /// The decoder, for what is not shared.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What was done so far.
    pub fn passes(&self) -> Passes {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Passes { turns: count(&self.turns), passes: count(&self.passes) }
    }

    /// Memory for the windows of a task, one after the other; that of an earlier task where there is
    /// some.
    pub fn state(&self, task: &Task) -> State {
        let sequences = task.sequences();
        let mut states = lock(&self.states);
        let fits = |state: &State| state.max_sequences() == sequences;
        match states.iter().rposition(fits) {
            Some(at) => states.swap_remove(at),
            None => self.decoder.state(sequences),
        }
    }

    /// Keeps memory for the next task.
    pub fn keep(&self, state: State) {
        let mut states = lock(&self.states);
        if states.len() == MOST {
            states.remove(0);
        }
        states.push(state);
    }

    /// Decodes the window that `state` has, together with those of other threads.
    ///
    /// # Errors
    /// When the decoder fails, its logits are no numbers, or the task is stopped.
    pub fn decode(
        &self,
        task: &Arc<Task>,
        window: Window<'_>,
        state: State,
    ) -> Result<(Decoded, State), DecodingError> {
        let running = Running::new(task, window, state)?;
        let done = Arc::new(Done::default());
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(Job { running, result: None, done: Arc::clone(&done) });
        loop {
            if let Some(result) = lock(&done.0).take() {
                return result.unwrap_or_else(|panic| resume_unwind(panic));
            }
            queue = match queue.work.take() {
                Some(work) => {
                    drop(queue);
                    Lent { work, shared: self }.until(&done);
                    lock(&self.queue)
                }
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// The work, while a thread does it. It is put back in any case.
struct Lent<'a> {
    work: Work,
    shared: &'a SharedDecoder,
}

impl Lent<'_> {
    /// Works for all until this is done.
    fn until(mut self, done: &Done) {
        let SharedDecoder { decoder, threads, queue, changed, turns, passes, .. } = self.shared;
        while lock(&done.0).is_none() {
            let mut queue = lock(queue);
            let jobs = &mut self.work.jobs;
            let count = queue.waiting.len().min(MOST.saturating_sub(jobs.len()));
            jobs.extend(queue.waiting.drain(..count));
            drop(queue);
            turns.fetch_add(self.work.jobs.len() as u64, Ordering::Relaxed);
            passes.fetch_add(1, Ordering::Relaxed);
            threads.run(|| self.work.pass(decoder));
            let is_done = |job: &mut Job| job.result.is_some();
            let finished = self.work.jobs.extract_if(.., is_done).map(Job::finish).count();
            if finished > 0 {
                // Whoever has looked and found nothing waits by now.
                drop(lock(&self.shared.queue));
                changed.notify_all();
            }
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        lock(&self.shared.queue).work = Some(std::mem::take(&mut self.work));
        self.shared.changed.notify_all();
    }
}

impl Work {
    /// The next token of all windows.
    fn pass(&mut self, decoder: &Decoder) {
        let Self { jobs, scratch } = self;
        if let [_, _, ..] = &jobs[..] {
            let mut turns: Vec<_> = jobs.iter_mut().map(|job| job.running.turn()).collect();
            let together = AssertUnwindSafe(|| decoder.run(&mut turns, scratch));
            if let Ok(Ok(())) = catch_unwind(together) {
                jobs.par_iter_mut().for_each(|job| job.attempt(Running::advance));
                return;
            }
            // What went wrong, a panic too, is that of one of them, who sees it again alone.
            tracing::debug!("{} windows are decoded one by one", jobs.len());
        }
        for job in jobs {
            job.attempt(|running| {
                decoder.run(&mut [running.turn()], scratch)?;
                running.advance()
            });
        }
    }
}

impl Job {
    fn attempt(
        &mut self,
        work: impl FnOnce(&mut Running) -> Result<Option<Decoded>, DecodingError>,
    ) {
        let running = AssertUnwindSafe(|| work(&mut self.running).transpose());
        self.result = match catch_unwind(running) {
            Ok(result) => result.map(Ok),
            Err(panic) => Some(Err(panic)),
        };
    }

    fn finish(self) {
        let state = self.running.state;
        let result = self.result.map(|result| result.map(|result| result.map(|x| (x, state))));
        *lock(&self.done.0) = result;
    }
}

/// What a thread left behind that panicked is as good as before: a pass is begun anew.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{hearing, options, shared, task, tokenizer};
    use super::*;

    #[test]
    fn windows_that_wait_at_the_same_time_share_passes() {
        const WINDOWS: usize = MOST + 2;
        let (decoder, tokenizer) = (shared(51865, 64), tokenizer());
        let task = task(&decoder, &tokenizer, options(Some(10)));
        let window = Window { language: "en", previous: &[] };
        // As if a thread were at work until all are there.
        let work = lock(&decoder.queue).work.take();
        let decode = |i: usize| {
            let state = hearing(&decoder, &task, 0.1 + 0.05 * i as f32);
            decoder.decode(&task, window, state).unwrap().0.tokens.len()
        };
        std::thread::scope(|scope| {
            let decode = &decode;
            let all: Vec<_> = (0..WINDOWS).map(|i| scope.spawn(move || decode(i))).collect();
            while lock(&decoder.queue).waiting.len() < WINDOWS {
                std::thread::yield_now();
            }
            lock(&decoder.queue).work = work;
            decoder.changed.notify_all();
            // With these weights none ends early: a pass for each token, the prompt's included.
            assert!(all.into_iter().all(|one| one.join().unwrap() == 10));
        });
        let Passes { turns, passes } = decoder.passes();
        // As many as there is room for, and then the other two.
        assert_eq!((turns, passes), (10 * WINDOWS as u64, 20));
    }
}
