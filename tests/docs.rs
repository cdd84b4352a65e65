//! The text keeps step with the program: man pages, completions and README against clap's own list of what can be written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use caddis::cli::args::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory, Parser};

/// design.md's table. What no command of this version returns is reserved, so that no later meaning surprises a script.
const EXIT_CODES: [(u8, &str); 17] = [
    (0, "done"),
    (1, "failed"),
    (2, "usage"),
    (3, "done, but some source items were not read"),
    (4, "check found damage"),
    (5, "damage found and all of it repairable: nothing that a snapshot needs is lost"),
    (6, "reserved: not fresh"),
    (7, "restore done with items skipped"),
    (8, "reserved: sync conflicts left"),
    (9, "refused: it would delete or overwrite"),
    (10, "no repository there"),
    (12, "wrong passphrase"),
    (13, "this key may not do that"),
    (14, "store unreachable"),
    (15, "no space"),
    (16, "history was rolled back or withheld"),
    (130, "interrupted"),
];

/// Variables that belong to no option.
const OTHER_VARIABLES: [&str; 3] = ["CADDIS_NEW_PASSWORD", "CADDIS_PASSWORD", "CADDIS_REPO"];

/// Completions that are kept, by shell.
const COMPLETIONS: [(&str, &str); 4] =
    [("bash", "caddis.bash"), ("zsh", "_caddis"), ("fish", "caddis.fish"), ("powershell", "_caddis.ps1")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The commands that have pages of their own.
fn commands() -> Vec<Command> {
    Cli::command().get_subcommands().cloned().collect()
}

fn page_of(command: &str) -> Page {
    Page::parse(&read(format!("man/caddis-{command}.1")))
}

/// A man page as its reader sees it, as far as the tests look.
#[derive(Default)]
struct Page {
    /// By heading; a subheading follows its heading after a slash.
    sections: BTreeMap<String, Section>,
}

#[derive(Clone, Debug, Default)]
struct Section {
    /// What `.TP` sets off, with the text that follows it.
    tags: Vec<(String, String)>,
    /// Lines between `.EX` and `.EE`.
    examples: Vec<String>,
    text: String,
}

impl Page {
    fn parse(roff: &str) -> Self {
        let mut page = Self::default();
        let (mut heading, mut place) = (String::new(), String::new());
        let (mut is_tag, mut is_example) = (false, false);
        for line in roff.lines() {
            let text = plain(line);
            match line.split(' ').next() {
                Some(".SH") => {
                    heading = plain_heading(line);
                    place.clone_from(&heading);
                }
                Some(".SS") => place = format!("{heading}/{}", plain_heading(line)),
                Some(".TP") => is_tag = true,
                Some(".EX") => is_example = true,
                Some(".EE") => is_example = false,
                Some(".PP" | ".TH" | ".br") => {}
                _ => {
                    let section = page.sections.entry(place.clone()).or_default();
                    section.text.push_str(&text);
                    section.text.push('\n');
                    if is_example {
                        section.examples.push(text);
                    } else if is_tag {
                        section.tags.push((text, String::new()));
                    } else if let Some((_, meaning)) = section.tags.last_mut() {
                        meaning.push_str(&text);
                        meaning.push('\n');
                    }
                    is_tag = false;
                }
            }
        }
        page
    }

    fn section(&self, name: &str) -> Section {
        self.sections.get(name).cloned().unwrap_or_default()
    }

    fn text(&self) -> String {
        self.sections.values().map(|section| section.text.as_str()).collect()
    }

    /// Tags of the options, with those below subheadings that `admits` takes.
    fn options(&self, admits: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let is_meant = |name: &str| match name.split_once('/') {
            Some((heading, below)) => heading == "OPTIONS" && admits(below),
            None => name == "OPTIONS" && admits(""),
        };
        self.sections.iter().filter(|(name, _)| is_meant(name)).flat_map(|(_, section)| section.tags.clone()).collect()
    }
}

/// What a line of roff prints: without macro, fonts and escapes.
fn plain(line: &str) -> String {
    let text = match line.split_once(' ') {
        Some((".BR" | ".RB" | ".BI" | ".IB" | ".IR" | ".RI", text)) => join_arguments(text),
        Some((".B" | ".I", text)) => text.to_owned(),
        _ => line.to_owned(),
    };
    let text = ["\\fB", "\\fI", "\\fR", "\\fP", "\\&"].iter().fold(text, |text, font| text.replace(font, ""));
    [("\\-", "-"), ("\\(ti", "~"), ("\\(ha", "^"), ("\\(aq", "'"), ("\\(ga", "`"), ("\\(dq", "\"")]
        .iter()
        .fold(text, |text, (escape, character)| text.replace(escape, character))
}

/// Macros that change the font between arguments print them without a space, and quotes keep spaces together.
fn join_arguments(text: &str) -> String {
    let mut quoted = false;
    let is_printed = |character: &char| {
        quoted ^= *character == '"';
        *character != '"' && (quoted || *character != ' ')
    };
    text.chars().filter(is_printed).collect()
}

fn plain_heading(line: &str) -> String {
    plain(line.split_once(' ').map_or("", |(_, text)| text)).trim_matches('"').to_owned()
}

/// How a man page sets off an argument: `-l, --long`, `--tag TAG`, `PATH...`.
fn tag_of(arg: &Arg) -> String {
    let value = arg.get_value_names().into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if arg.is_positional() {
        let repeats = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
        return format!("{value}{repeats}");
    }
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values() { format!("{names} {value}") } else { names }
}

/// Arguments of the command itself: those of every command stand in caddis(1).
fn own_args(command: &Command) -> Vec<Arg> {
    command.get_arguments().filter(|arg| !arg.is_global_set()).cloned().collect()
}

fn expect_args(page: &str, documented: &BTreeMap<String, String>, args: &[Arg]) {
    let wanted: BTreeSet<String> = args.iter().map(tag_of).collect();
    let found: BTreeSet<String> = documented.keys().cloned().collect();
    assert_eq!(found, wanted, "options of {page}: left what it documents, right what there is");
    for arg in args {
        let meaning = &documented[&tag_of(arg)];
        assert!(!meaning.trim().is_empty(), "{page} says nothing of {}", tag_of(arg));
        let defaults = arg.get_default_values().iter().filter_map(|value| value.to_str());
        for default in defaults.filter(|value| arg.get_action().takes_values() && !value.is_empty()) {
            assert!(meaning.contains(default), "{page} does not say that {} is {default} by default", tag_of(arg));
        }
        for value in arg.get_possible_values().iter().filter(|_| arg.get_action().takes_values()) {
            assert!(meaning.contains(value.get_name()), "{page} does not say that {} can be {value:?}", tag_of(arg));
        }
    }
}

/// Splits a line of shell as far as the examples need: words, quotes, and the end at a pipe or redirection.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '|' | '>') => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The command line of this program in a line of shell, if there is one.
fn invocation(line: &str) -> Option<Vec<String>> {
    let words = words(line);
    let at = words.iter().position(|word| word == "caddis")?;
    let is_before = |word: &String| word == "$" || word == "#" || word.contains('=') || is_of_crontab(word);
    words[..at].iter().all(is_before).then(|| words[at..].to_vec())
}

fn is_of_crontab(word: &str) -> bool {
    word == "*" || word.bytes().all(|byte| byte.is_ascii_digit())
}

fn expect_usage(place: &str, words: &[String]) {
    if let Err(error) = Cli::try_parse_from(words) {
        panic!("{place}: `{}` is no command line: {error}", words.join(" "));
    }
}

fn blocks_of_code(markdown: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_code = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            lines.push(line.to_owned());
        }
    }
    lines
}

