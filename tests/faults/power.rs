//! Power cuts: what was not synced may be gone, there in parts, or there whole. Whatever is left, all that was reported done
//! by then stays done, and the next run succeeds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caddis::error::Error;
use caddis::forget::{Choice, forget, plan};
use caddis::id::{ObjectId, SnapshotId};
use caddis::repo::snapshots::Filter;
use caddis::store::local::{LocalStore, OpenError};
use caddis::unforget::unforget;

use crate::compare::Tree;
use crate::disk::{Files, RecordingDisk, files_in, set_files};
use crate::lab::{KEY, Lab, Machine, World, assert_same_tree, key_file, new_key, random_bytes, scratch};
use crate::pruning::{all_goes, forgets, prunes};

const SECOND: u8 = 8;
const THIRD: u8 = 9;

/// A machine, its repository on a disk that records, and a source.
struct Story {
    lab: Lab,
    machine: Machine,
    path: PathBuf,
    disk: Arc<RecordingDisk>,
    saved: Vec<(SnapshotId, Tree)>,
}

impl Story {
    fn new() -> Self {
        let lab = Lab::new();
        let machine = lab.machine("teller");
        let path = lab.folder.path().join("repository");
        std::fs::create_dir(&path).unwrap();
        let state = machine.places.state.clone();
        let disk = RecordingDisk::new(move || files_in(&state));
        Self { lab, machine, path, disk, saved: Vec::new() }
    }

    /// A story that begins when the repository has been made.
    fn with_repository() -> Self {
        let story = Self::new();
        story.init().unwrap();
        story.disk.begin();
        story
    }

    fn init(&self) -> Result<(), Error> {
        let store = LocalStore::create_watched(&self.path, self.disk.clone()).unwrap();
        self.machine.init(&Arc::new(store)).map(drop)
    }

    fn store(&self) -> Arc<LocalStore> {
        Arc::new(LocalStore::open_watched(&self.path, self.disk.clone()).unwrap())
    }

    fn back_up(&mut self, secs: i64) {
        let report = self.machine.backup(&self.store(), &self.lab.source, &World::at(secs)).unwrap();
        self.saved.push((report.snapshot, self.lab.tree()));
        self.disk.report();
    }

    /// Looks at everything that a power cut could have left; answers how much that was.
    fn look_at_images(&self, look: impl Fn(&Machine, &Path, usize, &str)) -> usize {
        let images = self.disk.images();
        let folder = scratch();
        let path = folder.path().join("repository");
        let mut made = None;
        for (number, (image, moment)) in images.iter().enumerate() {
            let context = format!("image {number}, {} reported: {:?}", moment.reported, image.files);
            // The folders are the same ones in nearly all images, and many.
            if made != Some(&image.folders) {
                let _ = std::fs::remove_dir_all(&path);
                std::fs::create_dir(&path).unwrap();
                image.folders.iter().for_each(|folder| std::fs::create_dir(path.join(folder)).unwrap());
                made = Some(&image.folders);
            }
            set_files(&path, &self.disk.files(image));
            let machine = Machine::new(&folder.path().join(number.to_string()), "teller");
            set_files(&machine.places.state, &moment.beside);
            look(&machine, &path, moment.reported, &context);
        }
        images.len()
    }

    /// What was saved comes back, the next backup succeeds, and nothing is wrong but leftovers that are torn.
    fn assert_whole(&self, machine: &Machine, path: &Path, saved: usize, context: &str) {
        let store = Arc::new(LocalStore::open(path).expect(context));
        for (id, tree) in &self.saved[..saved] {
            assert_same_tree(tree, &machine.restored(&store, *id, &self.lab.source));
        }
        let next = machine.backup(&store, &self.lab.source, &World::at(9)).expect(context).snapshot;
        assert_same_tree(&self.lab.tree(), &machine.restored(&store, next, &self.lab.source));
        let found = machine.check(&store);
        assert!(found.items().is_subset(&torn(path)), "{context}: {:?}", found.problems());
    }
}

/// Objects whose bytes are not those that their names say.
fn torn(path: &Path) -> BTreeSet<Vec<u8>> {
    let objects: Files = files_in(path);
    let is_torn = |path: &str, bytes: &[u8]| {
        let id = path.rsplit_once('/').and_then(|(_, name)| ObjectId::from_hex(name));
        id.is_some_and(|id| id != ObjectId::of(bytes))
    };
    objects.into_iter().filter(|(path, bytes)| is_torn(path, bytes)).map(|(path, _)| path.into_bytes()).collect()
}

#[test]
fn a_power_cut_during_init_leaves_a_repository_or_the_beginnings_of_one() {
    let story = Story::new();
    story.lab.write_old_tree();
    story.init().unwrap();
    story.disk.report();
    let images = story.look_at_images(|machine, path, reported, context| {
        match LocalStore::open(path) {
            Ok(_) => {}
            Err(OpenError::Empty { .. } | OpenError::NoConfig { .. } | OpenError::NotARepository { .. }) => {
                assert_eq!(reported, 0, "{context}");
                let store = LocalStore::create(path).expect(context);
                machine.init(&Arc::new(store)).expect(context);
            }
            Err(error) => panic!("{context}: {error:?}"),
        }
        story.assert_whole(machine, path, 0, context);
    });
    assert!(images > 30, "{images}");
}

#[test]
fn a_power_cut_during_backups_loses_nothing_that_was_reported_saved() {
    let mut story = Story::with_repository();
    story.lab.write_old_tree();
    story.back_up(1);
    story.lab.write_new_tree();
    story.back_up(2);
    let images = story.look_at_images(|machine, path, saved, context| {
        story.assert_whole(machine, path, saved, context);
    });
    assert!(images > 40, "{images}");
}

