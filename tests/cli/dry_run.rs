//! A dry run says what a real one would do, and does nothing.

use std::fs;

use crate::common::program::{Machine, files_below};

#[test]
fn a_dry_run_stores_nothing_and_counts_what_the_real_one_then_stores() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a", &[b'a'; 5000]), ("b", &[b'b'; 5000]), ("c.o", b"c")]);
    let before = files_below(&machine.repository);
    let counts = |words: &str| {
        let mut summary = machine.caddis(words).arg(&source).ok().json_lines().pop().unwrap();
        let counted = summary.as_object_mut().unwrap();
        for of_the_real_run in ["snapshot_id", "tree", "time", "data_added_packed"] {
            assert_eq!(counted.remove(of_the_real_run).is_some(), !words.contains("-n"), "{of_the_real_run}");
        }
        assert_eq!(counted.remove("dry_run").is_some(), words.contains("-n"));
        counted.remove("total_duration");
        summary
    };
    let rehearsed = counts("backup -n --json -e *.o");
    assert_eq!((&rehearsed["files_new"], &rehearsed["items_excluded"]), (&2.into(), &1.into()));
    assert_eq!(files_below(&machine.repository), before);
    assert_eq!(rehearsed, counts("backup --json -e *.o"));
    fs::write(source.join("a"), [b'A'; 6000]).unwrap();
    let before = files_below(&machine.repository);
    let rehearsed = counts("backup -n --json");
    assert_eq!((&rehearsed["files_new"], &rehearsed["total_bytes_processed"]), (&1.into(), &11_001.into()));
    assert_eq!(files_below(&machine.repository), before);
    assert_eq!(rehearsed, counts("backup --json"));
}

#[test]
fn each_item_is_listed_with_what_becomes_of_it_and_why() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a", b"a"), ("b.o", b"b")]);
    for folder in ["cache", "mine"] {
        fs::create_dir(source.join(folder)).unwrap();
    }
    fs::write(source.join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55").unwrap();
    fs::write(source.join("mine/.caddisignore"), "# none of these\nx*\n").unwrap();
    fs::write(source.join("mine/xy"), "xy").unwrap();
    let run = machine.caddis("backup -n -v -e *.o --exclude-caches source").ok();
    let listed: Vec<&str> = run.text().lines().collect();
    let here = source.to_str().unwrap();
    let wanted = [
        format!("new       {here}/a, 1 B"),
        format!("excluded  {here}/b.o by --exclude *.o"),
        format!("excluded  what lies in {here}/cache by --exclude-caches"),
        format!("new       {here}/cache/CACHEDIR.TAG, 43 B"),
        format!("new       {here}/cache, 0 B"),
        format!("new       {here}/mine/.caddisignore, 19 B"),
        format!("excluded  {here}/mine/xy by x* at {here}/mine/.caddisignore:2"),
        format!("new       {here}/mine, 0 B"),
        format!("new       {here}, 0 B"),
        "would save 3 files, 63 B; new ".to_owned(),
    ];
    for (listed, wanted) in listed.iter().zip(&wanted) {
        assert!(listed.starts_with(wanted.as_str()), "{listed} instead of {wanted}");
    }
    assert_eq!(listed.len(), wanted.len() + 1);
    assert!(!machine.caddis("backup -n source").ok().text().contains("new  "));

    let messages = machine.caddis("backup -n -v --json source").ok().json_lines();
    let of = |name: &str| messages.iter().find(|message| message["item"] == format!("{here}/{name}")).unwrap();
    assert_eq!((&of("b.o")["action"], &of("b.o")["data_size"]), (&"new".into(), &1.into()));
    assert_eq!((&of("mine/xy")["action"], &of("mine/xy")["rule"]), (&"excluded".into(), &"x*".into()));
    assert_eq!((&of("mine/xy")["line"], &of("mine/xy")["contents_only"]), (&2.into(), &false.into()));
    assert_eq!(of("mine/xy")["file"], format!("{here}/mine/.caddisignore"));
    assert!(messages[..messages.len() - 1].iter().all(|message| message["message_type"] == "verbose_status"));

    // A real run lists them when it is asked twice.
    assert!(!machine.caddis("backup -v source").ok().text().contains("new  "));
    fs::write(source.join("a"), "changed").unwrap();
    fs::write(source.join("n"), "new").unwrap();
    let run = machine.caddis("backup -vv source").ok();
    for wanted in
        ["changed   {here}/a, 7 B\n", "new       {here}/n, 3 B\n", "unchanged {here}/mine\n", "changed   {here}, 0 B\n"]
    {
        assert!(run.text().contains(&wanted.replace("{here}", here)), "{wanted}: {}", run.transcript());
    }
}

#[test]
fn a_dry_run_makes_no_repository_and_names_what_cannot_be_read() {
    let machine = Machine::new();
    machine.folder_with("source", &[("a", b"a")]);
    machine.caddis("backup --init -n source").ends_with(10);
    assert!(!machine.repository.exists());
    machine.caddis("init").ok();
    let run = machine.caddis("backup --dry-run source gone").ends_with(3);
    assert!(run.transcript().contains("would save 1 file, 1 B; new"), "{}", run.transcript());
    assert!(run.transcript().contains("! caddis: [DIR]/gone: there is no such file"), "{}", run.transcript());
    assert_eq!(machine.snapshot_ids().len(), 0);
}
