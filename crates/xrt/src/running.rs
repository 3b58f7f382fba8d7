//! What is on the device.

use std::time::Duration;

use crate::error::Error;

/// Where a run is.
#[derive(Debug)]
pub enum Progress {
    /// The device has carried it out.
    Completed,
    /// The device has ended it.
    Failed(Error),
    /// The device may still work on it.
    Busy,
}

pub(crate) mod sealed {
    use super::{Duration, Error, Progress};

    pub trait Sealed {
        /// Hands it to the device.
        fn submit(&mut self) -> Result<(), Error>;
        /// Waits at most so long.
        fn wait(&self, time: Duration) -> Result<Progress, Error>;
    }
}

/// What can be started: a [`Run`](crate::Run) or a [`Runlist`](crate::Runlist).
pub trait Startable: sealed::Sealed {}

/// A run on the device, with all its buffers: nothing else reaches them before it has ended.
///
/// One that is dropped is waited for. If it does not end, or nobody knows whether it has, it stays for
/// good, with its buffers and its context: the device may still write to them, and XRT ends the
/// process when a run is freed that is still going on.
#[derive(Debug)]
#[must_use = "dropping it waits for it"]
pub struct Running<J: Startable> {
    job: Option<J>,
    waited: bool,
}

/// How long dropping waits: more than the driver's own two seconds, after which it resets the array.
const GRACE: Duration = Duration::from_secs(3);

impl<J: Startable> Running<J> {
    pub(crate) fn start(mut job: J) -> Result<Self, Error> {
        match job.submit() {
            Ok(()) => Ok(Self { job: Some(job), waited: false }),
            // Nothing was asked of XRT.
            Err(error @ Error::Argument { .. }) => Err(error),
            Err(error) => {
                // To XRT it is going on from before it is handed to the driver.
                std::mem::forget(job);
                Err(error)
            }
        }
    }

    /// Waits for it at most so long, at least a millisecond, and gives back the run.
    ///
    /// # Errors
    /// When the time is up, or it ended otherwise than completed. The run is lost then.
    pub fn wait(mut self, time: Duration) -> Result<J, Error> {
        let Some(job) = self.job.take() else {
            return Err(Error::TimedOut { milliseconds: 0 });
        };
        let progress = job.wait(time);
        match progress {
            Ok(Progress::Completed) => Ok(job),
            Ok(Progress::Failed(error)) => Err(error),
            Ok(Progress::Busy) => {
                self.job = Some(job);
                self.waited = true;
                Err(Error::TimedOut { milliseconds: time.as_millis() })
            }
            Err(error) => {
                self.job = Some(job);
                self.waited = true;
                Err(match error {
                    Error::TimedOut { .. } => Error::TimedOut { milliseconds: time.as_millis() },
                    error => error,
                })
            }
        }
    }
}

impl<J: Startable> Drop for Running<J> {
    fn drop(&mut self) {
        let Some(job) = self.job.take() else { return };
        let ended = !self.waited && !matches!(job.wait(GRACE), Ok(Progress::Busy) | Err(_));
        if !ended {
            std::mem::forget(job);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// A run that answers as told and counts how often it was freed.
    struct Told {
        answer: fn() -> Result<Progress, Error>,
        freed: Rc<Cell<u32>>,
        asked: Rc<Cell<u32>>,
    }

    impl sealed::Sealed for Told {
        fn submit(&mut self) -> Result<(), Error> {
            Ok(())
        }

        fn wait(&self, _: Duration) -> Result<Progress, Error> {
            self.asked.set(self.asked.get() + 1);
            (self.answer)()
        }
    }

    impl Startable for Told {}

    impl Drop for Told {
        fn drop(&mut self) {
            self.freed.set(self.freed.get() + 1);
        }
    }

    fn told(
        answer: fn() -> Result<Progress, Error>,
    ) -> (Running<Told>, Rc<Cell<u32>>, Rc<Cell<u32>>) {
        let (freed, asked) = (Rc::default(), Rc::default());
        let job = Told { answer, freed: Rc::clone(&freed), asked: Rc::clone(&asked) };
        (Running::start(job).unwrap(), freed, asked)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_has_ended_is_freed() {
        let (running, freed, _) = told(|| Ok(Progress::Completed));
        drop(running.wait(SECOND).unwrap());
        assert_eq!(freed.get(), 1);
        let (running, freed, _) = told(|| Ok(Progress::Failed(Error::NoDevice)));
        assert_eq!(running.wait(SECOND).err(), Some(Error::NoDevice));
        assert_eq!(freed.get(), 1);
    }

    #[test]
    fn what_may_still_be_written_to_is_not_freed() {
        let (running, freed, asked) = told(|| Ok(Progress::Busy));
        assert_eq!(running.wait(SECOND).err(), Some(Error::TimedOut { milliseconds: 1000 }));
        assert_eq!((freed.get(), asked.get()), (0, 1));
        let (running, freed, _) = told(|| Err(Error::NoDevice));
        assert_eq!(running.wait(SECOND).err(), Some(Error::NoDevice));
        assert_eq!(freed.get(), 0);
    }

    #[test]
    fn what_is_dropped_is_waited_for() {
        let (running, freed, asked) = told(|| Ok(Progress::Completed));
        drop(running);
        assert_eq!((freed.get(), asked.get()), (1, 1));
        let (running, freed, asked) = told(|| Ok(Progress::Busy));
        drop(running);
        assert_eq!((freed.get(), asked.get()), (0, 1));
    }
}
