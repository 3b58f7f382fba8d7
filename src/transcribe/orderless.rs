//! Windows of a recording of which none depends on another: several at the same time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

use super::recording::{Ear, Recording, Story, is_said};
use super::source::{Part, Place, Source};
use super::{Event, TranscribeError};
use crate::decoding::Window;
use crate::transcript::Segment;

/// The most threads.
const MOST: usize = 64;

/// What all threads share.
struct Windows<'a, 's> {
    recording: &'a Recording<'a>,
    queue: Mutex<Queue<'a, 's>>,
    language: &'a str,
    /// Tokens before the first window.
    prompt: &'a [u32],
    failed: AtomicBool,
}

struct Queue<'a, 's> {
    source: &'a mut Source<'s>,
    /// Windows that were taken.
    count: usize,
    /// The first one, until a thread takes it.
    first: Option<Heard>,
}

/// A window that has been heard.
struct Heard {
    index: usize,
    place: Place,
    ear: Ear,
}

/// What was said in a window, and where it ends in seconds; with its index.
type Told = (usize, Result<(Vec<Segment>, f64), TranscribeError>);

/// Transcribes all windows. Each thread takes the next one; what they find is told in order.
pub(super) fn transcribe(
    recording: &Recording<'_>,
    source: &mut Source<'_>,
    story: &mut Story,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<(), TranscribeError> {
    transcribe_on(Builder::new, recording, source, story, on)
}

/// The same, on threads that are made so.
pub(super) fn transcribe_on(
    builder: fn() -> Builder,
    recording: &Recording<'_>,
    source: &mut Source<'_>,
    story: &mut Story,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<(), TranscribeError> {
    // The first window tells the language.
    let mut ear = recording.ear();
    let first = loop {
        recording.stop.check()?;
        match source.next()? {
            Part::End => return Ok(()),
            Part::Silence => on(Event::Position(source.seconds())),
            Part::Window(place, sound) => {
                recording.look(sound, &mut ear);
                break place;
            }
        }
    };
    source.advance(first.frames as u64);
    recording.hear(&mut ear)?;
    let language = recording.language(&mut ear, story, on)?;

    let prompt = std::mem::take(&mut story.said);
    let first = Some(Heard { index: 0, place: first, ear });
    let windows = Windows {
        recording,
        queue: Mutex::new(Queue { source, count: 1, first }),
        language: &language,
        prompt: &prompt,
        failed: AtomicBool::new(false),
    };
    let (sender, receiver) = channel();
    let (mut early, mut next) = (BTreeMap::new(), 0);
    let mut tell = |(index, told): Told| {
        early.insert(index, told);
        while let Some(told) = early.remove(&next) {
            let (segments, seconds) = told?;
            story.add(segments, on);
            on(Event::Position(seconds));
            next += 1;
        }
        Ok::<_, TranscribeError>(())
    };
    thread::scope(|scope| {
        let windows = &windows;
        let mut spawn = |i| {
            let (sender, thread) = (sender.clone(), builder().name(format!("window-{i}")));
            thread.spawn_scoped(scope, move || windows.work(&sender)).is_ok()
        };
        // Where no more threads are to be had, those that there are do it, or this one.
        if !(0..recording.settings.batch.clamp(1, MOST)).all(&mut spawn) {
            let mut ear = None;
            while windows.next(&mut ear, &sender) {
                receiver.try_iter().try_for_each(&mut tell)?;
            }
        }
        drop(sender);
        receiver.into_iter().try_for_each(tell)
    })
}

impl Windows<'_, '_> {
    /// Transcribes windows until there are no more.
    fn work(&self, sender: &Sender<Told>) {
        let mut ear = None;
        while self.next(&mut ear, sender) {}
    }

    /// Transcribes a window; `false` where there was none, or nobody listens any more.
    fn next(&self, ear: &mut Option<Ear>, sender: &Sender<Told>) -> bool {
        let Some((index, heard)) = self.hear(ear.take()) else { return false };
        let told = heard.and_then(|heard| self.decode(heard)).map(|(told, used)| {
            *ear = Some(used);
            told
        });
        self.failed.fetch_or(told.is_err(), Ordering::Relaxed);
        // Who does not listen any more has failed.
        sender.send((index, told)).is_ok()
    }

    /// Hears the next window; nothing if there is none, or another one failed.
    fn hear(&self, ear: Option<Ear>) -> Option<(usize, Result<Heard, TranscribeError>)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = queue.first.take() {
            return Some((first.index, Ok(first)));
        }
        let mut ear = ear.unwrap_or_else(|| self.recording.ear());
        let place = loop {
            if self.failed.load(Ordering::Relaxed) {
                return None;
            }
            let part = self.recording.stop.check().map_err(Into::into);
            match part.and_then(|()| queue.source.next()) {
                Ok(Part::Silence) => {}
                Ok(Part::End) => {
                    self.recording.transcriber.decoder.keep(ear.state);
                    return None;
                }
                Ok(Part::Window(place, sound)) => {
                    self.recording.look(sound, &mut ear);
                    queue.source.advance(place.frames as u64);
                    break Ok(place);
                }
                Err(error) => break Err(error),
            }
        };
        let index = queue.count;
        queue.count += 1;
        drop(queue);
        let heard = place.and_then(|place| {
            self.recording.hear(&mut ear)?;
            Ok(Heard { index, place, ear })
        });
        Some((index, heard))
    }

    fn decode(&self, heard: Heard) -> Result<((Vec<Segment>, f64), Ear), TranscribeError> {
        let Heard { index, place, ear } = heard;
        let previous = if index == 0 { self.prompt } else { &[] };
        let window = Window { language: self.language, previous };
        let (decoded, ear) = self.recording.decode(window, ear)?;
        let segments = match self.recording.is_left_out(&decoded) {
            true => Vec::new(),
            false => {
                let cuts = self.recording.cut(&decoded, place).cuts;
                self.recording.segments(cuts, place, &decoded)
            }
        };
        Ok(((segments.into_iter().filter(is_said).collect(), place.end()), ear))
    }
}
