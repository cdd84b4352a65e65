//! man/caddis-format.5 against the sources: a string that keeps two uses of a key apart, or a limit, that is changed in the
//! code and not on the page makes the page wrong, and whoever writes a reader from it fails.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of a table of the page, between `.\" table NAME` and `.\" end`.
fn table(name: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("man/caddis-format.5")).unwrap();
    let begin = format!(".\\\" table {name}");
    let lines: Vec<String> = page
        .lines()
        .skip_while(|line| *line != begin)
        .skip(1)
        .take_while(|line| *line != ".\\\" end")
        .filter(|line| !line.starts_with('.'))
        .map(str::to_owned)
        .collect();
    assert!(!lines.is_empty(), "the page has no table `{name}`");
    lines
}

fn sources_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every string in the sources that looks like a context: `caddis`, then a version or `local`.
fn contexts_in_sources() -> BTreeSet<String> {
    let mut paths = Vec::new();
    sources_below(&root().join("src"), &mut paths);
    assert!(paths.len() > 20, "the sources were not found");
    let mut contexts = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        let strings = text.match_indices("\"caddis ").filter_map(|(at, _)| text[at + 1..].split('"').next());
        contexts.extend(strings.filter(|string| is_context(string)).map(str::to_owned));
    }
    contexts
}

fn is_context(string: &str) -> bool {
    let word = string.split(' ').nth(1).unwrap_or_default();
    let is_version = |word: &str| word.strip_prefix('v').is_some_and(|digits| digits.parse::<u8>().is_ok());
    is_version(word) || word == "local" || string.split(' ').next_back().is_some_and(is_version)
}

/// The contexts of the page: each line up to the first two spaces.
fn contexts_on_page() -> BTreeSet<String> {
    let lines = table("contexts");
    let rows = lines.iter().filter_map(|line| line.strip_prefix("    "));
    rows.map(|row| row.split("  ").next().unwrap().to_owned()).collect()
}

#[test]
fn every_context_of_the_sources_stands_on_the_page_and_no_other() {
    let page = contexts_on_page();
    let sources = contexts_in_sources();
    assert!(sources.len() > 30, "the search finds too little: {sources:?}");
    let missing: Vec<_> = sources.difference(&page).collect();
    assert!(missing.is_empty(), "not in man/caddis-format.5: {missing:?}");
    let stale: Vec<_> = page.difference(&sources).collect();
    assert!(stale.is_empty(), "in man/caddis-format.5 only: {stale:?}");
}

#[test]
fn every_derive_key_and_export_has_a_string_that_the_search_sees() {
    let mut paths = Vec::new();
    sources_below(&root().join("src"), &mut paths);
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for call in ["blake3::derive_key(", ".export(", "derive("] {
            for (at, _) in text.match_indices(call) {
                let argument = text[at + call.len()..].trim_start();
                if let Some(string) = argument.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                    assert!(is_context(string), "{}: `{string}` is no context of this program", path.display());
                }
            }
        }
    }
}

/// The limits of the page by name.
fn limits_on_page() -> BTreeMap<String, String> {
    let rows = table("limits");
    let limits: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            let mut words = row.split_whitespace();
            (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
        })
        .collect();
    assert_eq!(limits.len(), rows.len(), "a limit stands twice");
    limits
}

/// Those constants whose expressions in the sources are more than numbers, from the library itself.
fn constants_of_the_library() -> [(&'static str, u64); 7] {
    use caddis::format::{self, pack};
    [
        ("format::HEAD_LEN", format::HEAD_LEN as u64),
        ("format::pack::HEADER_LEN", pack::HEADER_LEN as u64),
        ("format::pack::FOOTER_LEN", pack::FOOTER_LEN as u64),
        // These could be read from the sources too; both ways must agree.
        ("format::pack::BLOCK_BYTES_MAX", pack::BLOCK_BYTES_MAX as u64),
        ("format::log::LOG_BYTES_MAX", format::log::LOG_BYTES_MAX),
        ("format::tree::NODE_PIECES_MAX", format::tree::NODE_PIECES_MAX as u64),
        ("chunker::CHUNK_BYTES_MAX", caddis::chunker::CHUNK_BYTES_MAX.into()),
    ]
}

/// The source of the module in which `name`, as on the page, is declared.
fn source_of(name: &str) -> String {
    let module = name.rsplit_once("::").unwrap().0.replace("::", "/");
    let file = root().join("src").join(format!("{module}.rs"));
    let folder = root().join("src").join(module).join("mod.rs");
    fs::read_to_string(&file).or_else(|_| fs::read_to_string(folder)).unwrap_or_else(|_| panic!("no module of {name}"))
}

/// Names and expressions of the constants declared in a source, in the order of its lines.
fn constants_in(source: &str) -> Vec<(&str, &str)> {
    let declared = source.lines().filter_map(|line| line.trim_start().strip_prefix("pub ").or(Some(line.trim_start())));
    declared
        .filter_map(|line| line.strip_prefix("const "))
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, rest)| Some((name, rest.split_once(" = ")?.1.strip_suffix(';')?)))
        .collect()
}

