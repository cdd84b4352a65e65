//! The built program, run as a user on a machine of their own would run it: own home, clean environment, no terminal.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test support")]
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::zoo::make_removable;

/// Names another program than the one that was built with the tests: a copy that an unprivileged user may run.
pub(crate) const PROGRAM_VARIABLE: &str = "CADDIS_TEST_PROGRAM";
/// When set, a test that lacks an outside tool or a right fails instead of saying that it was skipped.
pub(crate) const NEEDS_ALL_VARIABLE: &str = "CADDIS_TEST_NEEDS_ALL";
/// What is tried by polling must have happened by then; only a broken program waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// One user's machine, and the repository that they use.
#[derive(Debug)]
pub(crate) struct Machine {
    folder: TempDir,
    pub(crate) repository: PathBuf,
    pub(crate) key_file: PathBuf,
}

/// A command line that is being put together.
#[derive(Debug)]
pub(crate) struct Caddis {
    command: Command,
    shown: String,
    replaced: Vec<(String, &'static str)>,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    shown: String,
    replaced: Vec<(String, &'static str)>,
}

/// What a program printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) code: i32,
    shown: String,
    replaced: Vec<(String, &'static str)>,
}

impl Machine {
    /// A machine with an empty home; the repository and the key file have a place and are not there yet.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("caddis-").tempdir().unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        let (repository, key_file) = (folder.path().join("repo"), folder.path().join("key"));
        Self { folder, repository, key_file }
    }

    /// A machine with an empty repository.
    pub(crate) fn with_repository() -> Self {
        Self::with_packs_of("32MiB")
    }

    /// A machine with an empty repository of another pack size.
    pub(crate) fn with_packs_of(size: &str) -> Self {
        let machine = Self::new();
        machine.caddis("init --pack-size").arg(size).ok();
        machine
    }

    /// Another machine that uses the same repository with the same key.
    pub(crate) fn beside(other: &Self) -> Self {
        let mut machine = Self::new();
        machine.repository.clone_from(&other.repository);
        machine.key_file.clone_from(&other.key_file);
        machine
    }

    /// A place in the machine's own folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new folder.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// A new folder with these files.
    pub(crate) fn folder_with(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let folder = self.folder(name);
        for (file, content) in files {
            fs::write(folder.join(file), content).unwrap();
        }
        folder
    }

    /// The program with these words as arguments, the machine's repository and its key file.
    pub(crate) fn caddis(&self, words: &str) -> Caddis {
        self.caddis_with_passphrase(words).env("CADDIS_KEY_FILE", &self.key_file)
    }

    /// The same without the key file.
    pub(crate) fn caddis_with_passphrase(&self, words: &str) -> Caddis {
        let program = std::env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| env!("CARGO_BIN_EXE_caddis").into());
        self.program(program.as_ref(), words).without_env("CADDIS_KEY_FILE")
    }

    /// Like [`Machine::caddis`], with a copy of the program.
    pub(crate) fn program(&self, program: &Path, words: &str) -> Caddis {
        let mut command = Command::new(program);
        command.args(words.split_whitespace()).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("TZ", "UTC").env("HOME", self.path("home"));
        command.env("CADDIS_REPOSITORY", &self.repository).env("CADDIS_KEY_FILE", &self.key_file);
        command.current_dir(self.folder.path());
        let folder = self.folder.path().to_str().unwrap().to_owned();
        let repository = self.repository.to_str().unwrap().to_owned();
        Caddis { command, shown: words.to_owned(), replaced: vec![(repository, "[REPO]"), (folder, "[DIR]")] }
    }

    /// All objects of a kind, by path.
    pub(crate) fn objects(&self, kind: &str) -> Vec<PathBuf> {
        files_below(&self.repository.join(kind))
    }

    /// Length of all files in the repository's folder.
    pub(crate) fn repository_bytes(&self) -> u64 {
        files_below(&self.repository).iter().map(|path| len(path)).sum()
    }

    /// What `work` adds to the repository's folder, in bytes.
    pub(crate) fn bytes_stored_by(&self, work: impl FnOnce()) -> u64 {
        let before = self.repository_bytes();
        work();
        self.repository_bytes() - before
    }

    /// Ids of all snapshots, oldest first.
    pub(crate) fn snapshot_ids(&self) -> Vec<String> {
        let list = self.caddis("snapshots --json").ok().json();
        list.as_array().unwrap().iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !is_root() {
            make_removable(self.folder.path());
        }
    }
}

impl Caddis {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn stdin(mut self, input: impl Into<Stdio>) -> Self {
        self.command.stdin(input);
        self
    }

    pub(crate) fn current_dir(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Runs below another program, whose words come first.
    pub(crate) fn under(mut self, words: &[&str]) -> Self {
        let (first, rest) = words.split_first().unwrap();
        let mut command = Command::new(first);
        command.args(rest).arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().stdin(Stdio::null());
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.command.get_current_dir().unwrap());
        self.command = command;
        self
    }

