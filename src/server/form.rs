//! Forms: a recording, and fields of text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use futures_util::{Stream, StreamExt};
use multer::{Field, Multipart};

use super::Refusal;

/// The most fields.
const FIELDS: usize = 64;
/// The most bytes of a field of text.
const TEXT: usize = 16 << 10;
/// The most bytes of a field's name.
const NAME: usize = 100;
/// The longest boundary, by RFC 2046.
const BOUNDARY: usize = 70;
/// How many bytes may come without a field among them: boundaries and headers.
const NOTHING: usize = 256 << 10;

/// What was sent, of which nothing is known to make sense.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// The contents of the field `file`.
    pub file: Option<Vec<u8>>,
    /// Names and contents of all other fields, in order.
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// Reads a body as `multipart/form-data`.
    ///
    /// # Errors
    /// When it is none, is malformed, has too many fields or too large ones, and what the stream says.
    pub async fn read(
        content_type: &str,
        body: impl Stream<Item = Result<Bytes, Refusal>> + Send,
    ) -> Result<Self, Refusal> {
        let (kind, _) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(Refusal::NotMultipart);
        }
        let boundary = multer::parse_boundary(content_type).map_err(refusal)?;
        if !(1..=BOUNDARY).contains(&boundary.len()) {
            return Err(Refusal::Form(format!("its boundary is not of 1 to {BOUNDARY} bytes")));
        }
        let nothing = Arc::new(AtomicUsize::new(0));
        let came = Arc::clone(&nothing);
        // What is looked through for the end of headers is looked through again with each piece.
        let body = body.map(move |bytes| {
            let bytes = bytes?;
            if came.fetch_add(bytes.len(), Ordering::Relaxed) > NOTHING {
                return Err(Refusal::Form(format!("{NOTHING} bytes without a field")));
            }
            Ok::<_, Refusal>(bytes)
        });
        let mut parts = Multipart::new(body, boundary);
        let mut form = Self::default();
        while let Some(field) = parts.next_field().await.map_err(refusal)? {
            form.add(field, &nothing).await?;
        }
        Ok(form)
    }

    async fn add(&mut self, mut field: Field<'_>, nothing: &AtomicUsize) -> Result<(), Refusal> {
        let name = field.name().unwrap_or_default().to_owned();
        if !(1..=NAME).contains(&name.len()) {
            return Err(Refusal::Form(format!("a field has no name of 1 to {NAME} bytes")));
        }
        let is_file = name == "file";
        if is_file && self.file.is_some() {
            return Err(Refusal::field("file", "there are several: send one recording a request"));
        }
        if self.fields.len() == FIELDS {
            return Err(Refusal::Form(format!("there are more than {FIELDS} fields")));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(refusal)? {
            nothing.store(0, Ordering::Relaxed);
            if !is_file && bytes.len() + chunk.len() > TEXT {
                return Err(Refusal::field(name, format!("it is longer than {TEXT} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if is_file {
            self.file = Some(bytes);
            return Ok(());
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.fields.push((name, text)),
            Err(_) => return Err(Refusal::field(name, "it is not UTF-8")),
        }
        Ok(())
    }
}

/// What is wrong with a form, or what the stream of its bytes said.
fn refusal(error: multer::Error) -> Refusal {
    match error {
        multer::Error::StreamReadFailed(error) => match error.downcast::<Refusal>() {
            Ok(refusal) => *refusal,
            Err(_) => Refusal::Broken,
        },
        error => Refusal::Form(error.to_string()),
    }
}
