//! Decoding: bytes of a sound file to mono samples at its own rate, one packet at a time.

use std::io::{self, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::error::Problem;
use super::wav::Media;
use super::{MAX_CHANNELS, MAX_INPUT_RATE, MAX_MAGNITUDE, MIN_INPUT_RATE};

/// Packets without a single byte that are taken in a row before the file counts as ended: a
/// safeguard against demuxers that stand still.
const MAX_EMPTY_PACKETS: usize = 1_000;

/// The most seconds of silence that stand in for damaged packets, in all: positions in a file are
/// not to be trusted any more than the rest of it.
const MAX_SILENCE: u64 = 60;

/// Refuses a channel count that no recording has.
pub(super) fn check_channels(channels: usize) -> Result<(), Problem> {
    match channels {
        0 => Err(Problem::NoChannels),
        1..=MAX_CHANNELS => Ok(()),
        _ => Err(Problem::TooManyChannels(channels)),
    }
}

/// Refuses a sample rate that no recording has.
pub(super) fn check_rate(rate: u32) -> Result<(), Problem> {
    match rate {
        MIN_INPUT_RATE..=MAX_INPUT_RATE => Ok(()),
        _ => Err(Problem::SampleRate(rate)),
    }
}

/// Refuses a sample that is no sound; `first` is the index of the first of `samples`.
pub(super) fn check_samples(samples: &[f32], first: u64, rate: u32) -> Result<(), Problem> {
    // One comparison without a branch per sample, which vectorises; NaN is in no range.
    let sound = |sample: &f32| sample.abs() <= MAX_MAGNITUDE;
    if samples.iter().fold(true, |all, sample| all & sound(sample)) {
        return Ok(());
    }
    match samples.iter().zip(first..).find(|(sample, _)| !sound(sample)) {
        Some((&value, at)) => Err(Problem::Sample { value, seconds: seconds(at, rate) }),
        None => Ok(()),
    }
}

/// A position in seconds.
pub(super) fn seconds(samples: u64, rate: u32) -> f64 {
    samples as f64 / f64::from(rate.max(1))
}

/// A sound file that is being decoded.
pub(super) struct Decoder {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    /// 0 until the first packet that can be decoded.
    rate: u32,
    announced: Option<u64>,
    decoded: u64,
    damaged: u64,
    timeline: Timeline,
    interleaved: Vec<f32>,
}

impl Decoder {
    /// Recognises the file and prepares to decode its first audio track.
    pub(super) fn new(source: impl Read + Seek + Send + 'static) -> Result<Self, Problem> {
        Self::of(Media::new(source)?)
    }

    /// The same of what comes through a pipe.
    pub(super) fn of_pipe(source: impl Read + Send + 'static) -> Result<Self, Problem> {
        Self::of(Media::of_pipe(source)?)
    }

    fn of(source: Media<impl Read + Seek + Send + 'static>) -> Result<Self, Problem> {
        let (format, decoder, track) = contain(|| start(source))??;
        let announced = track.num_frames.filter(|_| format.format_info().short_name != "mp3");
        Ok(Decoder {
            format,
            decoder,
            track: track.id,
            rate: 0,
            announced,
            decoded: 0,
            damaged: 0,
            timeline: Timeline::new(&track),
            interleaved: Vec::new(),
        })
    }

    /// The sample rate; known after the first packet.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// How many samples the header announces, where it does so exactly.
    pub(super) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// How many samples were decoded so far.
    pub(super) fn decoded(&self) -> u64 {
        self.decoded
    }

    /// How many times so far packets could not be decoded or were missing.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Replaces `mono` by the next samples; `false` at the end.
    pub(super) fn next_chunk(&mut self, mono: &mut Vec<f32>) -> Result<bool, Problem> {
        mono.clear();
        while mono.is_empty() {
            let Some(packet) = self.next_packet()? else { return Ok(false) };
            contain(|| self.decode(&packet, mono))??;
        }
        check_samples(mono, self.decoded, self.rate)?;
        self.decoded += mono.len() as u64;
        Ok(true)
    }

    /// The next packet of the track with anything in it.
    fn next_packet(&mut self) -> Result<Option<Packet>, Problem> {
        let mut empty = 0;
        while empty < MAX_EMPTY_PACKETS {
            match contain(|| self.format.next_packet())? {
                Ok(None) => return Ok(None),
                Ok(Some(packet)) if packet.track_id == self.track && !packet.data.is_empty() => {
                    return Ok(Some(packet));
                }
                Ok(Some(packet)) => empty += usize::from(packet.data.is_empty()),
                // The file ends within a packet.
                Err(Error::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Err(Error::IoError(error)) => return Err(Problem::Read(error)),
                // Another recording begins in the same file (chained Ogg).
                Err(Error::ResetRequired) => {
                    let (decoder, track) = decoder_of(&*self.format)?;
                    self.timeline =
                        Timeline { silence: self.timeline.silence, ..Timeline::new(&track) };
                    (self.decoder, self.track, self.announced) = (decoder, track.id, None);
                }
                Err(error) => return Err(Problem::Damaged(error.to_string())),
            }
        }
        Ok(None)
    }

    /// Decodes a packet and appends the mean of its channels to `mono`.
    fn decode(&mut self, packet: &Packet, mono: &mut Vec<f32>) -> Result<(), Problem> {
        let audio = match self.decoder.decode(packet) {
            Ok(audio) => audio,
            // The next packet that can be decoded makes up for it.
            Err(Error::IoError(_) | Error::DecodeError(_)) => {
                self.damaged += 1;
                return Ok(());
            }
            Err(error) => return Err(Problem::Damaged(error.to_string())),
        };
        if audio.is_empty() {
            self.timeline.advance(packet);
            return Ok(());
        }
        let (rate, channels) = (audio.spec().rate(), audio.num_planes());
        check_channels(channels)?;
        if rate != self.rate {
            if self.rate != 0 {
                let seconds = seconds(self.decoded, self.rate);
                return Err(Problem::RateChange { from: self.rate, to: rate, seconds });
            }
            check_rate(rate)?;
            self.rate = rate;
        }
        let gap = self.timeline.gap(packet, rate);
        self.timeline.advance(packet);
        if gap > 0 {
            self.damaged += 1;
            mono.resize(gap, 0.0);
        }
        if channels == 1 && gap == 0 {
            audio.copy_to_vec_interleaved(mono);
        } else {
            audio.copy_to_vec_interleaved(&mut self.interleaved);
            let frames = self.interleaved.chunks_exact(channels);
            mono.extend(frames.map(|frame| frame.iter().sum::<f32>() / channels as f32));
        }
        Ok(())
    }
}

/// Where in the recording a track is, to notice packets that are missing.
struct Timeline {
    /// Units of a position in a second, if it is a whole number.
    ticks: Option<u32>,
    /// Where the next packet should begin, if that is known.
    expected: Option<i64>,
    /// Silence inserted so far, in samples.
    silence: u64,
}

impl Timeline {
    fn new(track: &Track) -> Self {
        let ticks = track.time_base.filter(|base| base.numer.get() == 1);
        let (ticks, expected) = (ticks.map(|base| base.denom.get()), Some(track.start_ts.get()));
        Timeline { ticks, expected, silence: 0 }
    }

    /// How many samples of silence stand in for what is missing before `packet`.
    fn gap(&mut self, packet: &Packet, rate: u32) -> usize {
        let Some(expected) = self.expected.filter(|_| self.ticks == Some(rate)) else { return 0 };
        let missing = packet.pts.get().saturating_sub(expected).max(0).unsigned_abs();
        let gap = missing.min((MAX_SILENCE * u64::from(rate)).saturating_sub(self.silence));
        self.silence += gap;
        gap as usize
    }

    /// `packet` was decoded.
    fn advance(&mut self, packet: &Packet) {
        let duration = i64::try_from(packet.block_dur().get()).ok();
        self.expected = duration.and_then(|duration| packet.pts.get().checked_add(duration));
    }
}

type Started = (Box<dyn FormatReader>, Box<dyn AudioDecoder>, Track);

/// Recognises the container, and finds its first audio track and the decoder for it.
fn start(source: Media<impl Read + Seek + Send + 'static>) -> Result<Started, Problem> {
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    let format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| match error {
            Error::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Problem::Read(error)
            }
            Error::IoError(_) => Problem::NotAudio("it ends within its header".to_owned()),
            error => Problem::NotAudio(error.to_string()),
        })?;
    let (decoder, track) = decoder_of(&*format)?;
    Ok((format, decoder, track))
}

/// The decoder of a file's first audio track.
fn decoder_of(format: &dyn FormatReader) -> Result<(Box<dyn AudioDecoder>, Track), Problem> {
    let no_track = || Problem::NotAudio("it has no audio track".to_owned());
    let track = format.default_track(TrackType::Audio).ok_or_else(no_track)?;
    let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(no_track)?;
    if let Some(channels) = &parameters.channels {
        check_channels(channels.count())?;
    }
    if let Some(rate) = parameters.sample_rate {
        check_rate(rate)?;
    }
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|error| Problem::Coding(error.to_string()))?;
    Ok((decoder, track.clone()))
}

/// Runs the decoding library on untrusted bytes: a panic in it is a damaged file, not the end of
/// the program (unless that was built with `panic = "abort"`). Fuzzing found such bytes. What it
/// was working on is in an unknown state and must not be used again, which
/// [`AudioReader`](super::AudioReader) sees to: after an error it is at its end.
fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| Problem::Damaged("the decoder failed on it".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_decoder_is_a_damaged_file() {
        let caught = contain(|| panic!("attempt to multiply with overflow"));
        assert!(
            matches!(caught, Err::<(), _>(Problem::Damaged(reason)) if reason == "the decoder failed on it")
        );
    }
}