#[test]
fn every_command_has_a_man_page_and_no_page_lacks_a_command() {
    let wanted: BTreeSet<PathBuf> = commands()
        .iter()
        .map(|command| format!("caddis-{}.1", command.get_name()))
        .chain(["caddis.1".to_owned()])
        .map(PathBuf::from)
        .collect();
    let entries = fs::read_dir(root().join("man")).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name()));
    let found: BTreeSet<PathBuf> = entries.filter(|name| name.extension().is_some_and(|end| end == "1")).collect();
    assert_eq!(found, wanted);
}

#[test]
fn each_page_documents_exactly_the_arguments_that_its_command_has() {
    for command in commands().iter().filter(|command| !command.has_subcommands()) {
        let name = command.get_name();
        expect_args(&format!("caddis-{name}(1)"), &page_of(name).options(|_| true), &own_args(command));
    }
}

#[test]
fn each_subcommand_has_a_section_with_exactly_its_arguments() {
    let mut sections = 0;
    for command in commands().iter().filter(|command| command.has_subcommands()) {
        let name = command.get_name();
        let page = page_of(name);
        let mut wanted = BTreeSet::new();
        for below in command.get_subcommands() {
            let heading = format!("caddis {name} {}", below.get_name());
            assert!(page.sections.contains_key(&format!("OPTIONS/{heading}")), "caddis-{name}(1) lacks {heading}");
            expect_args(&heading, &page.options(|section| section == heading), &own_args(below));
            wanted.insert(heading);
        }
        sections += wanted.len();
        let strangers = page.options(|section| !wanted.contains(section));
        assert!(strangers.is_empty(), "caddis-{name}(1) documents {strangers:?} of no subcommand");
    }
    assert_eq!(sections, 10, "four of key, three of repair, three of tag");
}

