//! How far it is: on standard error, where a person looks on.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with the time that has passed, the speed, and the text as it comes.
pub(super) struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// For a recording of so many seconds, if that is known.
    pub(super) fn new(seconds: Option<f64>, hidden: bool) -> Self {
        let start = Instant::now();
        if hidden {
            return Self { bar: ProgressBar::hidden(), start };
        }
        let (bar, template) = match seconds {
            Some(seconds) => {
                let bar = ProgressBar::new(seconds.ceil() as u64);
                (bar, "{elapsed} {bar:20} {pos} of {len} s {prefix} {wide_msg}")
            }
            None => (ProgressBar::no_length(), "{elapsed} {pos} s {prefix} {wide_msg}"),
        };
        let style = ProgressStyle::with_template(template);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, start }
    }

    pub(super) fn position(&self, seconds: f64) {
        self.bar.set_position(seconds as u64);
        let speed = seconds / self.start.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_prefix(format!("{speed:.1}×"));
    }

    pub(super) fn text(&self, text: &str) {
        self.bar.set_message(text.trim().to_owned());
    }

    /// Does something that writes to the terminal.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the bar away, and says how long it took.
    pub(super) fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.start.elapsed()
    }
}
