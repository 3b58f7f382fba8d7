//! When each token was said: attention to the window, followed through time.
//!
//! As OpenAI's `timing.py`: the attention of the alignment heads, cut to the positions that have sound,
//! is normalised over the tokens, smoothed in time by a median, averaged over the heads, and the
//! cheapest monotonic path through it found by dynamic time warping.

use crate::decoder::{Decoder, DecoderError, Scratch, State};
use crate::decoding::DecodingError;
use crate::weights::DecoderDimensions;

/// Positions that the median looks at.
const MEDIAN: usize = 7;
/// Tokens that are run at a time: each has as many logits as there are tokens at all.
const AT_ONCE: usize = 32;

/// Tokens of a window with the times that they begin at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aligned {
    /// Positions of 20 ms: where each token of text begins, and where the last ends.
    pub(super) starts: Vec<usize>,
    /// The probability of each token of text.
    pub(super) probabilities: Vec<f32>,
}

/// What is aligned.
pub(super) struct Request<'a> {
    /// Tokens before the text; the last is `<|notimestamps|>`.
    pub(super) instructions: &'a [u32],
    pub(super) text: &'a [u32],
    /// `<|endoftext|>`.
    pub(super) end: u32,
    /// Layers and heads that follow the words.
    pub(super) heads: &'a [(usize, usize)],
    /// Positions of the window that have sound.
    pub(super) positions: usize,
}

/// The heads that a checkpoint says follow the words, each once, or the usual ones.
pub(super) fn heads(
    said: Option<&[(usize, usize)]>,
    decoder: &Decoder,
) -> Result<Vec<(usize, usize)>, DecodingError> {
    let Some(said) = said else { return Ok(usual_heads(decoder)) };
    let DecoderDimensions { layers, heads, .. } = decoder.dimensions();
    if let Some(&(layer, head)) =
        said.iter().find(|(layer, head)| *layer >= layers || *head >= heads)
    {
        return Err(DecodingError::Heads { layer, head, layers, heads });
    }
    let mut said = said.to_vec();
    said.sort_unstable();
    said.dedup();
    Ok(said)
}

/// The heads of the upper half of the layers.
fn usual_heads(decoder: &Decoder) -> Vec<(usize, usize)> {
    let sizes = decoder.dimensions();
    let layers = sizes.layers / 2..sizes.layers;
    layers.flat_map(|layer| (0..sizes.heads).map(move |head| (layer, head))).collect()
}

/// Aligns the text of the window that `state` has. What is longer than a sequence can be begins where
/// the rest ends, with a probability of 0.
pub(super) fn align(
    decoder: &Decoder,
    request: &Request<'_>,
    state: &mut State,
    scratch: &mut Scratch,
) -> Result<Aligned, DecoderError> {
    align_by(AT_ONCE, decoder, request, state, scratch)
}

fn align_by(
    at_once: usize,
    decoder: &Decoder,
    request: &Request<'_>,
    state: &mut State,
    scratch: &mut Scratch,
) -> Result<Aligned, DecoderError> {
    let Request { instructions, text: whole, end, heads, positions } = *request;
    let room = decoder.dimensions().positions.saturating_sub(instructions.len() + 1);
    let text = &whole[..whole.len().min(room)];
    let mut tokens = instructions.to_vec();
    tokens.extend(text);
    tokens.push(end);
    // The row of `<|notimestamps|>` predicts the first token of the text.
    let first = instructions.len() - 1;
    let (mut probabilities, mut attention) = (Vec::with_capacity(whole.len()), Vec::new());
    state.rewind(0);
    state.watch(heads);
    let done = (0..tokens.len()).step_by(at_once).try_for_each(|from| {
        let part = &tokens[from..tokens.len().min(from + at_once)];
        // Places of this part behind which there is a token of the text.
        let of_text = |at: &usize| (first..first + text.len()).contains(&(from + at));
        let wanted: Vec<usize> = (0..part.len()).filter(of_text).collect();
        decoder.prompt(part, &wanted, state, scratch)?;
        for (row, at) in wanted.iter().enumerate() {
            // Of all text, without what is special.
            let logits = state.row(row);
            let logits = &logits[..(end as usize).min(logits.len())];
            let logit = logits.get(text[from + at - first] as usize);
            let logit = logit.copied().unwrap_or(f32::NEG_INFINITY);
            probabilities.push((logit - decoder.cpu().log_sum_exp(logits)).exp());
        }
        look(state, part.len(), positions, &mut attention);
        Ok::<_, DecoderError>(())
    });
    state.watch(&[]);
    done?;
    let matrix = average(&attention, tokens.len() * positions, positions);
    let rows = first..first + text.len() + 1;
    let costs: Vec<f64> =
        rows.flat_map(|row| matrix[row * positions..][..positions].iter().map(|x| -x)).collect();
    let path = warp(&costs, text.len() + 1, positions);
    let mut starts = vec![0; text.len() + 1];
    // Backwards, so that the first position of a token stays.
    for (token, position) in path.into_iter().rev() {
        starts[token] = position;
    }
    starts.resize(whole.len() + 1, starts[text.len()]);
    probabilities.resize(whole.len(), 0.0);
    Ok(Aligned { starts, probabilities })
}

