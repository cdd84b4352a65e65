//! What commands print with `--json`, against `tests/data/json.schema.json`: a field that is new, gone or of another type is seen
//! here first, and scripts do not find out later.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use caddis::cli::args::Cli;
use clap::CommandFactory;
use serde_json::{Map, Value};

use crate::common::program::{Caddis, Machine, Run, inside};

/// Commands that print what was saved, or scripts, and no messages.
const WITHOUT_JSON: [&str; 3] = ["cat", "completions", "dump"];

/// Definitions that no test can bring about in a moment.
const SELDOM: [&str; 2] = ["status", "check_leftover"];

/// The schema, and which of its definitions something has fitted.
struct Schema {
    schema: Value,
    fitted: BTreeSet<String>,
}

impl Schema {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/json.schema.json");
        let schema = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        Self { schema, fitted: BTreeSet::new() }
    }

    /// All that a command has printed fits what the schema says of it.
    #[track_caller]
    fn expect(&mut self, command: &str, run: &Run) {
        let said = self.schema["commands"][command].clone();
        assert!(said.is_object(), "the schema says nothing of {command}");
        if let Some(name) = said["document"].as_str() {
            self.fits(&[name], &run.json());
        } else {
            let names: Vec<&str> =
                said["lines"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            run.json_lines().iter().for_each(|line| self.fits(&names, line));
        }
        for line in run.stderr.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            self.fits(&["error", "exit_error"], &line);
        }
    }

    #[track_caller]
    fn fits(&mut self, names: &[&str], value: &Value) {
        let why: Vec<String> = names
            .iter()
            .filter_map(|name| match self.check(&self.schema["$defs"][name], value) {
                Ok(()) => {
                    self.fitted.insert((*name).to_owned());
                    None
                }
                Err(why) => Some(format!("{name}: {why}")),
            })
            .collect();
        assert!(why.len() < names.len(), "{value} is none of these: {why:#?}");
    }

    /// The part of JSON Schema that the file uses; any other word in it is a mistake.
    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let words = schema.as_object().ok_or("there is no such definition")?;
        for (word, said) in words {
            match word.as_str() {
                "$ref" => {
                    let name = said.as_str().and_then(|at| at.strip_prefix("#/$defs/")).ok_or("a bad reference")?;
                    self.check(&self.schema["$defs"][name], value)?;
                }
                "type" if is_of(said, value) => {}
                "const" if said == value => {}
                "enum" if said.as_array().is_some_and(|values| values.contains(value)) => {}
                "anyOf" if said.as_array().is_some_and(|all| all.iter().any(|one| self.check(one, value).is_ok())) => {}
                "items" => value.as_array().into_iter().flatten().try_for_each(|item| self.check(said, item))?,
                "properties" => self.properties(words, said, value)?,
                "required" | "additionalProperties" => {}
                _ => return Err(format!("{value} against {word} {said}")),
            }
        }
        Ok(())
    }

    fn properties(&self, words: &Map<String, Value>, said: &Value, value: &Value) -> Result<(), String> {
        let fields = value.as_object().ok_or("no object")?;
        for (name, field) in fields {
            let schema = said.get(name).ok_or_else(|| format!("`{name}` is unknown"))?;
            self.check(schema, field).map_err(|why| format!("`{name}`: {why}"))?;
        }
        assert_eq!(words["additionalProperties"], false);
        let missing = words["required"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|name| !fields.contains_key(name.as_str().unwrap()));
        missing.map_or(Ok(()), |name| Err(format!("{name} is missing")))
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema has a type {other}"),
    }
}