/// What is put is there before what it stands for is deleted, and what was deleted may come back.
#[test]
fn a_power_cut_during_a_forget_and_a_prune_loses_nothing_that_is_kept() {
    let mut story = Story::with_repository();
    story.lab.write_old_tree();
    story.lab.write("large", &random_bytes("large", 200_000));
    story.back_up(1);
    std::fs::remove_file(story.lab.source.join("large")).unwrap();
    story.lab.write_new_tree();
    story.back_up(2);
    let (forgotten, _) = story.saved.remove(0);
    story.disk.begin();
    forgets(&story.machine, &story.store(), &[forgotten], &World::at(3)).unwrap();
    let done = prunes(&story.machine, &story.store(), &all_goes(), &World::at(4)).unwrap();
    assert!(done.repacked > 0 && done.merged.0 > 0, "{done:?}");
    let images = story.look_at_images(|machine, path, _, context| {
        story.assert_whole(machine, path, 1, context);
        let store = Arc::new(LocalStore::open(path).expect(context));
        prunes(machine, &store, &all_goes(), &World::at(10)).expect(context);
        story.assert_whole(machine, path, 1, context);
    });
    assert!(images > 20, "{images}");
}

#[test]
fn a_power_cut_during_changes_of_keys_leaves_keys_that_open() {
    let mut story = Story::with_repository();
    story.lab.write_old_tree();
    story.back_up(1);
    story.disk.begin();
    let world = World::at(2);
    let open = |key| story.machine.open_with(&story.store(), &key_file(key), &world).unwrap();
    open(KEY).add_key(&new_key(SECOND), &world.cx()).unwrap();
    story.disk.report(); // 2
    open(KEY).change_key(&key_file(SECOND), &new_key(THIRD), &world.cx()).unwrap();
    story.disk.report(); // 3
    let images = story.look_at_images(|machine, path, reported, context| {
        let store = Arc::new(LocalStore::open(path).expect(context));
        let opens = |key| match machine.open_with(&store, &key_file(key), &World::at(3)) {
            Ok(_) => true,
            Err(Error::WrongKey { .. }) => false,
            Err(error) => panic!("{context}: key {key}: {error:?}"),
        };
        assert!(opens(KEY), "{context}");
        assert!(reported < 2 || opens(SECOND) || opens(THIRD), "{context}");
        assert!(reported < 3 || opens(THIRD), "{context}");
        story.assert_whole(machine, path, 1, context);
    });
    assert!(images > 20, "{images}");

    let third = open(THIRD).slot.to_string();
    story.disk.begin();
    open(KEY).remove_key(&third, &world.cx()).unwrap();
    story.disk.report(); // 4
    let left = std::cell::RefCell::new(BTreeSet::new());
    story.look_at_images(|machine, path, _, context| {
        let store = Arc::new(LocalStore::open(path).expect(context));
        // What was removed may come back with the power, as with any copy of the repository.
        left.borrow_mut().insert(machine.open_with(&store, &key_file(THIRD), &World::at(3)).is_ok());
        story.assert_whole(machine, path, 1, context);
    });
    assert_eq!(left.into_inner(), BTreeSet::from([false, true]));
}

#[test]
fn a_power_cut_during_forget_and_unforget_leaves_each_done_or_not() {
    let mut story = Story::with_repository();
    story.lab.write_old_tree();
    story.back_up(1);
    story.lab.write_new_tree();
    story.back_up(2);
    let (old, old_tree) = story.saved.remove(0);
    story.disk.begin();
    let world = World::at(3);
    let mut repository = story.machine.open(&story.store(), &world).unwrap();
    let plan = plan(&repository, &Choice::Named(vec![old.to_string()]), &Filter::default(), &world.cx()).unwrap();
    forget(&mut repository, plan, &world.cx()).unwrap();
    story.disk.report(); // 3
    let mut repository = story.machine.open(&story.store(), &world).unwrap();
    unforget(&mut repository, &[old.to_string()], &mut |_| Ok(()), &world.cx()).unwrap();
    story.disk.report(); // 4
    let states = std::cell::RefCell::new(BTreeSet::new());
    let images = story.look_at_images(|machine, path, reported, context| {
        let store = Arc::new(LocalStore::open(path).expect(context));
        let live = machine.snapshots(&store);
        let place: Vec<_> = live.iter().filter(|snapshot| snapshot.lineage() == old).collect();
        let state = match place[..] {
            [] => "forgotten",
            [snapshot] if snapshot.id == old => "there",
            [_] => "back",
            _ => panic!("{context}: {place:?}"),
        };
        states.borrow_mut().insert(state);
        assert!(reported < 3 || state != "there", "{context}");
        assert!(reported < 4 || state == "back", "{context}");
        // It comes back whatever was done by then.
        if state == "forgotten" {
            let world = World::at(4);
            let mut repository = machine.open(&store, &world).expect(context);
            unforget(&mut repository, &[old.to_string()], &mut |_| Ok(()), &world.cx()).expect(context);
        }
        let live = machine.snapshots(&store);
        let back = live.iter().find(|snapshot| snapshot.lineage() == old).expect(context);
        assert_same_tree(&old_tree, &machine.restored(&store, back.id, &story.lab.source));
        story.assert_whole(machine, path, 1, context);
    });
    assert!(images > 15, "{images}");
    assert_eq!(states.into_inner(), BTreeSet::from(["back", "forgotten", "there"]));
}
