//! Tab-separated values.

use std::fmt::Write;

use super::Transcript;

pub(super) fn render(transcript: &Transcript) -> String {
    let mut out = String::from("start\tend\ttext\n");
    for segment in &transcript.segments {
        let [start, end] = [segment.start, segment.end].map(|seconds| (seconds * 1000.0).round());
        let text = segment.line().replace('\t', " ");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{start}\t{end}\t{text}");
    }
    out
}
