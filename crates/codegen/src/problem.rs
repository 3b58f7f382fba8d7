//! What is wrong with a user's file: message, place and remedy, several at a time.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode, SourceSpan};

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, naming the key and its value.
    pub message: String,
    /// Byte range in the file.
    pub span: SourceSpan,
    /// A few words to put under the range.
    pub label: String,
    /// What would work.
    pub help: String,
}

/// All that is wrong with one file; never empty.
///
/// [`fmt::Display`] and [`fmt::Debug`] print the same text, with line, column and the line itself,
/// so that it reads well from a build script's `main` too. As a [`Diagnostic`] it carries one
/// related diagnostic per problem.
#[derive(Clone)]
pub struct Problems {
    source: Arc<NamedSource<String>>,
    problems: Vec<Located>,
}

#[derive(Clone)]
struct Located {
    problem: Problem,
    source: Arc<NamedSource<String>>,
}

impl Problems {
    /// Problems of the file `name` with the contents `text`, sorted by their place, each once.
    pub fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|p| (p.span.offset(), p.span.len()));
        problems.dedup();
        let source = Arc::new(NamedSource::new(name, text.to_owned()));
        let problems = problems
            .into_iter()
            .map(|problem| Located { problem, source: Arc::clone(&source) })
            .collect();
        Self { source, problems }
    }

    /// The problems in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().map(|located| &located.problem)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, located) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
                writeln!(f)?;
            }
            located.write_with_line(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source.as_ref())
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|located| located as &dyn Diagnostic)))
    }
}

impl Located {
    /// `model.toml:3:8: message`, the line, a mark under the range, and the remedy.
    fn write_with_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.source.inner();
        let start = floor_char_boundary(text, self.problem.span.offset());
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let end = floor_char_boundary(text, start + self.problem.span.len());
        let end = end.clamp(start, line_end);
        let line = text[..line_start].matches('\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        let marks = text[start..end].chars().count().max(1);
        let gutter = line.to_string().len();
        let (name, problem) = (self.source.name(), &self.problem);
        writeln!(f, "{name}:{line}:{column}: {}", problem.message)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{line} | {}", text[line_start..line_end].trim_end_matches('\r'))?;
        let pad: String =
            text[line_start..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "{:gutter$} | {pad}{} {}", "", "^".repeat(marks), problem.label)?;
        write!(f, "{:gutter$} = help: {}", "", problem.help)
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl fmt::Debug for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Located {}

impl Diagnostic for Located {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Error)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.problem.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some(self.problem.label.clone()), self.problem.span);
        Some(Box::new(std::iter::once(label)))
    }
}
