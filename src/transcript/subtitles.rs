//! SRT and WebVTT.

use std::fmt::Write;

use super::Transcript;

/// Times with hours and a comma, numbered.
pub(super) fn srt(transcript: &Transcript) -> String {
    let mut out = String::new();
    for (i, (start, end, text)) in cues(transcript).enumerate() {
        let [start, end] = [start, end].map(|seconds| time(seconds, true, ','));
        // Writing to a string cannot fail.
        let _ = write!(out, "{}\n{start} --> {end}\n{text}\n\n", i + 1);
    }
    out
}

/// Times with a point, and hours where there are any. What would begin a tag or an entity is one.
pub(super) fn vtt(transcript: &Transcript) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for (start, end, text) in cues(transcript) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let [start, end] = [start, end].map(|seconds| time(seconds, false, '.'));
        let _ = write!(out, "{start} --> {end}\n{text}\n\n");
    }
    out
}

/// What is shown from when to when. Text that would look like a line of times, or end the cue, is
/// written another way.
fn cues(transcript: &Transcript) -> impl Iterator<Item = (f64, f64, String)> {
    transcript.segments.iter().map(|segment| {
        let mut text = super::plain(&segment.text, true);
        while text.contains("-->") {
            text = text.replace("-->", "->");
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        (segment.start, segment.end, lines.collect::<Vec<_>>().join("\n"))
    })
}

fn time(seconds: f64, hours: bool, marker: char) -> String {
    let all = (seconds.max(0.0) * 1000.0).round() as u64;
    let (rest, ms) = (all / 1000, all % 1000);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    if hours || h > 0 {
        format!("{h:02}:{m:02}:{s:02}{marker}{ms:03}")
    } else {
        format!("{m:02}:{s:02}{marker}{ms:03}")
    }
}
