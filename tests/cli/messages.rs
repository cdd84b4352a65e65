//! Every message of an error that a user can cause, as one transcript: `tests/data/messages.txt`. Whoever changes one sees it beside
//! the others there, and whether it says what, where, why and what to do next.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::program::{Caddis, Machine, SmallDisk, inside, is_root, skip};
use crate::common::zoo::random_bytes;

/// A user whom root can become, who owns nothing here.
const NOBODY: u32 = 65_534;

struct Transcript(String);

impl Transcript {
    fn add(&mut self, title: &str, command: Caddis) {
        let run = command.run();
        assert_ne!(run.code, 0, "{title} is no error: {}", run.transcript());
        let mut text = run.transcript();
        // The folder of a pack is named by the beginning of its id, which is another one each time.
        if let Some(at) = text.find("packs/") {
            text.replace_range(at + 6..at + 8, "[..]");
        }
        self.0.push_str(&format!("# {title}\n{text}\n"));
    }
}

/// A repository with a snapshot of the folder `source`.
fn saved() -> Machine {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"content")]);
    machine.caddis("backup source --time 2026-11-01T10:00:00Z").ok();
    machine
}

#[test]
fn every_message_is_as_it_was_read_and_found_good() {
    let mut all = Transcript(String::new());
    places(&mut all);
    keys(&mut all);
    what_is_named(&mut all);
    targets(&mut all);
    words(&mut all);
    if !is_root() || std::process::Command::new("strace").arg("-V").output().is_err() {
        return skip("only root can mount a disk and become somebody else, and strace breaks a disk");
    }
    disks(&mut all);
    rights(&mut all);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/messages.txt");
    let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("messages.txt");
    fs::write(&found, &all.0).unwrap();
    let kept_text = fs::read_to_string(&kept).unwrap_or_default();
    let (kept, found) = (kept.display(), found.display());
    assert!(kept_text == all.0, "messages changed: compare {kept} with {found}, and copy what is better");
}

fn places(all: &mut Transcript) {
    let machine = Machine::new();
    machine.folder_with("source", &[("file", b"x")]);
    all.add("No repository there", machine.caddis("backup source"));
    all.add("Nothing to read there either", machine.caddis("snapshots"));
    machine.folder("empty");
    all.add("An empty folder, as where a disk is not mounted", machine.caddis("snapshots -r empty"));
    all.add("A folder of something else", machine.caddis("snapshots -r source"));
    all.add("Init where something else lies", machine.caddis("init -r source"));
    all.add("A file and no folder", machine.caddis("snapshots -r source/file"));
    all.add("A place of a kind that is not known", machine.caddis("snapshots -r sftp://host/backups"));
    let machine = saved();
    all.add("Init over a repository", machine.caddis("init"));
    fs::rename(&machine.repository, machine.path("elsewhere")).unwrap();
    all.add("A repository that was there and is gone", machine.caddis("snapshots"));
    let other = Machine::with_repository();
    fs::rename(&other.repository, &machine.repository).unwrap();
    fs::copy(&other.key_file, machine.path("other key")).unwrap();
    all.add("Another repository at its place", machine.caddis("snapshots --key-file").arg("other key"));
    let machine = saved();
    let config = machine.repository.join("config");
    let mut bytes = fs::read(&config).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    bytes.truncate(100);
    fs::write(&config, &bytes).unwrap();
    all.add("A damaged config", machine.caddis("snapshots"));
    // Magic number, kind, version: caddis-format(5).
    bytes[7] = 0xff;
    fs::write(&config, &bytes).unwrap();
    all.add("A repository of a later version", machine.caddis("snapshots"));
}

