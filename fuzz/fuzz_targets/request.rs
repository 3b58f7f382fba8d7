//! Any bytes as the body of a request: read as a form, and its fields as parameters, or refused.
//!
//! The first byte says into how large pieces the rest is cut on its way. A form needs its boundary,
//! `b`: `mkdir -p fuzz/corpus/request && printf '\x10--b\r\nContent-Disposition: form-data;
//! name="file"\r\n\r\nx\r\n--b--\r\n' > fuzz/corpus/request/form`
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Bytes;
use futures_util::stream;
use libfuzzer_sys::fuzz_target;
use tilewright::decoding::TaskKind;
use tilewright::server::{Form, Params, Refusal};
use tilewright::transcribe::Settings;

const TYPE: &str = "multipart/form-data; boundary=b";

fuzz_target!(|bytes: &[u8]| {
    let Some((size, body)) = bytes.split_first() else { return };
    let pieces = body.chunks(usize::from(*size).max(1)).map(Bytes::copy_from_slice);
    let stream = stream::iter(pieces.map(Ok::<_, Refusal>).collect::<Vec<_>>());
    let mut form = pin!(Form::read(TYPE, stream));
    let mut context = Context::from_waker(Waker::noop());
    // All is there, so that nothing is waited for for long.
    let form = (0..bytes.len() + 100).find_map(|_| match form.as_mut().poll(&mut context) {
        Poll::Ready(form) => Some(form),
        Poll::Pending => None,
    });
    let form = match form.expect("an end") {
        Ok(form) => form,
        Err(refusal) => {
            assert!(refusal.status().is_client_error() && !refusal.to_string().is_empty());
            return;
        }
    };
    assert!(form.fields.len() <= 64);
    let size = |(name, text): &(String, String)| name.len() + text.len();
    assert!(form.fields.iter().map(size).sum::<usize>() <= body.len());
    for task in [TaskKind::Transcribe, TaskKind::Translate] {
        match Params::of(&form, task, &Settings::default(), "served") {
            Ok(params) => {
                assert_eq!(params.settings.decoding.task, task);
                let temperatures = &params.settings.decoding.temperatures;
                assert!(temperatures.iter().all(|t| (0.0..=1.0).contains(t)));
            }
            Err(refusal) => assert!(refusal.status().is_client_error()),
        }
    }
});
