//! The text of a design and places in it.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// A range of bytes in a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// The text of a design under the name that messages give it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    named: Arc<NamedSource<String>>,
    /// Offsets at which lines begin.
    lines: Arc<[u32]>,
}

impl Source {
    /// A text, named as messages should name it: the path that the user gave.
    pub fn new(name: &str, text: &str) -> Self {
        let lines = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(i, _)| i as u32 + 1))
            .collect();
        Self { named: Arc::new(NamedSource::new(name, text.to_owned())), lines }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.named.name()
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.named.inner()
    }

    /// Line of a place, from 1.
    pub fn line(&self, span: Span) -> usize {
        self.lines.partition_point(|&start| start <= span.start)
    }

    /// Column of a place in characters, from 1.
    pub fn column(&self, span: Span) -> usize {
        let line = self.line(span);
        let start = self.lines.get(line - 1).map_or(0, |&start| start as usize);
        self.text().get(start..span.start as usize).map_or(1, |text| text.chars().count() + 1)
    }

    /// An error at a place of this text.
    pub fn error(
        &self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> DesignError {
        let (line, column) = (self.line(span), self.column(span));
        DesignError(Box::new(Located {
            source: self.clone(),
            span,
            line,
            column,
            message: message.into(),
            help: help.into(),
        }))
    }
}

/// What is wrong with a design: message, place and remedy.
///
/// Prints as `design.mlir:12:7: message`; as a [`Diagnostic`] it shows the line.
#[derive(Clone)]
pub struct DesignError(Box<Located>);

#[derive(Clone)]
struct Located {
    source: Source,
    span: Span,
    line: usize,
    column: usize,
    message: String,
    help: String,
}

impl DesignError {
    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What would work; may be empty.
    pub fn help(&self) -> &str {
        &self.0.help
    }

    /// The place.
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// The text that it is a place of.
    pub fn text(&self) -> &Source {
        &self.0.source
    }

    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> usize {
        self.0.column
    }
}

impl fmt::Display for DesignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Located { source, line, column, message, .. } = self.0.as_ref();
        write!(f, "{}:{line}:{column}: {message}", source.name())
    }
}

impl fmt::Debug for DesignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DesignError {}

impl Diagnostic for DesignError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.0.help.is_empty()).then(|| Box::new(&self.0.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(self.0.source.named.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let Span { start, end } = self.0.span;
        let span = SourceSpan::from(start as usize..end as usize);
        Some(Box::new(std::iter::once(miette::LabeledSpan::new_with_span(None, span))))
    }
}