fn keys(all: &mut Transcript) {
    let machine = Machine::new();
    let init = machine.caddis_with_passphrase("init --kdf-memory 64KiB");
    init.env("CADDIS_PASSWORD", "correct horse battery staple").ok();
    let open = |words: &str| machine.caddis_with_passphrase(words);
    all.add("A wrong passphrase", open("snapshots").env("CADDIS_PASSWORD", "wrong"));
    all.add("A wrong key file", {
        fs::write(machine.path("key of another"), [7; 32]).unwrap();
        open("snapshots --key-file").arg("key of another")
    });
    all.add("No passphrase, and no terminal to ask on", open("snapshots"));
    all.add("An empty passphrase", open("snapshots").env("CADDIS_PASSWORD", ""));
    fs::write(machine.path("empty"), "\n").unwrap();
    all.add("An empty password file", open("snapshots --password-file empty"));
    all.add("A password file that is not there", open("snapshots --password-file missing"));
    all.add("A password command that fails", open("snapshots --password-command").arg("exit 3"));
    all.add("A key file that is not there", open("snapshots --key-file missing"));
    fs::write(machine.path("short"), [7; 31]).unwrap();
    all.add("A key file of another length", open("snapshots --key-file short"));
    all.add("A wrong path and a wrong passphrase", open("snapshots -r nowhere").env("CADDIS_PASSWORD", "wrong"));
    let machine = saved();
    let slots = machine.caddis("key list --json").ok().json();
    let slot = slots[0]["short_id"].as_str().unwrap().to_owned();
    all.add("The last key", machine.caddis("key remove").arg(slot));
    all.add("A key that is not there", machine.caddis("key remove 00000000"));
}

fn what_is_named(all: &mut Transcript) {
    let machine = saved();
    machine.caddis("backup source --time 2026-11-02T10:00:00Z").ok();
    all.add("An unknown snapshot", machine.caddis("ls nothing"));
    all.add("An unknown id", machine.caddis("restore ffffffffffff target"));
    all.add("More snapshots back than there are", machine.caddis("ls latest~2"));
    all.add("Nothing so old", machine.caddis("ls @2000-01-01"));
    all.add("No day", machine.caddis("ls @yesterday"));
    all.add("No time", machine.caddis("backup source --time yesterday"));
    all.add("A path that is not in the snapshot", machine.caddis("restore latest:/not/there target"));
    all.add("A path with `..`", machine.caddis("ls latest:/a/../b"));
    all.add("A folder where a file is wanted", machine.caddis("cat latest:/"));
    all.add("A filter that admits nothing", machine.caddis("restore latest target --host another"));
    all.add("An unknown snapshot to forget", machine.caddis("forget nothing"));
    all.add("An unknown announcement to drop", machine.caddis("prune --drop-pending ffffffffffff"));
    all.add("An unknown pack to repair", machine.caddis("repair packs nothing"));
    all.add("A policy that keeps nothing", machine.caddis("forget --keep-last 0 --group-by paths"));
    all.add("An unknown snapshot to bring back", machine.caddis("unforget ffffffffffff"));
    all.add("A snapshot to bring back that is there", machine.caddis("unforget").arg(machine.snapshot_ids().remove(0)));
    let gone = machine.snapshot_ids().remove(0);
    machine.caddis("forget").arg(&gone).ok();
    fs::remove_file(machine.repository.join("snapshots").join(&gone)).unwrap();
    all.add("A snapshot to bring back that has been pruned", machine.caddis("unforget").arg(gone));
    all.add("Nothing but missing sources", machine.caddis("backup missing"));
    all.add("An empty source", machine.caddis("backup").arg(""));
}

fn targets(all: &mut Transcript) {
    let machine = saved();
    machine.folder_with("full", &[("mine", b"not to be touched")]);
    let file = inside("latest", &machine.path("source/file"));
    all.add("A target that holds something", machine.caddis("restore latest full"));
    all.add("A target that is a file", machine.caddis("restore latest full/mine"));
    all.add("A file to restore over another", machine.caddis("restore").arg(&file).arg("full/mine"));
    all.add("A target that holds the home folder", machine.caddis("restore --overwrite always --delete latest home"));
    all.add("A file to dump over another", machine.caddis("dump --target full/mine").arg(&file));
    all.add("A target below a file", machine.caddis("restore latest full/mine/below"));
    all.add("A whole snapshot beside a file", machine.caddis("diff latest").arg(&file));
}

