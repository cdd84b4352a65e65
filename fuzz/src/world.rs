//! Fixed keys of a repository that does not exist, and objects sealed with them around any bytes.

use std::sync::LazyLock;

use caddis::chunker::SizeClasses;
use caddis::format::config::{Config, OwnerKeys};
use caddis::format::record::Extras;
use caddis::format::tree::TreeConstants;
use caddis::format::{Code, head};
use caddis::id::RepositoryId;
use caddis::keys::domain::DedupDomain;
use caddis::keys::generation::GenerationSecret;
use caddis::keys::keyring::{Keyring, Principal, Rights};
use caddis::keys::signing::{Purpose, Signatory};
use caddis::seal::record::{Padding, PurposeKey, seal};
use zeroize::Zeroizing;

/// Keys of somebody who holds all of them.
pub(crate) struct World {
    pub(crate) keyring: Keyring,
    pub(crate) signatory: Signatory,
    pub(crate) config: Config,
}

/// The one there is.
pub(crate) static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let signatory = Signatory::from_seed(&[1; 32]);
        let generation = GenerationSecret { number: 1, secret: Zeroizing::new([2; 32]) }.keys();
        let sealing = generation.public.clone();
        let domain = DedupDomain::from_secret(Zeroizing::new([3; 32]));
        let keyring = Keyring::new(RepositoryId([4; 32]), Rights::ALL, domain, [(1, generation)].into(), None);
        let (host, user) = ("host".to_owned(), "user".to_owned());
        keyring.name(Principal { key: signatory.public(), rights: Rights::ALL, host, user });
        let config = Config {
            salt: [5; 32],
            owners: vec![OwnerKeys { signing: signatory.public(), sealing }],
            threshold: 1,
            chunks: SizeClasses::DEFAULT,
            trees: TreeConstants::DEFAULT,
            pack_bytes: 1 << 20,
            extras: Extras::default(),
        };
        Self { keyring, signatory, config }
    }

    /// `before` and the repository: what a seal is bound to.
    pub(crate) fn bind(&self, before: &[u8]) -> Vec<u8> {
        [before, &self.keyring.repository.0].concat()
    }

    /// `plain` sealed behind `before`, without padding.
    pub(crate) fn seal(&self, key: &PurposeKey, before: &[u8], plain: &[u8]) -> Vec<u8> {
        seal(key, &self.bind(before), plain, Padding::Multiple(1), 0).expect("a short record can be sealed")
    }

    /// `object` and its signature.
    pub(crate) fn sign(&self, purpose: Purpose, mut object: Vec<u8>) -> Vec<u8> {
        let signature = self.signatory.sign(purpose, &self.keyring.repository, &object);
        object.extend(signature);
        object
    }

    /// The first bytes of an object, with the generation of its seal.
    pub(crate) fn start(&self, code: Code) -> Vec<u8> {
        [&head(code)[..], &self.keyring.newest().number.to_le_bytes()].concat()
    }
}

/// The first bytes of an object that goes on with `record` in the clear.
pub(crate) fn clear(code: Code, record: &[u8]) -> Vec<u8> {
    let len = u32::try_from(record.len()).expect("the fuzzer's inputs are short");
    [&head(code)[..], &len.to_le_bytes(), record].concat()
}
