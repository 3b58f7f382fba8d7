//! Formats, against what OpenAI's programs write.

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
    assert_eq!(transcript().render(Format::Text), "Hello\tyou.\na --> b\n\nc\n");
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