/// The value of a constant's expression: a number, or numbers joined by one operator.
fn value(expression: &str) -> Option<u64> {
    let expression = expression.trim().trim_start_matches('(').trim_end_matches(')');
    for (operator, apply) in [
        (" / ", (|a, b| a / b) as fn(u64, u64) -> u64),
        (" + ", |a, b| a + b),
        (" * ", |a, b| a * b),
        (" << ", |a, b| a << b),
    ] {
        if let Some((left, right)) = expression.split_once(operator) {
            return Some(apply(value(left)?, value(right)?));
        }
    }
    expression.replace('_', "").parse().ok()
}

/// The value of a constant as the page writes it.
fn written(expression: &str) -> Option<String> {
    match expression.split_once("..=") {
        Some((least, most)) => Some(format!("{}..={}", value(least)?, value(most)?)),
        None => value(expression).map(|value| value.to_string()),
    }
}

#[test]
fn every_limit_of_the_page_is_the_constant_of_the_library() {
    let library = BTreeMap::from(constants_of_the_library());
    for (name, limit) in limits_on_page() {
        if let Some(value) = library.get(name.as_str()) {
            assert_eq!(limit, value.to_string(), "{name}");
        }
        let source = source_of(&name);
        let declared = constants_in(&source);
        let last = name.rsplit("::").next().unwrap();
        let found = declared.iter().find(|(constant, _)| *constant == last);
        let (_, expression) = found.unwrap_or_else(|| panic!("{name} is no constant of the sources"));
        match written(expression) {
            Some(value) => assert_eq!(limit, value, "{name}"),
            None => assert!(library.contains_key(name.as_str()), "{name} = {expression} is not understood"),
        }
    }
}

#[test]
fn every_limit_of_the_format_stands_on_the_page() {
    let limits = limits_on_page();
    let mut paths = vec![root().join("src/keys/kdf.rs"), root().join("src/chunker.rs")];
    sources_below(&root().join("src/format"), &mut paths);
    let mut count = 0;
    for path in paths {
        let module = path.strip_prefix(root().join("src")).unwrap().with_extension("");
        let module = module.to_str().unwrap().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module).to_owned();
        let source = fs::read_to_string(&path).unwrap();
        for (name, _) in constants_in(source.split("#[cfg(test)]").next().unwrap()) {
            if name.ends_with("_MAX") || name.ends_with("_MIN") {
                count += 1;
                assert!(limits.contains_key(&format!("{module}::{name}")), "{module}::{name} is not on the page");
            }
        }
    }
    assert!(count > 40, "the search finds too little");
}

#[test]
fn the_page_names_each_kind_of_object_with_its_code() {
    use caddis::format::Code;
    let page = fs::read_to_string(root().join("man/caddis-format.5")).unwrap();
    let kinds = [
        ("config", Code::Config),
        ("charter/", Code::Statement),
        ("keys/", Code::Slot),
        ("packs/", Code::DataPack),
        ("trees/", Code::TreePack),
        ("index/", Code::Segment),
        ("pending/", Code::Snapshot),
        ("snapshots/", Code::Snapshot),
        ("forgotten/", Code::Forgotten),
        ("gc/", Code::Gc),
    ];
    for (folder, code) in kinds {
        let is_row = |line: &str| {
            let mut words = line.split_whitespace();
            words.next() == Some(folder) && words.next() == Some(&(code as u8).to_string())
        };
        assert!(page.lines().any(is_row), "{folder} has not code {} on the page", code as u8);
    }
}
