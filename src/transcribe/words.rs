//! Words with their times, as OpenAI's `add_word_timestamps` makes them of aligned tokens.

use super::align::Aligned;
use crate::tokenizer::{Tokenizer, split_words, strip};
use crate::transcript::{Segment, TimedWord};

/// Marks that belong to the word behind them.
const PREPENDED: &str = "\"'“¿([{-";
/// Marks that belong to the word before them.
const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";
/// Marks that end sentences.
const SENTENCE_ENDS: &str = ".。!！?？";
/// Seconds of a position.
const POSITION: f64 = 0.02;

/// A word on its way.
#[derive(Debug, Clone, PartialEq)]
struct Timing {
    word: String,
    tokens: usize,
    start: f64,
    end: f64,
    probability: f32,
}

impl Timing {
    /// Leaves an empty word at the same time.
    fn take(&mut self) -> Self {
        let (word, tokens) = (std::mem::take(&mut self.word), std::mem::take(&mut self.tokens));
        Self { word, tokens, ..*self }
    }
}

/// Gives the segments of a window their words, and moves their ends to those of the words. `offset` is
/// the beginning of the window, `last_speech` the end of what was said before, both in seconds.
pub(super) fn add_words(
    segments: &mut [Segment],
    aligned: &Aligned,
    tokenizer: &Tokenizer,
    language: &str,
    offset: f64,
    mut last_speech: f64,
) {
    let end = tokenizer.special().end;
    let texts: Vec<Vec<u32>> = segments
        .iter()
        .map(|segment| segment.tokens.iter().copied().filter(|id| *id < end).collect())
        .collect();
    let mut timings = timings(&texts.concat(), aligned, tokenizer, language);
    let median = median_duration(&timings);
    let max = 2.0 * median;
    shorten_at_sentence_ends(&mut timings, max);
    merge_punctuation(&mut timings);

    let mut rest = timings.into_iter();
    for (segment, text) in segments.iter_mut().zip(texts) {
        let mut saved = 0;
        let mut words = Vec::new();
        while saved < text.len() {
            let Some(timing) = rest.next() else { break };
            saved += timing.tokens;
            if !timing.word.is_empty() {
                words.push(TimedWord {
                    start: hundredths(offset + timing.start),
                    end: hundredths(offset + timing.end),
                    word: timing.word,
                    probability: timing.probability,
                });
            }
        }
        if !words.is_empty() {
            settle(segment, &mut words, median, last_speech);
            for time in words.iter_mut().flat_map(|word| [&mut word.start, &mut word.end]) {
                *time = hundredths(*time);
            }
            segment.start = hundredths(segment.start);
            segment.end = hundredths(segment.end);
            last_speech = segment.end;
        }
        segment.words = Some(words);
    }
}

fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

fn timings(text: &[u32], aligned: &Aligned, tokenizer: &Tokenizer, language: &str) -> Vec<Timing> {
    let mut first = 0;
    let time = |token: usize| aligned.starts.get(token).map_or(0.0, |at| *at as f64 * POSITION);
    let timing = |word: crate::tokenizer::Word| {
        let tokens = word.tokens.len();
        let probabilities = aligned.probabilities.iter().skip(first).take(tokens);
        let probability = probabilities.sum::<f32>() / tokens.max(1) as f32;
        let (start, end) = (time(first), time(first + tokens));
        first += tokens;
        Timing { word: word.text, tokens, start, end, probability }
    };
    split_words(tokenizer, text, language).into_iter().map(timing).collect()
}

/// The median length of the words, 0.7 s at most.
fn median_duration(timings: &[Timing]) -> f64 {
    let lengths = timings.iter().map(|timing| timing.end - timing.start);
    let mut lengths: Vec<f64> = lengths.filter(|length| *length != 0.0).collect();
    lengths.sort_by(f64::total_cmp);
    let median = match lengths.len() {
        0 => 0.0,
        n if n % 2 == 1 => lengths[n / 2],
        n => (lengths[n / 2 - 1] + lengths[n / 2]) / 2.0,
    };
    median.min(0.7)
}

fn shorten_at_sentence_ends(timings: &mut [Timing], max: f64) {
    let is_end = |timing: &Timing| SENTENCE_ENDS.contains(&timing.word[..]);
    for i in 1..timings.len() {
        if timings[i].end - timings[i].start > max && max > 0.0 {
            if is_end(&timings[i]) {
                timings[i].end = timings[i].start + max;
            } else if is_end(&timings[i - 1]) {
                timings[i].start = timings[i].end - max;
            }
        }
    }
}