    /// Runs as another user and group; only root can.
    pub(crate) fn for_user(mut self, id: u32) -> Self {
        use std::os::unix::process::CommandExt;
        self.command.uid(id).gid(id);
        self
    }

    pub(crate) fn run(self) -> Run {
        self.spawn().finish()
    }

    /// Runs it and expects success.
    #[track_caller]
    pub(crate) fn ok(self) -> Run {
        self.ends_with(0)
    }

    /// Runs it and expects an exit code.
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Run {
        let run = self.run();
        assert_eq!(run.code, code, "{}", run.transcript());
        run
    }

    /// Runs it with its standard output going into `pipe`.
    pub(crate) fn into_pipe(mut self, pipe: impl Into<Stdio>) -> Run {
        let child = self.command.stdout(pipe).stderr(Stdio::piped()).spawn().unwrap();
        Running { child, shown: self.shown, replaced: self.replaced }.finish()
    }

    /// Runs it with both its outputs going into `file`, and answers its exit code.
    pub(crate) fn into_file(mut self, file: &fs::File) -> Option<i32> {
        let clone = || file.try_clone().unwrap();
        self.command.stdout(clone()).stderr(clone()).status().unwrap().code()
    }

    pub(crate) fn spawn(mut self) -> Running {
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { child, shown: self.shown, replaced: self.replaced }
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        // It is not waited for yet, so the number is its own.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until something holds, by looking again and again.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(!self.has_ended(), "{} ended before {what}", self.shown);
            assert!(started.elapsed() < DEADLINE, "{} takes too long: waiting for {what}", self.shown);
            std::thread::yield_now();
        }
    }

    /// Kills it with no chance to tidy up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn finish(self) -> Run {
        let Output { status, stdout, stderr } = self.child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        // A program that was ended by a signal has the shell's number for that.
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        assert!(!stderr.contains("panicked"), "{}: {stderr}", self.shown);
        Run { stdout, stderr, code, shown: self.shown, replaced: self.replaced }
    }
}

impl Run {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.transcript()))
    }

    /// A document for each line of standard output.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Arguments, standard output, standard error behind `!`, and exit code, with ids, times and places replaced.
    pub(crate) fn transcript(&self) -> String {
        let mut text = format!("$ caddis {}\n", self.shown);
        text.push_str(&String::from_utf8_lossy(&self.stdout));
        for line in self.stderr.lines() {
            text.push_str(&format!("! {line}\n"));
        }
        text.push_str(&format!("exit {}\n", self.code));
        for (place, name) in &self.replaced {
            text = text.replace(place, name);
        }
        without_ids_and_times(&text)
    }
}

/// Replaces what differs from run to run: ids of 8 or 64 hexadecimal digits, and points in time.
fn without_ids_and_times(text: &str) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "-:+.".contains(character);
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        if end == 0 {
            let len = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..len]);
            rest = &rest[len..];
            continue;
        }
        let (token, after) = rest.split_at(end);
        let bare = token.trim_end_matches(|character: char| ":.".contains(character));
        out.push_str(match bare {
            _ if is_id(bare) => "[ID]",
            _ if is_time(bare) => "[TIME]",
            _ => bare,
        });
        out.push_str(&token[bare.len()..]);
        rest = after;
    }
    out.replace("[TIME] [TIME]", "[TIME]")
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 8 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A date, a time of day, or both as RFC 3339.
fn is_time(text: &str) -> bool {
    let shape: String =
        text.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect();
    shape.starts_with("0000-00-00T00:00:00") || shape == "0000-00-00" || shape == "00:00:00"
}

/// `SNAPSHOT:PATH`
pub(crate) fn inside(snapshot: &str, path: &Path) -> OsString {
    let mut whole = OsString::from(snapshot);
    whole.push(":");
    whole.push(path);
    whole
}

/// All files below a folder, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name();
    // What goes while it is looked at, such as a temporary of a running program, is none.
    let entries = walk.into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// A file's length; nothing when it has just gone.
pub(crate) fn len(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |found| found.len())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a part of a test cannot run here, or fails where nothing may be missing.
#[track_caller]
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os(NEEDS_ALL_VARIABLE).is_none(), "cannot be tested here: {why}");
    eprintln!("SKIPPED: {why}");
}

/// A small file system of its own, gone with the value.
#[derive(Debug)]
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing, and a word about it, where this process may not mount.
    pub(crate) fn mount(at: PathBuf, bytes: u64) -> Option<Self> {
        let options = format!("size={bytes},mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "caddis-test"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            _ => {
                skip("only root can mount a small file system");
                None
            }
        }
    }

    /// From now on nothing can be changed there.
    pub(crate) fn make_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: it goes when nothing uses it any more.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