fn words(all: &mut Transcript) {
    let machine = saved();
    all.add("An unknown command", machine.caddis("frobnicate"));
    all.add("A command that is mistyped", machine.caddis("snapshot"));
    all.add("An unknown option", machine.caddis("ls --frobnicate latest"));
    all.add("No target", machine.caddis("restore latest"));
    all.add("No source", machine.caddis("backup"));
    all.add("A bad size", machine.caddis("init -r new --pack-size many"));
    all.add("A pack size out of range", machine.caddis("init -r new --pack-size 1KiB"));
    all.add("More memory than a try may cost", machine.caddis("init -r new --kdf-memory 64GiB"));
    all.add("A pattern that is none", machine.caddis("backup source --exclude [z-"));
    all.add("A file of patterns that is not there", machine.caddis("backup source --exclude-file missing"));
    all.add("A list of sources that is not there", machine.caddis("backup --files-from missing"));
    all.add("A command that fails", machine.caddis("backup --stdin-from-command -- false"));
    all.add("A part that is none", machine.caddis("check --read-data-subset 13/12"));
    all.add("Options that exclude each other", machine.caddis("check --storage --read-data"));
    all.add("A budget of months", machine.caddis("check --budget 2mo"));
    all.add("A budget for everything", machine.caddis("check --read-data --budget 60s"));
    all.add("No tag", machine.caddis("tag add").arg("").arg("latest"));
    all.add("Nothing to bring back", machine.caddis("unforget"));
    all.add("Snapshots to list among the forgotten", machine.caddis("snapshots --forgotten latest"));
    all.add("Nothing to forget by", machine.caddis("forget"));
    all.add("Snapshots to forget and a policy", machine.caddis("forget latest --keep-last 1"));
    all.add("No limit of what may stay", machine.caddis("prune --max-unused much"));
    all.add("No duration", machine.caddis("prune --min-age 7"));
    all.add("A count that is none", machine.caddis("forget --keep-daily some"));
    all.add("A duration that is none", machine.caddis("forget --keep-within week"));
    all.add("Groups that are none", machine.caddis("forget --keep-last 1 --group-by label"));
    all.add("A switch that is neither on nor off", machine.caddis("snapshots").env("CADDIS_JSON", "maybe"));
}

/// A place that is full, that cannot be written, and one whose disk is broken.
fn disks(all: &mut Transcript) {
    let mut machine = Machine::new();
    let place = machine.folder("disk");
    let Some(disk) = SmallDisk::mount(place.clone(), 12 << 20) else { return };
    machine.repository = place.join("repo");
    machine.caddis("init").ok();
    machine.folder_with("source", &[("file", b"content")]);
    machine.caddis("backup source").ok();
    machine.folder_with("large", &[("file", &random_bytes("messages", 16 << 20))]);
    all.add("A full disk below the repository", machine.caddis("backup large"));
    disk.make_read_only();
    all.add("A read-only file system", machine.caddis("backup source"));
    let broken = machine.repository.join("config");
    let strace = [
        "strace",
        "-qq",
        "-f",
        "-o",
        "/dev/null",
        "-P",
        broken.to_str().unwrap(),
        "-e",
        "inject=read,pread64:error=EIO",
    ];
    all.add("A disk that does not answer", machine.caddis("snapshots").under(&strace));
}

/// What the system refuses, seen by somebody who is not root.
fn rights(all: &mut Transcript) {
    let machine = saved();
    let nobody = Machine::beside(&machine);
    for path in [&nobody.path(""), &nobody.path("home"), &machine.path("")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::os::unix::fs::chown(nobody.path("home"), Some(NOBODY), Some(NOBODY)).unwrap();
    std::os::unix::fs::chown(nobody.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
    let key = fs::read(&machine.key_file).unwrap();
    fs::write(nobody.path("own key"), key).unwrap();
    std::os::unix::fs::chown(nobody.path("own key"), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(nobody.path("own key"), fs::Permissions::from_mode(0o600)).unwrap();
    let own = |words: &str| nobody.caddis(words).env("CADDIS_KEY_FILE", nobody.path("own key")).for_user(NOBODY);
    all.add("A repository that may not be read", own("snapshots"));
    all.add("A place where nothing may be made", own("init -r /new-repository"));
}