/// Marks become part of the words that they belong to; what was a word of its own stays as an empty
/// one.
fn merge_punctuation(timings: &mut [Timing]) {
    let mut following = timings.len().saturating_sub(1);
    for i in (0..following).rev() {
        let previous = &timings[i];
        let marks = strip(&previous.word);
        if previous.word.starts_with(' ') && PREPENDED.contains(marks) {
            let previous = timings[i].take();
            timings[following].word.insert_str(0, &previous.word);
            timings[following].tokens += previous.tokens;
        } else {
            following = i;
        }
    }
    let mut previous = 0;
    for i in 1..timings.len() {
        if !timings[previous].word.ends_with(' ') && APPENDED.contains(&timings[i].word[..]) {
            let following = timings[i].take();
            timings[previous].word.push_str(&following.word);
            timings[previous].tokens += following.tokens;
        } else {
            previous = i;
        }
    }
}

/// Words at the ends of a segment that are too long are shortened, and the segment ends where they do.
fn settle(segment: &mut Segment, words: &mut [TimedWord], median: f64, last_speech: f64) {
    let max = 2.0 * median;
    let length = |word: &TimedWord| word.end - word.start;
    let second_ends = words.get(1).map(|word| word.end);
    let long_pair = second_ends.is_some_and(|end| end - words[0].start > 2.0 * max);
    let after_a_pause = words[0].end - last_speech > 4.0 * median;
    if after_a_pause && (length(&words[0]) > max || long_pair) {
        if words.len() > 1 && length(&words[1]) > max {
            let boundary = (words[1].end / 2.0).max(words[1].end - max);
            words[0].end = boundary;
            words[1].start = boundary;
        }
        words[0].start = (words[0].end - max).max(0.0);
    }
    if segment.start < words[0].end && segment.start - 0.5 > words[0].start {
        words[0].start = (words[0].end - median).min(segment.start).max(0.0);
    } else {
        segment.start = words[0].start;
    }
    let last = &mut words[words.len() - 1];
    if segment.end > last.start && segment.end + 0.5 < last.end {
        last.end = (last.start + median).max(segment.end);
    } else {
        segment.end = last.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(word: &str, start: f64, end: f64) -> Timing {
        Timing { word: word.into(), tokens: 1, start, end, probability: 1.0 }
    }

    #[test]
    fn marks_join_their_words() {
        let mut timings =
            [" (", "He", "llo", ",", " you", ".", "\""].map(|word| timing(word, 0.0, 0.0));
        merge_punctuation(&mut timings);
        let words: Vec<_> =
            timings.iter().map(|timing| (&timing.word[..], timing.tokens)).collect();
        let expected =
            [("", 0), (" (He", 2), ("llo,", 2), ("", 0), (" you.\"", 3), ("", 0), ("", 0)];
        assert_eq!(words, expected);
    }

    #[test]
    fn long_words_are_cut_where_sentences_end() {
        let mut timings = [timing(" a", 0.0, 0.2), timing(".", 0.2, 3.0), timing(" b", 3.0, 6.0)];
        shorten_at_sentence_ends(&mut timings, 0.5);
        assert_eq!((timings[1].end, timings[2].start), (0.7, 5.5));
    }

    #[test]
    fn segments_get_their_words_and_end_with_them() {
        let tokenizer = Tokenizer::synthetic(51865);
        let first = tokenizer.special().first_timestamp;
        let text = |text: &str| tokenizer.encode(text).unwrap();
        let segment = |tokens: Vec<u32>, start, end| Segment {
            tokens: [vec![first], tokens, vec![first + 9]].concat(),
            start,
            end,
            ..Segment::default()
        };
        let mut segments = [segment(text(" ab c"), 10.0, 10.3), segment(text(" d"), 10.3, 11.0)];
        // Bytes: ' ' a b ' ' c ' ' d, then the end.
        let aligned = Aligned {
            starts: vec![2, 2, 5, 8, 8, 15, 20, 30],
            probabilities: vec![0.5, 0.5, 0.8, 1.0, 1.0, 0.2, 0.4],
        };
        add_words(&mut segments, &aligned, &tokenizer, "en", 10.0, 10.0);
        let words = |segment: &Segment| -> Vec<(String, f64, f64)> {
            let words = segment.words.iter().flatten();
            words.map(|word| (word.word.clone(), word.start, word.end)).collect()
        };
        let expected = [(" ab".to_owned(), 10.04, 10.16), (" c".to_owned(), 10.16, 10.3)];
        assert_eq!(words(&segments[0]), expected);
        assert_eq!(words(&segments[1]), [(" d".to_owned(), 10.3, 10.6)]);
        assert_eq!((segments[0].start, segments[1].end), (10.04, 10.6));
        let probability = segments[0].words.as_ref().unwrap()[0].probability;
        assert!((probability - 0.6).abs() < 1e-6);
    }
}
