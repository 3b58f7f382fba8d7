//! Where there is no sound: what `--vad` skips.
//!
//! By energy alone, in frames of 20 ms. A frame is loud if it is 9 dB above the background, which is
//! what the quietest tenth of the frames have, with limits for recordings without pauses or without
//! noise. Speech begins with three loud frames in a row, and ends where two seconds have none.

use std::ops::Range;

use crate::audio::HOP;

/// Samples of a frame: a whole number of the spectrogram's.
const FRAME: usize = 2 * HOP;
/// Loud frames in a row that are speech.
const ATTACK: usize = 3;
/// Quiet frames in a row that end it.
const RELEASE: usize = 100;
/// Frames that are kept around it.
const MARGIN: usize = 15;
/// How far above the background is loud, in decibels.
const ABOVE: f32 = 9.0;
/// The lowest and highest level that is taken for the limit of loudness, in decibels of full scale.
const LIMITS: Range<f32> = -60.0..-35.0;

/// The first stretch of samples with speech in it, in whole frames but for the end; nothing if there
/// is none. `background` is what is known of it, in decibels, and is brought up to date.
pub(super) fn first_speech(samples: &[f32], background: &mut Option<f32>) -> Option<Range<usize>> {
    let levels: Vec<f32> = samples.chunks(FRAME).map(level).collect();
    let limit = (noise(&levels, background) + ABOVE).clamp(LIMITS.start, LIMITS.end);
    let loud = |frame: &usize| levels[*frame] > limit;
    let starts = |frame: &usize| (*frame..frame + ATTACK).all(|frame| loud(&frame));
    let last_start = levels.len().saturating_sub(ATTACK - 1);
    let first = (0..last_start).find(starts)?;
    let mut last = first + ATTACK - 1;
    for frame in last + 1..levels.len() {
        if loud(&frame) {
            last = frame;
        } else if frame - last >= RELEASE {
            break;
        }
    }
    let end = ((last + 1 + MARGIN) * FRAME).min(samples.len());
    Some(first.saturating_sub(MARGIN) * FRAME..end)
}

/// The level of a frame in decibels.
fn level(frame: &[f32]) -> f32 {
    let power = frame.iter().map(|x| x * x).sum::<f32>() / frame.len() as f32;
    10.0 * power.max(1e-12).log10()
}

/// The background: at once where it is quieter than before, slowly where it is louder.
fn noise(levels: &[f32], background: &mut Option<f32>) -> f32 {
    let mut sorted = levels.to_vec();
    sorted.sort_by(f32::total_cmp);
    let now = sorted.get(sorted.len() / 10).copied().unwrap_or(LIMITS.start);
    let noise = match *background {
        Some(before) if before < now => 0.9 * before + 0.1 * now,
        _ => now,
    };
    *background = Some(noise);
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(seconds: f32, volume: f32) -> Vec<f32> {
        (0..(seconds * 16000.0) as usize).map(|i| volume * (i as f32 * 0.3).sin()).collect()
    }

    fn seconds(range: &Range<usize>) -> (f32, f32) {
        (range.start as f32 / 16000.0, range.end as f32 / 16000.0)
    }

    #[test]
    fn speech_is_found_between_silences() {
        let mut sound = tone(5.0, 0.001);
        sound.extend(tone(3.0, 0.2));
        sound.extend(tone(1.0, 0.001));
        sound.extend(tone(1.0, 0.2));
        sound.extend(tone(5.0, 0.001));
        sound.extend(tone(1.0, 0.2));
        let (start, end) = seconds(&first_speech(&sound, &mut None).unwrap());
        assert!((start - 4.7).abs() < 0.05, "{start}");
        // A pause of a second is none; one of five is.
        assert!((end - 10.3).abs() < 0.05, "{end}");
    }

    #[test]
    fn silence_noise_and_a_click_are_no_speech() {
        assert_eq!(first_speech(&tone(30.0, 0.0), &mut None), None);
        assert_eq!(first_speech(&tone(30.0, 0.002), &mut None), None);
        let mut click = tone(30.0, 0.0);
        click[8000..8200].fill(0.9);
        assert_eq!(first_speech(&click, &mut None), None);
        assert_eq!(first_speech(&[], &mut None), None);
    }

    #[test]
    fn speech_without_pauses_is_all_speech() {
        let sound = tone(30.0, 0.2);
        assert_eq!(first_speech(&sound, &mut None), Some(0..sound.len()));
    }
}
