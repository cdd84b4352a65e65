//! Which items of a source are taken, and by which rule one is left out. Pure: nothing here looks at a file.
//!
//! [`Rules`] holds what was chosen for a run, [`Place`] what of it counts in one folder. [`Place::judge`] answers for an entry of
//! the folder, [`Place::below`] for the folder below. Whoever walks looks for the files that rules ask for and hands in what
//! it finds: [`Place::add_lines`] for a `.caddisignore`, [`Place::keep_only`] for a folder that is tagged.
//!
//! Of patterns that fit the strongest decides, as in git: those of the command line, then those of the `.caddisignore`
//! nearest to the item and those above, then those of files named on the command line; within each, the last. What lies
//! below a folder that is left out is not looked at, so nothing takes it in again. The other rules only leave out.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

mod glob;
mod lines;
mod pattern;

pub use glob::PatternError;
pub use lines::{BadLine, read_lines};
use pattern::{Pattern, Position};

use crate::format::name::{Name, TreePath};

/// The file in any folder whose lines are rules for what lies below.
pub const IGNORE_FILE: &[u8] = b".caddisignore";

/// What a file must begin with to tag its folder as a cache: the Cache Directory Tagging Specification.
const CACHE_TAG: (&[u8], &[u8]) = (b"CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55");

/// One thing that was asked for.
#[derive(Debug)]
pub struct Rule {
    /// As it was written.
    pub text: Vec<u8>,
    /// Where.
    pub origin: Origin,
    has_matched: AtomicBool,
}

/// Where a rule was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// With this option.
    Option(&'static str),
    /// In a file.
    Line {
        /// Which.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

impl Rule {
    fn new(text: impl Into<Vec<u8>>, origin: Origin) -> Arc<Self> {
        Arc::new(Self { text: text.into(), origin, has_matched: AtomicBool::new(false) })
    }

    fn of_option(option: &'static str, text: impl Into<Vec<u8>>) -> Arc<Self> {
        Self::new(text, Origin::Option(option))
    }

    fn matched(self: &Arc<Self>) -> Arc<Self> {
        self.has_matched.store(true, Ordering::Relaxed);
        Arc::clone(self)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.text);
        match &self.origin {
            Origin::Option(option) if text.is_empty() => f.write_str(option),
            Origin::Option(option) => write!(f, "{option} {text}"),
            Origin::Line { file, line } => write!(f, "{text} at {}:{line}", file.display()),
        }
    }
}

/// Whether an item is part of a backup.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is; perhaps because a rule takes in again what another one leaves out.
    Taken(Option<Arc<Rule>>),
    /// This rule leaves it out.
    LeftOut(Arc<Rule>),
}

/// What decides about an entry, besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A folder.
    Folder,
    /// A regular file of so many bytes.
    File(u64),
    /// Anything else, or nobody knows.
    Other,
}

/// A file whose presence makes its folder one of which nothing else is taken.
#[derive(Clone, Debug)]
pub struct Tag {
    /// The file.
    pub name: Name,
    /// What it must begin with, if that matters.
    pub header: Vec<u8>,
    rule: Arc<Rule>,
}

/// A pattern, and the rule that it is.
#[derive(Debug)]
struct PatternRule {
    pattern: Pattern,
    rule: Arc<Rule>,
}

/// The rules of a run.
#[derive(Debug, Default)]
pub struct Rules {
    /// Of files that were named, weakest first.
    of_files: Vec<Arc<PatternRule>>,
    /// Of the command line, weakest first.
    of_options: Vec<Arc<PatternRule>>,
    tags: Vec<Tag>,
    larger_than: Option<(u64, Arc<Rule>)>,
    one_file_system: Option<Arc<Rule>>,
    passes_ignore_files: bool,
}

impl Rules {
    /// Leaves out, or with `!` takes in again, what fits a pattern of the command line.
    ///
    /// # Errors
    /// It is no pattern.
    pub fn add_pattern(&mut self, option: &'static str, text: &[u8], ignores_case: bool) -> Result<(), PatternError> {
        let pattern = Pattern::parse(text, ignores_case)?;
        self.of_options.push(Arc::new(PatternRule { pattern, rule: Rule::of_option(option, text) }));
        Ok(())
    }

