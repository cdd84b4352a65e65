//! `config`: the genesis of a repository, in the clear and signed by its owners.

use minicbor::Decoder;

use super::record::{
    self, Extras, Record, RecordError, Result, Writer, read_exact, read_list, read_map, read_public_key, read_tuple,
    required,
};
use super::tree::TreeConstants;
use super::{Code, head, split_u32, strip_head};
use crate::chunker::{SizeClass, SizeClasses};
use crate::id::RepositoryId;
use crate::keys::signing::{PublicSigningKey, Purpose, SIGNATURE_LEN, Signatory};
use crate::seal::hpke::DataPublicKey;

/// The longest `config` that is read, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// Packs may be made between these sizes, in bytes.
pub const PACK_BYTES_RANGE: std::ops::RangeInclusive<u32> = 1 << 20..=256 << 20;

const OWNERS_MAX: usize = 16;
const CLASSES_MAX: usize = 16;

/// The public keys of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerKeys {
    /// Statements are signed with its private half.
    pub signing: PublicSigningKey,
    /// Slot keys are sealed to it, so that an owner can seal bundles anew without anybody's passphrase.
    pub sealing: DataPublicKey,
}

/// What is fixed when a repository is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Random, so that no two repositories share an id.
    pub salt: [u8; 32],
    /// Version 1 has one.
    pub owners: Vec<OwnerKeys>,
    /// How many owners must sign a statement; 1 in version 1.
    pub threshold: u8,
    /// How contents are cut into chunks.
    pub chunks: SizeClasses,
    /// How folders and lists are cut into chunks.
    pub trees: TreeConstants,
    /// Length of a full pack in bytes.
    pub pack_bytes: u32,
    /// Fields of a newer version.
    pub extras: Extras,
}