/// Adds the attention of the watched heads, in the last run of so many tokens, to the first positions to
/// what there is of it: of each head tokens × positions.
fn look(state: &State, tokens: usize, positions: usize, attention: &mut Vec<Vec<f32>>) {
    let mut heads = attention.iter_mut();
    let mut new = Vec::new();
    for (_, probe) in state.attention() {
        let all = probe.probabilities.len() / (probe.heads.len() * tokens).max(1);
        if all < positions {
            continue;
        }
        for head in probe.probabilities.chunks_exact(tokens * all) {
            let rows = head.chunks_exact(all).flat_map(|row| &row[..positions]);
            match heads.next() {
                Some(before) => before.extend(rows),
                None => new.push(rows.copied().collect()),
            }
        }
    }
    attention.append(&mut new);
}

/// The attention of all heads, tokens × positions, normalised, smoothed and averaged.
fn average(attention: &[Vec<f32>], length: usize, positions: usize) -> Vec<f64> {
    let mut sum = vec![0.0; length];
    for head in attention {
        sum.iter_mut().zip(smooth(head, positions)).for_each(|(sum, x)| *sum += x);
    }
    sum.iter_mut().for_each(|x| *x /= attention.len().max(1) as f64);
    sum
}

/// The attention of a head.
fn smooth(head: &[f32], positions: usize) -> Vec<f64> {
    let rows = head.chunks_exact(positions);
    let mut weights: Vec<f64> = rows.flat_map(scaled).collect();
    normalise(&mut weights, positions);
    weights.chunks_exact(positions).flat_map(median).collect()
}

/// A row whose sum is 1.
fn scaled(row: &[f32]) -> impl Iterator<Item = f64> {
    let sum: f64 = row.iter().map(|x| f64::from(*x)).sum();
    row.iter().map(move |x| f64::from(*x) / sum.max(f64::MIN_POSITIVE))
}

/// Mean 0 and variance 1 of each position over all tokens.
fn normalise(weights: &mut [f64], positions: usize) {
    let tokens = weights.len() / positions.max(1);
    for position in 0..positions {
        let column = || weights[position..].iter().step_by(positions);
        let mean = column().sum::<f64>() / tokens as f64;
        let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / tokens as f64;
        let deviation = variance.sqrt().max(f64::MIN_POSITIVE);
        for x in weights[position..].iter_mut().step_by(positions) {
            *x = (*x - mean) / deviation;
        }
    }
}

/// The median around each place, the ends reflected. Rows too short to be reflected stay.
fn median(row: &[f64]) -> Vec<f64> {
    let half = MEDIAN / 2;
    if row.len() <= half {
        return row.to_vec();
    }
    let last = row.len() as isize - 1;
    let reflected = |at: isize| {
        let at = at.abs();
        row[(if at > last { 2 * last - at } else { at }) as usize]
    };
    let around = |at: usize| {
        let mut window: [f64; MEDIAN] =
            std::array::from_fn(|i| reflected(at as isize + i as isize - half as isize));
        window.sort_by(f64::total_cmp);
        window[half]
    };
    (0..row.len()).map(around).collect()
}