    /// The same for the lines of a file, which weigh less.
    ///
    /// # Errors
    /// The first line that is no pattern.
    pub fn add_file(&mut self, file: &std::path::Path, bytes: &[u8], ignores_case: bool) -> Result<(), BadLine> {
        for parsed in read_lines(file, bytes, ignores_case) {
            self.of_files.push(parsed?.0);
        }
        Ok(())
    }

    /// Leaves out what caches hold, by their tag.
    pub fn exclude_caches(&mut self) -> &mut Self {
        let (name, header) = CACHE_TAG;
        let name = Name::new(name).expect("this is a name");
        self.tags.push(Tag { name, header: header.to_vec(), rule: Rule::of_option("--exclude-caches", "") });
        self
    }

    /// Leaves out what lies beside a file of this name that begins with `header`.
    pub fn exclude_if_present(&mut self, text: &[u8], name: Name, header: &[u8]) -> &mut Self {
        self.tags.push(Tag { name, header: header.to_vec(), rule: Rule::of_option("--exclude-if-present", text) });
        self
    }

    /// Leaves out files of more bytes; `text` is how somebody wrote that.
    pub fn exclude_larger_than(&mut self, bytes: u64, text: &str) -> &mut Self {
        self.larger_than = Some((bytes, Rule::of_option("--exclude-larger-than", text)));
        self
    }

    /// Leaves out what other file systems than that of the source hold.
    pub fn one_file_system(&mut self) -> &mut Self {
        self.one_file_system = Some(Rule::of_option("--one-file-system", ""));
        self
    }

    /// Takes no rules from folders.
    pub fn pass_ignore_files(&mut self) -> &mut Self {
        self.passes_ignore_files = true;
        self
    }

    /// Whether each folder's own file of rules counts.
    pub fn reads_ignore_files(&self) -> bool {
        !self.passes_ignore_files
    }

    /// Files that folders are to be searched for.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Rules of the command line, and of files named there, that nothing has matched.
    pub fn unmatched(&self) -> Vec<Arc<Rule>> {
        let patterns = self.of_files.iter().chain(&self.of_options).map(|pattern| &pattern.rule);
        let others = self.tags.iter().map(|tag| &tag.rule).chain(self.larger_than.as_ref().map(|(_, rule)| rule));
        let has_matched = |rule: &&Arc<Rule>| rule.has_matched.load(Ordering::Relaxed);
        patterns.chain(others).filter(|rule| !has_matched(rule)).cloned().collect()
    }

    /// What counts in the folder that is a source. It is taken whatever the rules say.
    pub fn source(&self, path: &TreePath) -> Place {
        let begin = |patterns: &[Arc<PatternRule>]| patterns.iter().flat_map(|own| own.begin(path)).collect();
        Place {
            weak: begin(&self.of_files),
            strong: begin(&self.of_options),
            larger_than: self.larger_than.clone(),
            device: None,
            is_source: true,
            emptied: None,
        }
    }
}

impl PatternRule {
    /// In the folder that is a source. With a slash in front it may be meant from there, or from the root of all.
    fn begin(self: &Arc<Self>, source: &TreePath) -> Vec<State> {
        let mut at = vec![0];
        if self.pattern.is_rooted {
            for name in source.components() {
                let mut next = Vec::new();
                for &at in &at {
                    self.pattern.step(at, name.as_bytes(), |at| next.push(at));
                }
                at = next;
            }
            at.push(0);
            at.sort_unstable();
            at.dedup();
        }
        at.into_iter().map(|at| State { pattern: Arc::clone(self), at }).collect()
    }
}

/// A pattern on its way down.
#[derive(Clone, Debug)]
struct State {
    pattern: Arc<PatternRule>,
    at: Position,
}

