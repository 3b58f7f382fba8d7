//! Formats, against what OpenAI's programs write.

use proptest::prelude::*;

use super::*;

fn transcript() -> Transcript {
    let word =
        |word: &str, start, end| TimedWord { word: word.into(), start, end, probability: 0.5 };
    let segment = |id, start, end, text: &str| Segment {
        id,
        start,
        end,
        text: text.into(),
        ..Segment::default()
    };
    let mut segments = vec![
        segment(0, 0.0, 1.52, " Hello\tyou."),
        segment(1, 3599.9996, 3661.25, " a --> b\n\nc "),
    ];
    segments[0].words = Some(vec![word(" Hello", 0.0, 0.5), word(" you.", 0.5, 1.52)]);
    Transcript { task: "transcribe", language: "en".into(), duration: 3700.0, segments }
}

#[test]
fn text_is_a_line_for_each_segment() {
    assert_eq!(transcript().render(Format::Text), "Hello\tyou.\na --> b  c\n");
}

#[test]
fn subtitles() {
    assert_eq!(
        transcript().render(Format::Srt),
        "1\n00:00:00,000 --> 00:00:01,520\nHello\tyou.\n\n\
         2\n01:00:00,000 --> 01:01:01,250\na -> b\nc\n\n"
    );
    assert_eq!(
        transcript().render(Format::Vtt),
        "WEBVTT\n\n00:00.000 --> 00:01.520\nHello\tyou.\n\n\
         01:00:00.000 --> 01:01:01.250\na -> b\nc\n\n"
    );
}

#[test]
fn tabs_separate() {
    assert_eq!(
        transcript().render(Format::Tsv),
        "start\tend\ttext\n0\t1520\tHello you.\n3600000\t3661250\ta --> b  c\n"
    );
}

#[test]
fn json_has_the_fields_of_verbose_json() {
    let json: serde_json::Value = serde_json::from_str(&transcript().render(Format::Json)).unwrap();
    assert_eq!(json["language"], "english");
    assert_eq!(json["text"], "Hello\tyou. a --> b\n\nc");
    assert_eq!(json["words"][1], serde_json::json!({ "word": " you.", "start": 0.5, "end": 1.52 }));
    let fields: Vec<_> = json["segments"][0].as_object().unwrap().keys().cloned().collect();
    let mut expected = [
        "id",
        "seek",
        "start",
        "end",
        "text",
        "tokens",
        "temperature",
        "avg_logprob",
        "compression_ratio",
        "no_speech_prob",
    ];
    expected.sort_unstable();
    let mut fields = fields;
    fields.sort_unstable();
    assert_eq!(fields, expected);
}

#[test]
fn what_would_be_markup_is_text() {
    let mut transcript = transcript();
    transcript.segments.truncate(1);
    transcript.segments[0].text = " R&D <b> ---> c\r\rd\0\u{2028}e".to_owned();
    assert_eq!(
        transcript.render(Format::Vtt),
        "WEBVTT\n\n00:00.000 --> 00:01.520\nR&amp;D &lt;b> -> c\nd\ne\n\n"
    );
    assert_eq!(transcript.render(Format::Text), "R&D <b> ---> c  d  e\n");
}

/// Segments of any text and times.
fn any_transcript() -> impl Strategy<Value = Transcript> {
    let pieces = prop_oneof![
        Just("-->".to_owned()),
        Just("\n\n".to_owned()),
        Just("\r".to_owned()),
        Just("\u{2029}".to_owned()),
        Just("\t".to_owned()),
        Just("\0".to_owned()),
        Just("-".to_owned()),
        Just(">".to_owned()),
        Just("<v &lt;".to_owned()),
        Just("1\n00:00:00,000 --> 00:00:01,000\n".to_owned()),
        any::<String>(),
        any::<char>().prop_map(String::from),
    ];
    let text = proptest::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat());
    let times = (0.0..1e6f64, 0.0..1e3f64);
    let segment = (text, times).prop_map(|(text, (start, length))| Segment {
        start,
        end: start + length,
        text,
        ..Segment::default()
    });
    proptest::collection::vec(segment, 0..4).prop_map(|segments| Transcript {
        task: "transcribe",
        language: "en".to_owned(),
        duration: 1e6,
        segments,
    })
}

/// Seconds of a time with a marker before the milliseconds.
fn seconds(time: &str, marker: char) -> f64 {
    let (rest, ms) = time.split_once(marker).unwrap();
    assert_eq!(ms.len(), 3, "{time}");
    let whole = rest.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
    whole + ms.parse::<f64>().unwrap() / 1000.0
}

/// The cues of subtitles as a strict reader finds them: blocks between empty lines.
fn check_cues(transcript: &Transcript, text: &str, marker: char, numbered: bool) {
    assert!(!text.contains(['\r', '\0', '\u{2028}']), "{text:?}");
    let mut lines = text.split('\n').peekable();
    for (i, segment) in transcript.segments.iter().enumerate() {
        if numbered {
            assert_eq!(lines.next().unwrap(), (i + 1).to_string());
        }
        let (start, end) = lines.next().unwrap().split_once(" --> ").unwrap();
        assert!((seconds(start, marker) - segment.start).abs() < 6e-4, "{start}");
        assert!((seconds(end, marker) - segment.end).abs() < 6e-4, "{end}");
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            assert!(!line.contains("-->"), "{line:?}");
        }
        // Without text there is one more empty line.
        if lines.peek() == Some(&"") && i + 1 < transcript.segments.len() {
            lines.next();
        }
    }
    assert!(lines.all(str::is_empty));
}

proptest! {
    #[test]
    fn any_text_leaves_files_well_formed(transcript in any_transcript()) {
        check_cues(&transcript, &transcript.render(Format::Srt), ',', true);
        let vtt = transcript.render(Format::Vtt);
        let vtt = vtt.strip_prefix("WEBVTT\n\n").unwrap();
        check_cues(&transcript, vtt, '.', false);
        prop_assert!(!vtt.contains('<') && vtt.matches('&').count() == vtt.matches("&amp;").count() + vtt.matches("&lt;").count());

        let tsv = transcript.render(Format::Tsv);
        let lines: Vec<&str> = tsv.strip_suffix('\n').unwrap().split('\n').collect();
        prop_assert_eq!(lines.len(), transcript.segments.len() + 1);
        prop_assert!(lines.iter().all(|line| line.split('\t').count() == 3));

        let txt = transcript.render(Format::Text);
        prop_assert_eq!(txt.matches('\n').count(), transcript.segments.len());

        let json: serde_json::Value = serde_json::from_str(&transcript.render(Format::Json)).unwrap();
        for (segment, found) in transcript.segments.iter().zip(json["segments"].as_array().unwrap()) {
            prop_assert_eq!(found["text"].as_str(), Some(&segment.text[..]));
        }
    }
}