#[test]
fn caddis_1_documents_exactly_the_global_options() {
    let globals: Vec<Arg> = Cli::command().get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    assert!(globals.len() > 5);
    let mut documented = Page::parse(&read("man/caddis.1")).options(|_| true);
    for made_by_clap in ["-h, --help", "-V, --version"] {
        assert!(documented.remove(made_by_clap).is_some(), "{made_by_clap}");
    }
    expect_args("caddis(1)", &documented, &globals);
}

#[test]
fn caddis_1_lists_every_command_with_the_words_of_its_help() {
    let listed: Vec<(String, String)> = Page::parse(&read("man/caddis.1")).section("COMMANDS").tags;
    let listed: Vec<(String, String)> = listed
        .into_iter()
        .map(|(tag, text)| (tag, text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()))
        .collect();
    let wanted: Vec<(String, String)> = commands()
        .iter()
        .map(|command| (format!("caddis-{}(1)", command.get_name()), command.get_about().unwrap().to_string()))
        .collect();
    assert_eq!(listed, wanted);
}

#[test]
fn no_text_names_an_option_that_does_not_exist() {
    fn collect(command: &Command, into: &mut BTreeSet<String>) {
        into.extend(command.get_arguments().filter_map(Arg::get_long).map(|long| format!("--{long}")));
        command.get_subcommands().for_each(|below| collect(below, into));
    }
    let mut known = BTreeSet::from(["--help".to_owned(), "--version".to_owned()]);
    collect(&Cli::command(), &mut known);
    let mut texts: Vec<(String, String)> =
        commands().iter().map(|command| (command.get_name().to_owned(), page_of(command.get_name()).text())).collect();
    texts.push(("caddis".to_owned(), Page::parse(&read("man/caddis.1")).text()));
    for (page, text) in texts {
        let is_part = |character: char| character.is_ascii_lowercase() || character == '-';
        // Two dashes alone end the options.
        let words = text.split(|character: char| !is_part(character)).filter(|word| *word != "--");
        for word in words.filter(|word| word.starts_with("--")) {
            assert!(known.contains(word.trim_end_matches('-')), "caddis-{page}(1) speaks of {word}");
        }
    }
}

#[test]
fn caddis_1_lists_every_variable_of_this_program() {
    fn collect(command: &Command, into: &mut BTreeSet<String>) {
        into.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)));
        command.get_subcommands().for_each(|below| collect(below, into));
    }
    let mut wanted: BTreeSet<String> = OTHER_VARIABLES.iter().map(|&name| name.to_owned()).collect();
    collect(&Cli::command(), &mut wanted);
    let tags = Page::parse(&read("man/caddis.1")).section("ENVIRONMENT").tags;
    let found = tags.into_iter().map(|(tag, _)| tag).filter(|tag| tag.starts_with("CADDIS_")).collect();
    assert_eq!(wanted, found);
}

#[test]
fn exit_codes_are_the_same_in_caddis_1_and_readme() {
    let wanted: Vec<(String, String)> =
        EXIT_CODES.iter().map(|(code, meaning)| (code.to_string(), (*meaning).to_owned())).collect();
    let tags = Page::parse(&read("man/caddis.1")).section("EXIT STATUS").tags;
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let page: Vec<(String, String)> = tags.into_iter().map(|(code, text)| (code, first_line(text))).collect();
    assert_eq!(page, wanted);
    let in_use: Vec<(String, String)> =
        wanted.into_iter().filter(|(_, meaning)| !meaning.starts_with("reserved")).collect();
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let (code, meaning) = (cells.next()?, cells.next()?);
        code.bytes().all(|byte| byte.is_ascii_digit()).then_some((code, meaning))
    };
    let readme: Vec<(String, String)> =
        read("README.md").lines().filter(|l| l.starts_with('|')).filter_map(row).collect();
    let meanings = |table: &[(String, String)]| -> BTreeMap<String, String> { table.iter().cloned().collect() };
    assert_eq!(meanings(&readme).keys().collect::<Vec<_>>(), meanings(&in_use).keys().collect::<Vec<_>>());
    for (code, meaning) in in_use {
        assert!(meanings(&readme)[&code].starts_with(&meaning), "README on {code}: {}", meanings(&readme)[&code]);
    }
}

