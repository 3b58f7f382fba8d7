//! From TOML to models, targets and ops, with the place of everything that is wrong.
//!
//! Walks `toml`'s table with spans by hand: serde stops at the first error and cannot say that a
//! key is unknown *and* what stands next to it.

use std::fmt::Display;

use miette::SourceSpan;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Extent, Factor, MAX_EXTENT, Model, Op, Product, Target, TileChoice};
use crate::device::{Device, Epilogue, Precision, Tile};
use crate::problem::Problem;

type Value<'i> = Spanned<DeValue<'i>>;
type Parsed = (Vec<Model>, Vec<Target>, Vec<Op>);

/// Largest m, k or n of a tile: no core holds more.
const MAX_TILE: u64 = 4096;
/// Lengths that one model may list.
const MAX_LENGTHS: usize = 64;

/// Names that Rust does not take for a module.
const RESERVED: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Names whose types the dispatch table has other uses for.
const RESERVED_OPS: [&str; 5] = ["self", "at", "none", "some", "option"];

pub(super) fn parse(text: &str) -> Result<Parsed, Vec<Problem>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(syntax).collect());
    }
    let mut reader = Reader { problems: Vec::new() };
    let parsed = reader.root(root.get_ref(), end_of(text));
    if reader.problems.is_empty() { Ok(parsed) } else { Err(reader.problems) }
}

fn end_of(text: &str) -> SourceSpan {
    SourceSpan::from(text.trim_end().len()..text.trim_end().len())
}

fn syntax(error: &toml::de::Error) -> Problem {
    Problem {
        message: format!("no valid TOML: {}", error.message()),
        span: error.span().unwrap_or_default().into(),
        label: "here".to_owned(),
        help: "see https://toml.io for the syntax".to_owned(),
    }
}

/// The candidate that a misspelt word most likely means.
pub(super) fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let scored = candidates.iter().map(|&other| (strsim::jaro_winkler(word, other), other));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score > 0.8).map(|(_, other)| other)
}

/// `a`, `b` and `c`, quoted.
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and `{last}`", first.join(", "))
        }
    }
}

/// A table whose keys are taken one by one; what is left in the end is unknown.
struct Fields<'t, 'i> {
    /// What the table is, for messages: "target".
    what: &'static str,
    entries: Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Value<'i>)>,
    /// Keys that were asked for.
    known: Vec<&'static str>,
    span: SourceSpan,
}

impl<'t, 'i> Fields<'t, 'i> {
    fn take(&mut self, key: &'static str) -> Option<&'t Value<'i>> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name.get_ref() == key)?;
        Some(self.entries.remove(at).1)
    }
}

struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(
        &mut self,
        span: SourceSpan,
        message: impl Display,
        label: impl Display,
        help: impl Display,
    ) {
        self.problems.push(Problem {
            message: message.to_string(),
            span,
            label: label.to_string(),
            help: help.to_string(),
        });
    }

    fn root(&mut self, root: &DeTable<'_>, end: SourceSpan) -> Parsed {
        let mut fields = fields("the model file", root, end);
        let models = self.tables(&mut fields, "model", Self::model);
        let targets = self.tables(&mut fields, "target", Self::target);
        let ops = self.tables(&mut fields, "op", Self::op);
        self.unknown(&fields);
        (self.unique_models(models), self.unique_targets(targets), self.unique_ops(ops))
    }

    /// All `[[key]]` of the file.
    fn tables<'i, T>(
        &mut self,
        root: &mut Fields<'_, 'i>,
        key: &'static str,
        read: fn(&mut Self, Fields<'_, 'i>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = root.take(key) else {
            let help = format!("add at least one [[{key}]]");
            self.problem(root.span, format!("there is no [[{key}]]"), "the file ends here", help);
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let found = value.get_ref().type_str();
            let help = format!("write [[{key}]], with two brackets");
            self.problem(span(value), format!("`{key}` is one {found}"), "not a list", help);
            return Vec::new();
        };
        let mut all = Vec::new();
        for entry in array.iter() {
            match entry.get_ref().as_table() {
                Some(table) => all.extend(read(self, fields(key, table, span(entry)))),
                None => {
                    let message = format!("`{key}` holds a {}", entry.get_ref().type_str());
                    let help = format!("write each {key} as [[{key}]]");
                    self.problem(span(entry), message, "not a table", help);
                }
            }
        }
        if array.is_empty() {
            let help = format!("add at least one [[{key}]]");
            self.problem(span(value), format!("there is no [[{key}]]"), "empty", help);
        }
        all
    }

    fn unknown(&mut self, fields: &Fields<'_, '_>) {
        for (key, _) in &fields.entries {
            let at = SourceSpan::from(key.span());
            let message = format!("unknown key `{}` in {}", key.get_ref(), fields.what);
            let help = match closest(key.get_ref(), &fields.known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys are {}", listed(&fields.known)),
            };
            self.problem(at, message, "unknown", help);
        }
    }

    fn missing(&mut self, fields: &Fields<'_, '_>, key: &str, example: &str) {
        let message = format!("{} has no `{key}`", fields.what);
        self.problem(fields.span, message, "in this table", format!("add {key} = {example}"));
    }

    fn wrong_type(&mut self, value: &Value<'_>, what: &str, expected: &str) {
        let message = format!("{what} is {}", with_article(value.get_ref().type_str()));
        self.problem(span(value), message, "of the wrong type", format!("write {expected}"));
    }

    /// A name of lower-case letters, digits and some separators.
    fn name(
        &mut self,
        fields: &mut Fields<'_, '_>,
        example: &str,
        separators: &str,
    ) -> Option<(String, SourceSpan)> {
        let Some(value) = fields.take("name") else {
            self.missing(fields, "name", example);
            return None;
        };
        let Some(name) = value.get_ref().as_str() else {
            self.wrong_type(value, "`name`", example);
            return None;
        };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || separators.contains(c);
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || name.len() > 64 || !name.chars().all(fits) {
            let message = format!("`{}` is no name for a {}", name.escape_debug(), fields.what);
            let separators: Vec<String> = separators.chars().map(|c| format!("`{c}`")).collect();
            let help = format!(
                "begin with a lower-case letter; use lower-case letters, digits and {}, 64 at most",
                separators.join(" ")
            );
            self.problem(span(value), message, "this name", help);
            return None;
        }
        Some((name.to_owned(), span(value)))
    }

    /// One of a few words.
    fn word<T: Copy>(
        &mut self,
        value: &Value<'_>,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let quoted: Vec<String> = words.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let Some(word) = value.get_ref().as_str() else {
            self.wrong_type(value, &format!("`{what}`"), &quoted.join(" or "));
            return None;
        };
        let found = words.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let help = format!("use {}", quoted.join(" or "));
            let message = format!("unknown {what} `{}`", word.escape_debug());
            self.problem(span(value), message, format!("no {what} of that name"), help);
        }
        found.map(|(_, value)| *value)
    }

    /// An integer from 1 to a limit.
    fn size(&mut self, value: &Value<'_>, what: &str, most: u64) -> Option<u64> {
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(value, what, "a positive integer");
            return None;
        };
        let size = u64::from_str_radix(integer.as_str(), integer.radix());
        match size {
            Ok(size) if (1..=most).contains(&size) => return Some(size),
            _ => {
                let message = format!("{what} is {integer}");
                let help = format!("use an integer from 1 to {most}");
                self.problem(span(value), message, "not a size", help);
            }
        }
        None
    }

    fn model(&mut self, mut fields: Fields<'_, '_>) -> Option<Model> {
        let name = self.name(&mut fields, "\"whisper-base\"", "-_.");
        let mut dimensions: Vec<(String, Extent)> = Vec::new();
        for (key, value) in std::mem::take(&mut fields.entries) {
            if let Some(extent) = self.dimension(key, value, &dimensions) {
                dimensions.push((key.get_ref().to_string(), extent));
            }
        }
        let (name, span) = name?;
        if RESERVED.contains(&name.as_str()) {
            let message = format!("`{name}` cannot name a model");
            let help = "it names a Rust module too: choose a word that is no Rust keyword";
            self.problem(span, message, "a keyword", help);
            return None;
        }
        Some(Model { name, dimensions, span })
    }

    fn dimension(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Value<'_>,
        others: &[(String, Extent)],
    ) -> Option<Extent> {
        let name = key.get_ref();
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(named) {
            let message = format!("`{}` cannot name a dimension", name.escape_debug());
            let help = "begin with a lower-case letter; use lower-case letters, digits and `_`";
            self.problem(key.span().into(), message, "this name", help);
            return None;
        }
        let what = format!("`{name}`");
        let Some(list) = value.get_ref().as_array() else {
            return self.size(value, &what, MAX_EXTENT).map(Extent::Fixed);
        };
        let mut lengths = Vec::new();
        for entry in list.iter() {
            let length = self.size(entry, &what, MAX_EXTENT)?;
            if lengths.contains(&length) {
                let message = format!("{what} lists {length} twice");
                self.problem(span(entry), message, "again", "list each length once");
                return None;
            }
            lengths.push(length);
        }
        if lengths.is_empty() || lengths.len() > MAX_LENGTHS {
            let message = format!("{what} lists {} lengths", lengths.len());
            self.problem(
                span(value),
                message,
                "this list",
                format!("list 1 to {MAX_LENGTHS} lengths"),
            );
            return None;
        }
        let earlier = others.iter().find(|(_, extent)| matches!(extent, Extent::Lengths(_)));
        if let Some((earlier, _)) = earlier {
            let message = format!("{what} is a list, and so is `{earlier}`");
            let help = "a model can list the values of one dimension; make the other a number";
            self.problem(span(value), message, "a second list", help);
            return None;
        }
        Some(Extent::Lengths(lengths))
    }

    fn target(&mut self, mut fields: Fields<'_, '_>) -> Option<(Target, SourceSpan)> {
        let devices = Device::ALL.map(|device| (device.name(), device));
        let precisions = Precision::ALL.map(|precision| (precision.name(), precision));
        let device = self.required(&mut fields, "device", &devices, "\"npu1\" or \"npu2\"");
        let precision = self.required(&mut fields, "precision", &precisions, "\"i8\" or \"bf16\"");
        let tile = fields.take("tile");
        let tile_span = tile.map_or(fields.span, span);
        let tile = tile.map_or(Some(TileChoice::Auto), |value| self.tile(value));
        self.unknown(&fields);
        let target = Target { device: device?, precision: precision?, tile: tile?, tile_span };
        Some((target, fields.span))
    }

    fn required<T: Copy>(
        &mut self,
        fields: &mut Fields<'_, '_>,
        key: &'static str,
        words: &[(&'static str, T)],
        example: &str,
    ) -> Option<T> {
        match fields.take(key) {
            Some(value) => self.word(value, key, words),
            None => {
                self.missing(fields, key, example);
                None
            }
        }
    }

    fn tile(&mut self, value: &Value<'_>) -> Option<TileChoice> {
        let example = "\"auto\" or { m = 64, k = 64, n = 64 }";
        if value.get_ref().as_str() == Some("auto") {
            return Some(TileChoice::Auto);
        }
        let Some(table) = value.get_ref().as_table() else {
            let message = match value.get_ref().as_str() {
                Some(word) => format!("`tile` is \"{}\"", word.escape_debug()),
                None => format!("`tile` is {}", with_article(value.get_ref().type_str())),
            };
            self.problem(span(value), message, "not a tile", format!("write {example}"));
            return None;
        };
        let mut fields = fields("the tile", table, span(value));
        let mut side = |key: &'static str| match fields.take(key) {
            Some(value) => self.size(value, &format!("`{key}` of the tile"), MAX_TILE),
            None => {
                self.missing(&fields, key, "64");
                None
            }
        };
        let (m, k, n) = (side("m"), side("k"), side("n"));
        self.unknown(&fields);
        let [m, k, n] = [m?, k?, n?].map(|side| side as usize);
        Some(TileChoice::Fixed(Tile { m, k, n }))
    }

    fn op(&mut self, mut fields: Fields<'_, '_>) -> Option<(Op, SourceSpan)> {
        let name = self.name(&mut fields, "\"ffn_up\"", "_");
        let (shape, shape_span) = match fields.take("shape") {
            Some(value) => (self.shape(value), span(value)),
            None => {
                self.missing(&fields, "shape", "[\"audio_ctx\", \"d_model\", \"ffn\"]");
                (None, fields.span)
            }
        };
        let epilogues = Epilogue::ALL.map(|epilogue| (epilogue.name(), epilogue));
        let epilogue = match fields.take("epilogue") {
            Some(value) => self.word(value, "epilogue", &epilogues),
            None => Some(Epilogue::None),
        };
        let count = match fields.take("count") {
            Some(value) => self.product(value, "`count`"),
            None => Some(Product { factors: vec![Factor::Number(1)], span: fields.span }),
        };
        self.unknown(&fields);
        let (name, name_span) = name?;
        let op = Op { name, shape: shape?, epilogue: epilogue?, count: count?, shape_span };
        Some((op, name_span))
    }

    fn shape(&mut self, value: &Value<'_>) -> Option<[Product; 3]> {
        let example = "M, K and N, like [\"audio_ctx\", \"d_model\", \"3 * d_model\"]";
        let Some(list) = value.get_ref().as_array() else {
            self.wrong_type(value, "`shape`", example);
            return None;
        };
        if list.len() != 3 {
            let message = format!("`shape` has {} entries", list.len());
            self.problem(span(value), message, "not three", format!("write {example}"));
            return None;
        }
        let products: Vec<Option<Product>> =
            list.iter().map(|entry| self.product(entry, "an entry of `shape`")).collect();
        let products: Option<Vec<Product>> = products.into_iter().collect();
        products?.try_into().ok()
    }

    fn product(&mut self, value: &Value<'_>, what: &str) -> Option<Product> {
        let at = span(value);
        if value.get_ref().is_integer() {
            let number = self.size(value, what, MAX_EXTENT)?;
            return Some(Product { factors: vec![Factor::Number(number)], span: at });
        }
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, what, "an integer, or a product like \"3 * d_model\"");
            return None;
        };
        match Product::parse(text, at) {
            Ok(product) => Some(product),
            Err(reason) => {
                let message = format!("{what} is no product: {reason}");
                let help = "write integers and names of dimensions with `*` between them";
                self.problem(at, message, "not understood", help);
                None
            }
        }
    }

    fn unique_models(&mut self, models: Vec<Model>) -> Vec<Model> {
        let key = |model: &Model| model.name.replace(['-', '.'], "_");
        let names = models.iter().map(|m| (key(m), m.name.clone(), m.span)).collect();
        self.unique("model", names);
        models
    }

    fn unique_targets(&mut self, targets: Vec<(Target, SourceSpan)>) -> Vec<Target> {
        let names = targets.iter().map(|(t, span)| (t.name(), t.name(), *span)).collect();
        self.unique("target", names);
        targets.into_iter().map(|(target, _)| target).collect()
    }

    fn unique_ops(&mut self, ops: Vec<(Op, SourceSpan)>) -> Vec<Op> {
        let key = |op: &Op| op.name.replace('_', "");
        let names = ops.iter().map(|(op, span)| (key(op), op.name.clone(), *span)).collect();
        self.unique("op", names);
        for (op, span) in ops.iter().filter(|(op, _)| RESERVED_OPS.contains(&op.name.as_str())) {
            let message = format!("`{}` cannot name an op", op.name);
            self.problem(*span, message, "taken", "it names a Rust type too: choose another word");
        }
        ops.into_iter().map(|(op, _)| op).collect()
    }

    /// Reports names whose keys, as which Rust sees them, were there before.
    fn unique(&mut self, what: &str, names: Vec<(String, String, SourceSpan)>) {
        for (i, (key, name, span)) in names.iter().enumerate() {
            if let Some((_, earlier, _)) = names[..i].iter().find(|(other, ..)| other == key) {
                let message = match earlier == name {
                    true => format!("a second {what} `{name}`"),
                    false => format!("{what} `{name}` is called as `{earlier}` is in Rust"),
                };
                let help = format!("give every {what} a name of its own, or remove one");
                self.problem(*span, message, "again", help);
            }
        }
    }
}

fn fields<'t, 'i>(what: &'static str, table: &'t DeTable<'i>, span: SourceSpan) -> Fields<'t, 'i> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    Fields { what, entries, known: Vec::new(), span }
}

fn span(value: &Value<'_>) -> SourceSpan {
    value.span().into()
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}
