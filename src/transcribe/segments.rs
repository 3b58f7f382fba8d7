//! From a window's tokens to stretches of speech, as OpenAI's `transcribe` cuts them.

use crate::tokenizer::Special;

/// A stretch of tokens, with its beginning and end in frames of 10 ms from that of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) tokens: Vec<u32>,
}

/// The stretches of a window, and how many frames further the next window begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cuts {
    pub(super) cuts: Vec<Cut>,
    pub(super) advance: u32,
    /// Whether there is no speech behind the last timestamp.
    pub(super) complete: bool,
    /// What will be decoded again.
    pub(super) rest: Option<Cut>,
}

impl Cuts {
    /// The stretches of a window behind which the next one begins, whatever is in it.
    pub(super) fn with_rest(mut self, frames: u32) -> Self {
        self.cuts.extend(self.rest.take());
        Self { advance: frames, complete: true, ..self }
    }
}

/// Cuts between two timestamps in a row. What is behind the last such pair is decoded again in the
/// next window, which begins there, unless it ends with a timestamp. `frames` are those of the window's
/// sound.
pub(super) fn cut(tokens: &[u32], special: &Special, frames: u32) -> Cuts {
    let frame = |token: &u32| Some(special.position(*token)?.saturating_mul(2));
    let is_timestamp = |token: &u32| special.is_timestamp(*token);
    let complete =
        matches!(tokens, [.., before, last] if !is_timestamp(before) && is_timestamp(last));
    let pairs = tokens.windows(2).enumerate();
    let pairs = pairs.filter(|(_, pair)| pair.iter().all(is_timestamp));
    let mut places: Vec<usize> = pairs.map(|(at, _)| at + 1).collect();
    if places.is_empty() {
        let last = tokens.iter().rev().find_map(frame).filter(|frame| *frame > 0);
        let end = last.unwrap_or(frames);
        let cut = Cut { start: 0, end, tokens: tokens.to_vec() };
        return Cuts { cuts: vec![cut], advance: frames, complete, rest: None };
    }
    if complete {
        places.push(tokens.len());
    }
    let mut cuts = Vec::new();
    let mut from = 0;
    for to in places {
        let tokens = &tokens[from..to];
        let of = |token: Option<&u32>| token.and_then(frame).unwrap_or(0);
        let (start, end) = (of(tokens.first()), of(tokens.last()));
        cuts.push(Cut { start, end, tokens: tokens.to_vec() });
        from = to;
    }
    let last = cuts.last().map_or(0, |cut| cut.end);
    let start = tokens.get(from).and_then(frame);
    let rest = start.map(|start| Cut { start, end: frames, tokens: tokens[from..].to_vec() });
    Cuts { cuts, advance: if complete { frames } else { last }, complete, rest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer;

    /// Numbers below 1000 are text, those above timestamps.
    fn cut_of(tokens: &[u32]) -> (Vec<(u32, u32, usize)>, u32, bool) {
        let special = Tokenizer::synthetic(51865).special().clone();
        let token = |t: &u32| if *t < 1000 { *t } else { special.first_timestamp + t - 1000 };
        let tokens: Vec<u32> = tokens.iter().map(token).collect();
        let Cuts { cuts, advance, complete, .. } = cut(&tokens, &special, 2999);
        let cuts = cuts.iter().map(|cut| (cut.start, cut.end, cut.tokens.len())).collect();
        (cuts, advance, complete)
    }

    #[test]
    fn pairs_separate_and_the_unfinished_rest_is_decoded_again() {
        let cut = cut_of(&[1000, 1, 2, 1100, 1100, 3, 1250, 1300, 4]);
        assert_eq!(cut, (vec![(0, 200, 4), (200, 500, 3)], 500, false));
    }

    #[test]
    fn a_timestamp_at_the_end_means_that_nothing_follows() {
        let cut = cut_of(&[1000, 1, 1100, 1100, 3, 1250]);
        assert_eq!(cut, (vec![(0, 200, 3), (200, 500, 3)], 2999, true));
    }

    #[test]
    fn in_a_fixed_window_the_rest_is_a_stretch_too() {
        let special = Tokenizer::synthetic(51865).special().clone();
        let text = |n: u32| if n < 1000 { n } else { special.first_timestamp + n - 1000 };
        let all = |tokens: &[u32]| {
            let tokens: Vec<u32> = tokens.iter().map(|n| text(*n)).collect();
            let Cuts { cuts, advance, .. } = cut(&tokens, &special, 2999).with_rest(2999);
            (cuts.into_iter().map(|cut| (cut.start, cut.end)).collect::<Vec<_>>(), advance)
        };
        let pairs = [1000, 1, 1100, 1100, 3, 1250, 1300, 4];
        assert_eq!(all(&pairs), (vec![(0, 200), (200, 500), (600, 2999)], 2999));
        assert_eq!(all(&[1000, 1, 1100, 1100, 3, 1250]), (vec![(0, 200), (200, 500)], 2999));
        assert_eq!(all(&[1000, 1]), (vec![(0, 2999)], 2999));
        // A last timestamp begins what was not said.
        assert_eq!(all(&[1000, 1, 1100, 1100]), (vec![(0, 200), (200, 2999)], 2999));
    }

    #[test]
    fn a_pair_at_the_end_is_where_the_next_window_begins() {
        let cut = cut_of(&[1000, 1, 1100, 1100]);
        assert_eq!(cut, (vec![(0, 200, 3)], 200, false));
    }

    #[test]
    fn without_pairs_all_is_one_stretch() {
        assert_eq!(cut_of(&[1000, 1, 1100]), (vec![(0, 200, 3)], 2999, true));
        assert_eq!(cut_of(&[1000, 1]), (vec![(0, 2999, 2)], 2999, false));
        assert_eq!(cut_of(&[1, 2]), (vec![(0, 2999, 2)], 2999, false));
        assert_eq!(cut_of(&[]), (vec![(0, 2999, 0)], 2999, false));
    }
}