/// What counts in one folder.
#[derive(Clone, Debug)]
pub struct Place {
    /// Patterns of files, weakest first.
    weak: Arc<[State]>,
    /// Patterns that weigh more than all of these.
    strong: Arc<[State]>,
    larger_than: Option<(u64, Arc<Rule>)>,
    device: Option<u64>,
    is_source: bool,
    emptied: Option<Arc<Rule>>,
}

impl Place {
    /// Whether an entry of the folder is taken.
    pub fn judge(&self, name: &Name, shape: Shape) -> Verdict {
        let states = self.strong.iter().rev().chain(self.weak.iter().rev());
        for State { pattern: of, at } in states {
            let PatternRule { pattern, rule } = &**of;
            if pattern.step(*at, name.as_bytes(), |_| ()) && (shape == Shape::Folder || !pattern.is_for_folders) {
                let rule = rule.matched();
                return if pattern.is_negated { self.judge_size(shape, Some(rule)) } else { Verdict::LeftOut(rule) };
            }
        }
        self.judge_size(shape, None)
    }

    fn judge_size(&self, shape: Shape, taken_by: Option<Arc<Rule>>) -> Verdict {
        match (shape, &self.larger_than) {
            (Shape::File(bytes), Some((limit, rule))) if bytes > *limit => Verdict::LeftOut(rule.matched()),
            _ => Verdict::Taken(taken_by),
        }
    }

    /// What counts in the folder `name` below.
    pub fn below(&self, name: &Name) -> Self {
        let weak = go_down(&self.weak, name);
        let strong = go_down(&self.strong, name);
        Self { weak, strong, is_source: false, emptied: None, ..self.clone() }
    }

    /// Whether a pattern may still fit something in the folder or below.
    pub fn leads_on(&self) -> bool {
        !(self.weak.is_empty() && self.strong.is_empty())
    }

    /// The folder lies on this device. With a rule against other ones than that of the source, nothing in it is taken if it
    /// does not.
    pub fn stand_on(&mut self, device: u64, rules: &Rules) {
        match &rules.one_file_system {
            Some(rule) if self.device.is_some_and(|of_source| of_source != device) => {
                self.emptied = Some(rule.matched())
            }
            _ => {}
        }
        self.device.get_or_insert(device);
    }

    /// Adds the lines of the folder's own file of rules.
    pub fn add_lines(&mut self, lines: impl IntoIterator<Item = Line>) {
        let lines = lines.into_iter().map(|Line(pattern)| State { pattern, at: 0 });
        self.weak = self.weak.iter().cloned().chain(lines).collect();
    }

    /// The folder holds this file: nothing else in it is taken.
    pub fn keep_only(&mut self, tag: &Tag) {
        self.emptied = Some(tag.rule.matched());
    }

    /// By which rule nothing, or only a tag, is taken of what lies in the folder.
    pub fn emptied(&self) -> Option<&Arc<Rule>> {
        self.emptied.as_ref()
    }

    /// Whether the folder was named as a source.
    pub fn is_source(&self) -> bool {
        self.is_source
    }
}

/// A line of a file of rules.
#[derive(Debug)]
pub struct Line(Arc<PatternRule>);

/// Most patterns go on as they are; then so does the list.
fn go_down(states: &Arc<[State]>, name: &Name) -> Arc<[State]> {
    let mut below: Vec<State> = Vec::new();
    let mut next = Vec::new();
    for State { pattern, at } in states.iter() {
        pattern.pattern.step(*at, name.as_bytes(), |at| next.push(at));
        for at in next.drain(..) {
            let mut own = below.iter().rev().take_while(|state| Arc::ptr_eq(&state.pattern, pattern));
            if !own.any(|state| state.at == at) {
                below.push(State { pattern: Arc::clone(pattern), at });
            }
        }
    }
    let is_same = |(a, b): (&State, &State)| a.at == b.at && Arc::ptr_eq(&a.pattern, &b.pattern);
    let is_same = below.len() == states.len() && below.iter().zip(states.iter()).all(is_same);
    if is_same { Arc::clone(states) } else { below.into() }
}