impl Record for Config {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).bytes(&self.salt);
            fields.at(1).list(&self.owners, |out, owner| {
                out.array(2);
                out.bytes(&owner.signing.0);
                out.bytes(&owner.sealing.0);
            });
            fields.at(2).uint(self.threshold.into());
            fields.at(3).list(self.chunks.as_slice(), |out, class| {
                out.array(4);
                out.uint(class.from_offset);
                for size in [class.min, class.average, class.max] {
                    out.uint(size.into());
                }
            });
            self.trees.write(fields.at(4));
            fields.at(5).uint(self.pack_bytes.into());
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        let (mut salt, mut owners, mut threshold) = (None, Vec::new(), None);
        let (mut chunks, mut trees, mut pack_bytes) = (None, None, None);
        let extras = read_map(input, |key, input| {
            match key {
                0 => salt = Some(read_exact(input)?),
                1 => owners = read_list(input, OWNERS_MAX, "number of owners", read_owner)?,
                2 => threshold = Some(input.u8()?),
                3 => chunks = Some(read_classes(input)?),
                4 => trees = Some(TreeConstants::read(input)?),
                5 => pack_bytes = Some(input.u32()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let config = Self {
            salt: required(salt, "no salt")?,
            owners,
            threshold: required(threshold, "no threshold")?,
            chunks: required(chunks, "no chunk sizes")?,
            trees: required(trees, "no tree constants")?,
            pack_bytes: required(pack_bytes, "no pack size")?,
            extras,
        };
        if config.threshold == 0 || usize::from(config.threshold) > config.owners.len() {
            return Err(RecordError::Malformed("more owners must sign than there are, or none"));
        }
        if !PACK_BYTES_RANGE.contains(&config.pack_bytes) {
            return Err(RecordError::Malformed("pack size out of range"));
        }
        Ok(config)
    }
}

fn read_owner(input: &mut Decoder<'_>) -> Result<OwnerKeys> {
    read_tuple(input, 2)?;
    Ok(OwnerKeys { signing: PublicSigningKey(read_exact(input)?), sealing: read_public_key(input)? })
}

fn read_classes(input: &mut Decoder<'_>) -> Result<SizeClasses> {
    let classes = read_list(input, CLASSES_MAX, "number of chunk size classes", |input| {
        read_tuple(input, 4)?;
        Ok(SizeClass { from_offset: input.u64()?, min: input.u32()?, average: input.u32()?, max: input.u32()? })
    })?;
    SizeClasses::new(classes).map_err(|_| RecordError::Malformed("chunk size classes are out of range"))
}

/// There is no repository id yet when `config` is signed.
const NO_REPOSITORY: RepositoryId = RepositoryId([0; 32]);

/// The object: head, length of the record, record, then one index and signature for each owner who signs.
pub fn encode_object(config: &Config, owner: &Signatory) -> Vec<u8> {
    let record = record::encode(config);
    let mut object = head(Code::Config).to_vec();
    object.extend(u32::try_from(record.len()).expect("sixteen owners and classes are short").to_le_bytes());
    object.extend(record);
    let signature = owner.sign(Purpose::Config, &NO_REPOSITORY, &object);
    object.push(0);
    object.extend(signature);
    object
}

/// The config in an object and the id that the repository has by it.
///
/// # Errors
/// Another kind of object, a newer version, a malformed record, or not as many good signatures of owners as it asks for.
pub fn decode_object(object: &[u8]) -> std::result::Result<(Config, RepositoryId), super::ObjectError> {
    let rest = strip_head(Code::Config, object)?;
    let (len, rest) = split_u32(rest).ok_or(RecordError::Malformed("cut short"))?;
    let (bytes, signatures) = rest.split_at_checked(len as usize).ok_or(RecordError::Malformed("cut short"))?;
    let config: Config = record::decode(bytes)?;
    let signed = &object[..object.len() - signatures.len()];
    check_signatures(&config, signed, signatures)?;
    let id = RepositoryId(blake3::derive_key("caddis v0 repository id", object));
    Ok((config, id))
}

fn check_signatures(config: &Config, signed: &[u8], signatures: &[u8]) -> std::result::Result<(), super::ObjectError> {
    const ENTRY_LEN: usize = 1 + SIGNATURE_LEN;
    let (entries, rest) = signatures.as_chunks::<ENTRY_LEN>();
    if !rest.is_empty() || entries.len() != usize::from(config.threshold) || !entries.is_sorted_by(|a, b| a[0] < b[0]) {
        return Err(super::ObjectError::BadSignature);
    }
    for [owner, signature @ ..] in entries {
        let owner = config.owners.get(usize::from(*owner)).ok_or(super::ObjectError::BadSignature)?;
        if !owner.signing.verifies(Purpose::Config, &NO_REPOSITORY, signed, signature) {
            return Err(super::ObjectError::BadSignature);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::hpke::DataPrivateKey;

    fn sample() -> (Config, Signatory) {
        let owner = Signatory::from_seed(&[5; 32]);
        let config = Config {
            salt: [9; 32],
            owners: vec![OwnerKeys { signing: owner.public(), sealing: DataPrivateKey::from_seed(&[6; 32]).public() }],
            threshold: 1,
            chunks: SizeClasses::default(),
            trees: TreeConstants::DEFAULT,
            pack_bytes: 32 << 20,
            extras: Extras::default(),
        };
        (config, owner)
    }

    #[test]
    fn a_config_survives_and_any_changed_byte_is_found() {
        let (config, owner) = sample();
        let object = encode_object(&config, &owner);
        let (found, id) = decode_object(&object).unwrap();
        assert_eq!(found, config);
        for at in 0..object.len() {
            let mut changed = object.clone();
            changed[at] ^= 1;
            assert!(decode_object(&changed).is_err(), "byte {at}");
            assert!(decode_object(&object[..at]).is_err(), "cut at {at}");
        }
        // A known answer of our own: another value means that the format has changed.
        assert_eq!(id.short(), "0ebdad17");
    }

    #[test]
    fn a_config_signed_by_somebody_else_is_refused() {
        let (config, _) = sample();
        let object = encode_object(&config, &Signatory::from_seed(&[4; 32]));
        assert!(matches!(decode_object(&object), Err(super::super::ObjectError::BadSignature)));
    }
}
