//! Where to compile, for how long, and how much at a time.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use super::discover::Environment;
use super::error::CompileError;

/// The variable that limits the time of one tool, in seconds.
pub const TIMEOUT_VARIABLE: &str = "TILEWRIGHT_AIECC_TIMEOUT";

/// How long one tool may take by default.
const TIMEOUT: Duration = Duration::from_secs(600);

/// How to compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Holds the cache, the folders that the tools run in, and the inputs of steps that failed.
    pub out_dir: PathBuf,
    /// How long one tool may run before it is killed.
    pub timeout: Duration,
    /// How many tools run at the same time.
    pub threads: usize,
}

impl Options {
    /// Options of a build script: the time limit from `TILEWRIGHT_AIECC_TIMEOUT` (10 minutes), the
    /// threads from cargo's `NUM_JOBS` (as many as the machine has).
    ///
    /// # Errors
    /// When the time limit is not a positive number of seconds.
    pub fn new(
        out_dir: impl Into<PathBuf>,
        environment: Environment<'_>,
    ) -> Result<Self, CompileError> {
        let jobs = environment("NUM_JOBS").and_then(|jobs| jobs.to_str()?.parse().ok());
        let jobs = jobs.or_else(|| std::thread::available_parallelism().ok());
        Ok(Self {
            out_dir: out_dir.into(),
            timeout: timeout(environment)?,
            threads: jobs.map_or(1, NonZero::get),
        })
    }
}

fn timeout(environment: Environment<'_>) -> Result<Duration, CompileError> {
    let Some(value) = environment(TIMEOUT_VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(TIMEOUT);
    };
    let seconds: Option<NonZero<u32>> = value.to_str().and_then(|value| value.parse().ok());
    seconds.map(|seconds| Duration::from_secs(seconds.get().into())).ok_or_else(|| {
        CompileError::Variable {
            name: TIMEOUT_VARIABLE,
            value: value.to_string_lossy().into_owned(),
            problem: "it must be a positive number of seconds, like 600".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &'static str) -> Result<Options, CompileError> {
        Options::new("out", &|name| (name == TIMEOUT_VARIABLE).then(|| value.into()))
    }

    #[test]
    fn the_time_limit_is_a_positive_number_of_seconds() {
        assert_eq!(with("").unwrap().timeout, Duration::from_secs(600));
        assert_eq!(with("30").unwrap().timeout, Duration::from_secs(30));
        for wrong in ["0", "-1", "1.5", "10min"] {
            assert_eq!(
                with(wrong).unwrap_err().to_string(),
                format!(
                    "TILEWRIGHT_AIECC_TIMEOUT is set to `{wrong}`: it must be a positive number of \
                     seconds, like 600"
                )
            );
        }
    }

    #[test]
    fn cargo_says_how_many_threads() {
        let options = Options::new("out", &|name| (name == "NUM_JOBS").then(|| "3".into()));
        assert_eq!(options.unwrap().threads, 3);
        assert!(with("").unwrap().threads > 0);
    }
}
