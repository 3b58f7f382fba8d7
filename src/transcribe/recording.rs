//! A recording on its way: what becomes of a window, and what is remembered for the next.

use std::sync::Arc;

use super::align::{self, Request};
use super::segments::{self, Cut, Cuts};
use super::source::{Part, Place, Source};
use super::{Event, FRAME, Settings, Stop, TranscribeError, Transcriber, words};
use crate::audio::Workspace;
use crate::decoder::{Scratch, State};
use crate::decoding::{self, Decoded, Task, Window};
use crate::tokenizer::{Tokenizer, TokenizerError, strip};
use crate::transcript::Segment;

/// Above this temperature text is no prompt of what follows.
const TOO_HOT: f32 = 0.5;

/// A recording that is transcribed.
pub(super) struct Recording<'a> {
    pub(super) transcriber: &'a Transcriber,
    pub(super) task: Arc<Task>,
    pub(super) settings: &'a Settings,
    pub(super) stop: &'a Stop,
    pub(super) heads: Vec<(usize, usize)>,
}

/// What a thread needs to hear windows, one after the other.
pub(super) struct Ear {
    pub(super) state: State,
    scratch: Scratch,
    workspace: Workspace,
    /// The spectrogram, and then the features, which are about as large.
    values: Vec<f32>,
}

/// What was transcribed so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) language: Option<String>,
    /// As tokens.
    pub(super) said: Vec<u32>,
    /// What is before is no prompt any more.
    prompt_from: usize,
    pub(super) segments: Vec<Segment>,
    last_speech: f64,
}

impl Story {
    /// What is given: the language, and text before the first window.
    pub(super) fn begin(
        settings: &Settings,
        tokenizer: &Tokenizer,
    ) -> Result<Self, TokenizerError> {
        let prompt = settings.initial_prompt.as_ref();
        let said = prompt.map(|prompt| tokenizer.encode(&format!(" {}", prompt.trim())));
        let (language, said) = (settings.language.clone(), said.transpose()?.unwrap_or_default());
        Ok(Self { language, said, ..Self::default() })
    }

    /// Adds what was said in a window.
    pub(super) fn add(&mut self, segments: Vec<Segment>, on: &mut dyn FnMut(Event<'_>)) {
        for mut segment in segments {
            segment.id = self.segments.len();
            self.said.extend(&segment.tokens);
            on(Event::Segment(&segment));
            self.segments.push(segment);
        }
    }
}

impl Recording<'_> {
    pub(super) fn ear(&self) -> Ear {
        let state = self.transcriber.decoder.state(&self.task);
        let (scratch, workspace) = (Scratch::default(), Workspace::default());
        Ear { state, scratch, workspace, values: Vec::new() }
    }

    /// From the sound of a window to its spectrogram.
    pub(super) fn look(&self, sound: &[f32], ear: &mut Ear) {
        let Transcriber { log_mel, threads, .. } = self.transcriber;
        threads.run(|| log_mel.compute_into(sound, &mut ear.workspace, &mut ear.values));
    }

    /// From the spectrogram of a window to its keys and values.
    pub(super) fn hear(&self, ear: &mut Ear) -> Result<(), TranscribeError> {
        let Transcriber { encoder, decoder, threads, .. } = self.transcriber;
        let Ear { state, scratch, values, .. } = ear;
        *values = encoder.encode(std::mem::take(values))?;
        Ok(threads.run(|| decoder.decoder().listen(values, state, scratch))?)
    }