/// A folder with an item of each kind, some of whose names are no UTF-8.
fn fill(source: &Path) {
    fs::create_dir(source.join("folder")).unwrap();
    fs::write(source.join("folder/excluded"), b"x").unwrap();
    fs::write(source.join(OsStr::from_bytes(b"no text \xff")), b"x").unwrap();
    symlink("file", source.join("link")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, source.join("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn all_that_is_printed_is_as_the_schema_says() {
    let mut schema = Schema::read();
    let machine = Machine::new();
    let source = machine.folder_with("source", &[("file", b"content"), ("later", b"1")]);
    fill(&source);
    let json = |words: &str| -> Caddis { machine.caddis(words).env("CADDIS_JSON", "1") };
    schema.expect("init", &json("init").ok());
    schema.expect("backup", &json("backup -vv source missing --exclude excluded --exclude nothing").ends_with(3));
    schema.expect("backup", &json("backup --dry-run -v source --with-atime").ok());
    fs::write(source.join("later"), b"23").unwrap();
    fs::remove_file(source.join("file")).unwrap();
    schema.expect("backup", &json("backup source --tag a --label b --with-atime").ok());
    schema.expect("backup", &json("backup source --skip-if-unchanged --label b").ok());
    schema.expect("snapshots", &json("snapshots").ok());
    schema.expect("ls", &json("ls -R latest").ok());
    schema.expect("diff", &json("diff --metadata latest~2 latest").ok());
    schema.expect("stats", &json("stats").ok());
    schema.expect("why", &json("why source/file source/folder/excluded --exclude excluded").ok());
    schema.expect("tag", &json("tag add c latest").ok());
    schema.expect("forget", &json("forget --keep-daily 1 --keep-tag c --group-by host,paths,tags --dry-run").ok());
    schema.expect("forget", &json("forget latest").ok());
    let forgotten = json("snapshots --forgotten").ok();
    schema.expect("snapshots --forgotten", &forgotten);
    schema.expect("unforget", &json("unforget").arg(forgotten.json()[0]["id"].as_str().unwrap()).ok());
    schema.expect("prune", &json("prune --dry-run").ok());
    schema.expect("forget", &json("forget latest~1").ok());
    schema.expect("forget", &json("forget latest~1 --prune --undo-window 0").ok());
    schema.expect("prune", &json("prune").ok());
    schema.expect("restore", &json("restore latest target").ok());
    schema.expect("restore", &json("restore -v --overwrite always --delete latest target").ok());
    let only = json("restore").arg(inside("latest", &source.join("later"))).arg("single");
    schema.expect("restore", &only.ok());
    schema.expect("restore", &json("restore nothing elsewhere").ends_with(1));
    schema.expect("key list", &json("key list").ok());
    let added = json("key add --new-key-file second").ok();
    schema.expect("key add", &added);
    schema.expect("key passwd", &json("key passwd --key-file second --new-key-file third").ok());
    let slots = json("key list --key-file third").ok().json();
    let other = slots.as_array().unwrap().iter().find(|slot| slot["current"] == false).unwrap();
    schema.expect("key remove", &json("key remove --key-file third").arg(other["id"].as_str().unwrap()).ok());
    let json = |words: &str| json(words).arg("--key-file").arg("third");
    schema.expect("check", &json("check --read-data").ok());
    schema.expect("check", &json("check --storage").ok());
    for pack in machine.objects("packs").iter().chain(&machine.objects("trees")) {
        fs::remove_file(pack).unwrap();
    }
    schema.expect("check", &json("check").ends_with(4));
    // What this machine keeps of trees would bring them back.
    fs::remove_dir_all(machine.path("home/.cache")).unwrap();
    schema.expect("repair packs", &json("repair packs").ends_with(4));
    schema.expect("repair snapshots", &json("repair snapshots").ends_with(4));
    for segment in machine.objects("index") {
        fs::remove_file(&segment).unwrap();
        fs::write(&segment, b"junk").unwrap();
    }
    let pack = machine.repository.join(format!("packs/00/{}", "0".repeat(64)));
    fs::write(pack, b"junk").unwrap();
    schema.expect("repair index", &json("repair index").ends_with(4));

    let defined: BTreeSet<String> = schema.schema["$defs"].as_object().unwrap().keys().cloned().collect();
    let parts = ["snapshot", "snapshot_summary", "chunk_bytes", "forget_group", "forget_reason", "forgotten_snapshot"]
        .map(str::to_owned);
    let unseen: Vec<_> =
        defined.iter().filter(|name| !schema.fitted.contains(*name) && !parts.contains(name)).collect();
    assert!(unseen.iter().all(|name| SELDOM.contains(&name.as_str())), "nothing was seen of {unseen:?}");
}

#[test]
fn the_schema_knows_every_command() {
    let schema = Schema::read().schema;
    let known: BTreeSet<String> = schema["commands"].as_object().unwrap().keys().cloned().collect();
    let mut wanted = BTreeSet::new();
    for command in Cli::command().get_subcommands().filter(|command| !WITHOUT_JSON.contains(&command.get_name())) {
        let name = command.get_name();
        if name != "tag" && command.has_subcommands() {
            wanted.extend(command.get_subcommands().map(|below| format!("{name} {}", below.get_name())));
        } else {
            wanted.insert(name.to_owned());
        }
    }
    // What an option turns into another document.
    wanted.insert("snapshots --forgotten".to_owned());
    assert_eq!(known, wanted);
}
