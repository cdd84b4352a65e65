//! The fuzzer's saved corpus, run through the fuzzer's own functions. `fuzz/README.md` says how it grows.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is a crate of its own for the fuzzer")]
mod targets;

#[test]
fn no_decoder_panics_on_what_the_fuzzer_has_kept() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut folders: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    folders.sort();
    assert_eq!(folders, targets::TARGETS.map(|(name, _)| name), "every target has a corpus, and none is left over");
    for (name, target) in targets::TARGETS {
        let seeds: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{name}");
        for seed in seeds {
            target(&fs::read(seed).unwrap());
        }
    }
}