#[test]
fn every_example_is_a_command_line_that_the_program_takes() {
    let mut seen = 0;
    for command in commands() {
        let name = command.get_name();
        let section = page_of(name).section("EXAMPLES");
        let examples: Vec<_> = section.examples.iter().filter_map(|line| invocation(line)).collect();
        assert!(!examples.is_empty(), "caddis-{name}(1) has no example");
        assert!(examples.iter().any(|words| words.iter().any(|word| word == name)), "none of {name} itself");
        examples.iter().for_each(|words| expect_usage(&format!("caddis-{name}(1)"), words));
        seen += examples.len();
    }
    for line in Page::parse(&read("man/caddis.1")).section("EXAMPLES").examples {
        let words = invocation(&line).unwrap_or_else(|| panic!("caddis(1): `{line}` is no example"));
        expect_usage("caddis(1)", &words);
        seen += 1;
    }
    let readme: Vec<_> = blocks_of_code(&read("README.md")).iter().filter_map(|line| invocation(line)).collect();
    assert!(readme.len() > 5, "README shows the way from init to restore");
    readme.iter().for_each(|words| expect_usage("README.md", words));
    assert!(seen > 15);
}

#[test]
fn readme_names_the_test_command_and_every_command() {
    let readme = read("README.md");
    assert!(blocks_of_code(&readme).iter().any(|line| line == "$ cargo test"));
    let backs_up = |line: &String| line.contains("CADDIS_PASSWORD='") && line.ends_with("backup --init ~");
    assert!(blocks_of_code(&readme).iter().any(backs_up), "the first command of a new user");
    for command in commands() {
        let row = format!("| `{} ", command.get_name());
        let bare = format!("| `{}`", command.get_name());
        let is_listed = readme.lines().any(|line| line.starts_with(&row) || line.starts_with(&bare));
        assert!(is_listed, "README's table of commands lacks {}", command.get_name());
    }
}

#[test]
fn completions_are_what_the_program_prints_now() {
    for (shell, file) in COMPLETIONS {
        let printed = Process::new(env!("CARGO_BIN_EXE_caddis")).args(["completions", shell]).output().unwrap();
        assert!(printed.status.success());
        let kept = read(Path::new("completions").join(file));
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(kept == printed, "renew with: cargo run -- completions {shell} > completions/{file}");
    }
}

#[test]
fn groff_finds_no_fault_in_the_man_pages() {
    if Process::new("groff").arg("--version").output().is_err() {
        assert!(std::env::var_os("CADDIS_TEST_NEEDS_ALL").is_none(), "groff is missing");
        eprintln!("skipped: groff is not installed");
        return;
    }
    for entry in fs::read_dir(root().join("man")).unwrap() {
        let path = entry.unwrap().path();
        let judged = Process::new("groff").args(["-man", "-Tutf8", "-t", "-ww"]).arg(&path).output().unwrap();
        let faults = String::from_utf8_lossy(&judged.stderr).into_owned();
        assert!(judged.status.success() && faults.is_empty(), "{}: {faults}", path.display());
    }
}

#[test]
fn the_reader_of_pages_sees_what_a_terminal_shows() {
    assert_eq!(plain(".BR caddis\\-ls (1),"), "caddis-ls(1),");
    assert_eq!(plain(".RI [ OPTION ]... \" PATH\" ..."), "[OPTION]... PATH...");
    assert_eq!(plain("\\fB\\-r\\fR, \\fB\\-\\-repo\\fR \\fIPATH\\fR"), "-r, --repo PATH");
    assert_eq!(invocation("30 2 * * * caddis backup a > b"), Some(vec!["caddis".into(), "backup".into(), "a".into()]));
    assert_eq!(invocation("$ X='y z' caddis ls \"@1 2:/a\"").unwrap()[2], "@1 2:/a");
    assert_eq!(invocation("made by caddis"), None);
}