/// The cheapest path through rows × columns from one corner to the other, that goes on by a row, a
/// column or both.
fn warp(costs: &[f64], rows: usize, columns: usize) -> Vec<(usize, usize)> {
    let width = columns + 1;
    let mut sums = vec![f32::INFINITY; (rows + 1) * width];
    let mut moves = vec![Move::Column; (rows + 1) * width];
    sums[0] = 0.0;
    for row in 1..=rows {
        for column in 1..=columns {
            let at = row * width + column;
            let [both, by_row, by_column] = [at - width - 1, at - width, at - 1].map(|i| sums[i]);
            let (least, from) = if both < by_row && both < by_column {
                (both, Move::Both)
            } else if by_row < both && by_row < by_column {
                (by_row, Move::Row)
            } else {
                (by_column, Move::Column)
            };
            sums[at] = (costs[(row - 1) * columns + column - 1] + f64::from(least)) as f32;
            moves[at] = from;
        }
    }
    let (mut row, mut column) = (rows, columns);
    let mut path = Vec::new();
    while row > 0 && column > 0 {
        path.push((row - 1, column - 1));
        match moves[row * width + column] {
            Move::Both => (row, column) = (row - 1, column - 1),
            Move::Row => row -= 1,
            Move::Column => column -= 1,
        }
    }
    path.reverse();
    path
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Both,
    Row,
    Column,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::{Cpu, Numeric};
    use crate::weights::Weights;

    #[test]
    fn the_path_follows_the_valley() {
        #[rustfmt::skip]
        let costs = [
            0.0, 0.0, 9.0, 9.0, 9.0,
            9.0, 9.0, 0.0, 9.0, 9.0,
            9.0, 9.0, 9.0, 0.0, 0.0,
        ];
        assert_eq!(warp(&costs, 3, 5), [(0, 0), (0, 1), (1, 2), (2, 3), (2, 4)]);
        assert_eq!(warp(&[1.0], 1, 1), [(0, 0)]);
        // More rows than columns: some share a position.
        assert_eq!(warp(&[0.0, 0.0, 0.0], 3, 1), [(0, 0), (1, 0), (2, 0)]);
    }

    #[test]
    fn medians_reflect_at_the_ends() {
        let row = [5.0, 1.0, 9.0, 2.0, 8.0, 3.0];
        // Around the first: 2 9 1 5 1 9 2; around the last: 2 8 3 8 2 9 and 2 again.
        let filtered = median(&row);
        assert_eq!(filtered[0], 2.0);
        // Around the fourth all but the last but one twice: 5 1 9 2 8 3 8.
        assert_eq!(filtered[3], 5.0);
        assert_eq!(median(&[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn parts_are_aligned_as_the_whole() {
        let sizes = DecoderDimensions {
            d_model: 64,
            heads: 2,
            layers: 2,
            ffn: 64,
            vocabulary: 300,
            positions: 90,
        };
        let (cpu, weights) = (Cpu::new().unwrap(), Weights::synthetic());
        let decoder = Decoder::load(cpu, Numeric::F32, Some(sizes), &weights, None).unwrap();
        let (mut state, mut scratch) = (decoder.state(1), Scratch::default());
        let features: Vec<f32> = (0..64 * 50).map(|i| (i as f32 * 0.37).sin()).collect();
        decoder.listen(&features, &mut state, &mut scratch).unwrap();
        let text: Vec<u32> = (0..100).map(|i| i * 7 % 250).collect();
        let request = Request {
            instructions: &[280, 281, 282],
            text: &text,
            end: 260,
            heads: &[(0, 1), (1, 0), (1, 1)],
            positions: 43,
        };
        let mut align =
            |at_once| align_by(at_once, &decoder, &request, &mut state, &mut scratch).unwrap();
        let whole = align(1000);
        assert!(whole.probabilities[..80].iter().all(|p| *p > 0.0));
        assert!(whole.starts.is_sorted() && whole.starts[70] > 0, "{:?}", whole.starts);
        for at_once in [1, 2, 7, 32, 89, 90] {
            assert_eq!(align(at_once), whole, "{at_once}");
        }
    }

    /// Numbers of which many are the same.
    fn numbers(count: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 24) % 16) as f32 / 8.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Against `median_filter` and `dtw` of OpenAI's `whisper.timing`, version 20250625, and what
    /// `find_alignment` does around them in torch, in f64, for two heads of 5 tokens × 12 positions.
    #[test]
    fn the_path_is_openais() {
        let heads: Vec<f32> = numbers(2 * 5 * 12).iter().map(|x| x + 0.125).collect();
        let heads = heads.chunks_exact(5 * 12).map(|head| smooth(head, 12));
        let mut matrix = vec![0.0; 5 * 12];
        for head in heads {
            matrix.iter_mut().zip(head).for_each(|(sum, x)| *sum += x / 2.0);
        }
        let expected =
            [0.8608904959462043, 0.6692934636157898, -0.028053035645384597, 0.4042010352545952];
        for (x, expected) in matrix[12..].iter().zip(expected) {
            assert!((x - expected).abs() < 1e-7, "{x}, not {expected}");
        }
        let costs: Vec<f64> = matrix.iter().map(|x| -x).collect();
        let before = [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7)];
        let behind = [(2, 7), (2, 8), (2, 9), (2, 10), (2, 11), (3, 11), (4, 11)];
        assert_eq!(warp(&costs, 5, 12), [&before[..], &behind].concat());

        let costs: Vec<f64> = numbers(40).into_iter().map(f64::from).collect();
        let before = [(0, 0), (1, 0), (2, 1), (2, 2), (2, 3), (2, 4)];
        let behind = [(2, 5), (2, 6), (2, 7), (3, 8), (3, 9)];
        assert_eq!(warp(&costs, 4, 10), [&before[..], &behind].concat());
    }

    #[test]
    fn every_position_has_mean_0_and_variance_1() {
        let mut weights = vec![1.0, 4.0, 3.0, 4.0, 5.0, 4.0];
        normalise(&mut weights, 2);
        let root = 1.5f64.sqrt();
        for (x, expected) in weights.iter().zip([-root, 0.0, 0.0, 0.0, root, 0.0]) {
            assert!((x - expected).abs() < 1e-12, "{weights:?}");
        }
    }
}
