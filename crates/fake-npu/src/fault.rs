//! What can go wrong, by name.

use std::fmt;
use std::str::FromStr;

/// A fault to inject. Prints and parses as `hang@3`, `wrong@ffn_up`; see the variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `no-permission`: opening the node fails with `EACCES`.
    NoPermission,
    /// `memlock`: mapping the heap fails with `EAGAIN`, as with too low a limit for locked memory.
    Memlock,
    /// `contexts=N`: so many contexts are left, for all processes together; then `EINVAL`.
    Contexts(u32),
    /// `hang@N`, `hang@N+`: these commands never complete, nor does any later one of the context.
    Hang(Commands),
    /// `timeout@N`, `timeout@N+`: the driver gives these commands up after two seconds, as its
    /// watchdog does.
    TimeOut(Commands),
    /// `failed@N`, `failed@N+`: these commands end in an error.
    Failed(Commands),
    /// `gone@N`: from this command on, every call fails with `ENODEV`.
    Gone(u64),
    /// `zeros@TEXT`: commands whose sequence has TEXT in its name complete with zeros for results.
    Zeros(String),
    /// `wrong@TEXT`: they complete with one wrong element.
    Wrong(String),
}

/// Which commands, counted over all processes from 0; each run of a runlist is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commands {
    /// The first.
    pub first: u64,
    /// And all that follow.
    pub onwards: bool,
}

impl Commands {
    pub(crate) fn contains(self, command: u64) -> bool {
        command == self.first || self.onwards && command > self.first
    }
}

/// A fault that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no fault `{0}`: try no-permission, memlock, contexts=N, hang@N, timeout@N, failed@N, \
     gone@N, zeros@TEXT or wrong@TEXT"
)]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let parse = || {
            let commands = |text: &str| {
                let (number, onwards) = match text.strip_suffix('+') {
                    Some(number) => (number, true),
                    None => (text, false),
                };
                Some(Commands { first: number.parse().ok()?, onwards })
            };
            Some(match text.split_once(['@', '=']) {
                None if text == "no-permission" => Self::NoPermission,
                None if text == "memlock" => Self::Memlock,
                Some(("contexts", number)) => Self::Contexts(number.parse().ok()?),
                Some(("hang", which)) => Self::Hang(commands(which)?),
                Some(("timeout", which)) => Self::TimeOut(commands(which)?),
                Some(("failed", which)) => Self::Failed(commands(which)?),
                Some(("gone", number)) => Self::Gone(number.parse().ok()?),
                Some(("zeros", text)) => Self::Zeros(text.to_owned()),
                Some(("wrong", text)) => Self::Wrong(text.to_owned()),
                _ => return None,
            })
        };
        parse().ok_or_else(|| FaultError(text.to_owned()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPermission => f.write_str("no-permission"),
            Self::Memlock => f.write_str("memlock"),
            Self::Contexts(left) => write!(f, "contexts={left}"),
            Self::Hang(commands) => write!(f, "hang@{commands}"),
            Self::TimeOut(commands) => write!(f, "timeout@{commands}"),
            Self::Failed(commands) => write!(f, "failed@{commands}"),
            Self::Gone(first) => write!(f, "gone@{first}"),
            Self::Zeros(text) => write!(f, "zeros@{text}"),
            Self::Wrong(text) => write!(f, "wrong@{text}"),
        }
    }
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.first, if self.onwards { "+" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_prints_as_it_parses() {
        for text in [
            "no-permission",
            "memlock",
            "contexts=0",
            "hang@3",
            "hang@3+",
            "timeout@0",
            "failed@2+",
            "gone@1",
            "zeros@",
            "wrong@ffn_up",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in ["", "hang", "hang@", "hang@x", "gone@1+", "memlock@1", "contexts=-1"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