    /// The language of the window that was heard, which the first one tells if nobody has.
    pub(super) fn language(
        &self,
        ear: &mut Ear,
        story: &mut Story,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<String, TranscribeError> {
        if let Some(language) = &story.language {
            return Ok(language.clone());
        }
        let Transcriber { decoder, tokenizer, threads, .. } = self.transcriber;
        let Ear { state, scratch, .. } = ear;
        let special = tokenizer.special();
        let detect = || decoding::detect(decoder.decoder(), special, state, scratch);
        let likeliest = threads.run(detect)?.into_iter().next();
        let language = likeliest.map_or("en", |detected| {
            on(Event::Language(detected.code, detected.probability));
            detected.code
        });
        story.language = Some(language.to_owned());
        Ok(language.to_owned())
    }

    /// Decodes the window that was heard.
    pub(super) fn decode(
        &self,
        window: Window<'_>,
        ear: Ear,
    ) -> Result<(Decoded, Ear), TranscribeError> {
        let Ear { state, .. } = ear;
        let (decoded, state) = self.transcriber.decoder.decode(&self.task, window, state)?;
        Ok((decoded, Ear { state, ..ear }))
    }

    /// Window by window, each of which may begin where the last one says, and remember what was said.
    pub(super) fn transcribe(
        &self,
        source: &mut Source<'_>,
        story: &mut Story,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TranscribeError> {
        let mut ear = self.ear();
        loop {
            self.stop.check()?;
            match source.next()? {
                Part::End => break,
                Part::Silence => {}
                Part::Window(place, sound) => {
                    self.look(sound, &mut ear);
                    self.hear(&mut ear)?;
                    let language = self.language(&mut ear, story, on)?;
                    let previous = &story.said[story.prompt_from..];
                    let window = Window { language: &language, previous };
                    let decoded;
                    (decoded, ear) = self.decode(window, ear)?;
                    let advance = self.tell(&decoded, place, &mut ear, story, on)?;
                    source.advance(advance);
                }
            }
            on(Event::Position(source.seconds()));
        }
        self.transcriber.decoder.keep(ear.state);
        Ok(())
    }

    /// Adds what was decoded to the story, and returns how many frames further the next window begins.
    fn tell(
        &self,
        decoded: &Decoded,
        place: Place,
        ear: &mut Ear,
        story: &mut Story,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<u64, TranscribeError> {
        if self.is_left_out(decoded) {
            return Ok(place.frames as u64);
        }
        let Cuts { cuts, advance, complete, .. } = self.cut(decoded, place);
        let mut advance = u64::from(advance);
        let mut segments = self.segments(cuts, place, decoded);
        if self.settings.words {
            self.words(&mut segments, place, ear, story)?;
            let last = segments.iter().rev().find_map(|s| s.words.as_ref()?.last());
            // Without words, where the last stretch ends.
            let end = last.map(|word| word.end).or_else(|| Some(segments.last()?.end));
            if let Some(end) = end {
                story.last_speech = end;
                let frame = (end / FRAME).round() as u64;
                if !complete && frame > place.seek {
                    advance = frame - place.seek;
                }
            }
        }
        segments.retain(is_said);
        story.add(segments, on);
        if !self.settings.condition_on_previous || decoded.temperature > TOO_HOT {
            story.prompt_from = story.said.len();
        }
        Ok(advance)
    }

    pub(super) fn is_left_out(&self, decoded: &Decoded) -> bool {
        self.settings.decoding.thresholds.leaves_out(&decoded.quality)
    }

    pub(super) fn cut(&self, decoded: &Decoded, place: Place) -> Cuts {
        let special = self.transcriber.tokenizer.special();
        let cuts = segments::cut(&decoded.tokens, special, place.frames as u32);
        if self.settings.fixed_windows { cuts.with_rest(place.frames as u32) } else { cuts }
    }

    pub(super) fn segments(&self, cuts: Vec<Cut>, place: Place, decoded: &Decoded) -> Vec<Segment> {
        let time = |frame: u32| (place.seek + u64::from(frame)) as f64 * FRAME;
        let segment = |cut: Cut| Segment {
            id: 0,
            seek: place.seek,
            start: time(cut.start),
            end: time(cut.end),
            text: self.transcriber.tokenizer.decode(&cut.tokens),
            tokens: cut.tokens,
            temperature: decoded.temperature,
            avg_logprob: decoded.quality.log_probability,
            compression_ratio: decoded.quality.compression_ratio,
            no_speech_prob: decoded.quality.no_speech,
            words: None,
        };
        cuts.into_iter().map(segment).collect()
    }

    fn words(
        &self,
        segments: &mut [Segment],
        place: Place,
        ear: &mut Ear,
        story: &Story,
    ) -> Result<(), TranscribeError> {
        let Transcriber { decoder, tokenizer, threads, .. } = self.transcriber;
        let special = tokenizer.special();
        let tokens = segments.iter().flat_map(|segment| &segment.tokens);
        let text: Vec<u32> = tokens.copied().filter(|token| *token < special.end).collect();
        if text.is_empty() {
            return Ok(());
        }
        let language = story.language.as_deref().unwrap_or("en");
        let mut instructions = self.task.instructions(language)?;
        if instructions.last() != Some(&special.no_timestamps) {
            instructions.push(special.no_timestamps);
        }
        let request = Request {
            instructions: &instructions,
            text: &text,
            end: special.end,
            heads: &self.heads,
            positions: (place.frames / 2).max(1),
        };
        let Ear { state, scratch, .. } = ear;
        let aligned = threads.run(|| align::align(decoder.decoder(), &request, state, scratch))?;
        let offset = place.seek as f64 * FRAME;
        words::add_words(segments, &aligned, tokenizer, language, offset, story.last_speech);
        Ok(())
    }
}

/// What takes no time or has no text was not said.
pub(super) fn is_said(segment: &Segment) -> bool {
    segment.start < segment.end && !strip(&segment.text).is_empty()
}
