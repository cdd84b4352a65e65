//! Snapshots: a header that every principal can read and a body for readers only, signed by the writer.

use minicbor::Decoder;

use super::charter::HEADS_MAX;
use super::log::{bind, principal};
use super::metadata::Timestamp;
use super::record::{
    self, Extras, Record, RecordError, Writer, read_bytes, read_exact, read_list, read_map, read_text, required,
};
use super::{Code, EncodeError, ObjectError, head, split_u32, strip_head};
use crate::id::{ChunkId, PrincipalId, RepositoryId, SnapshotId, StatementId};
use crate::keys::keyring::{Keyring, Rights};
use crate::keys::signing::{Purpose, SIGNATURE_LEN, Signatory};
use crate::seal::hpke::{Encapsulation, Exporter};
use crate::seal::record::{Padding, PurposeKey, seal, unseal};

/// The longest snapshot that is read, in bytes.
pub const SNAPSHOT_BYTES_MAX: u64 = 16 << 20;

/// The longest label, tag, host or user name in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Field of a header that says who wrote it.
const WRITER_FIELD: u64 = 0;

/// The most paths, tags or hosts of a snapshot.
pub const TEXTS_MAX: usize = 65_536;
const PATH_BYTES_MAX: usize = 1 << 20;

/// What every principal may know of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who wrote it.
    pub writer: PrincipalId,
    /// The newest snapshots that the writer knew: the graph by which a withheld snapshot is noticed.
    pub heads: Vec<SnapshotId>,
    /// The snapshot that this one brings back, or stands for.
    pub original: Option<SnapshotId>,
    /// When the backup began.
    pub time: Timestamp,
    /// What retention counts by, together with writer and paths.
    pub label: Option<String>,
    /// The newest statements of the charter that the writer knew.
    pub charter_heads: Vec<StatementId>,
    /// BLAKE3 of the sealed body as stored.
    pub body_hash: [u8; 32],
    /// Fields of a newer version.
    pub extras: Extras,
}

/// What only readers may know of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The folder that stands for `/`.
    pub root: ChunkId,
    /// The list of the table of hard links, if there are any.
    pub links: Option<TableRef>,
    /// The list of the table of birth times, if any are known.
    pub births: Option<TableRef>,
    /// Names of the machines that it shows; one, unless it was merged.
    pub hosts: Vec<String>,
    /// The user who made it.
    pub user: String,
    /// What was backed up, absolute, in any bytes.
    pub paths: Vec<Vec<u8>>,
    /// Free words, sorted.
    pub tags: Vec<String>,
    /// Whether some item of the source is missing in it.
    pub partial: bool,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// Counts for people.
    pub summary: Summary,
    /// Fields of a newer version.
    pub extras: Extras,
}

/// A table that a snapshot refers to: a list of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRef {
    /// The root of the list.
    pub list: ChunkId,
    /// Sum of the plain lengths of its chunks.
    pub bytes: u64,
}

/// What a backup found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symlinks, pipes, devices.
    pub others: u64,
    /// Bytes of all regular files, holes included.
    pub bytes: u64,
    /// Bytes of chunks that were new.
    pub new_bytes: u64,
    /// Bytes of the packs put for them.
    pub stored_bytes: u64,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl Record for Header {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(WRITER_FIELD).bytes(&self.writer.0);
            fields.at(1).list(&self.heads, |out, id| out.bytes(&id.0));
            fields.maybe(2, self.original, |out, id| out.bytes(&id.0));
            self.time.write(fields.at(3));
            fields.maybe(4, self.label.as_deref(), Writer::text);
            fields.at(5).list(&self.charter_heads, |out, id| out.bytes(&id.0));
            fields.at(6).bytes(&self.body_hash);
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let (mut writer, mut heads, mut original, mut time) = (None, Vec::new(), None, None);
        let (mut label, mut charter_heads, mut body_hash) = (None, Vec::new(), None);
        let extras = read_map(input, |key, input| {
            match key {
                WRITER_FIELD => writer = Some(PrincipalId(read_exact(input)?)),
                1 => heads = read_list(input, HEADS_MAX, "number of heads", |i| Ok(SnapshotId(read_exact(i)?)))?,
                2 => original = Some(SnapshotId(read_exact(input)?)),
                3 => time = Some(Timestamp::read(input)?),
                4 => label = Some(read_text(input, TEXT_BYTES_MAX, "label")?),
                5 => {
                    charter_heads =
                        read_list(input, HEADS_MAX, "number of heads", |i| Ok(StatementId(read_exact(i)?)))?;
                }
                6 => body_hash = Some(read_exact(input)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self {
            writer: required(writer, "no writer")?,
            heads,
            original,
            time: required(time, "no time")?,
            label,
            charter_heads,
            body_hash: required(body_hash, "no hash of the body")?,
            extras,
        })
    }
}

impl Record for TableRef {
    fn write(&self, out: &mut Writer) {
        out.array(2);
        out.bytes(&self.list.0);
        out.uint(self.bytes);
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        record::read_tuple(input, 2)?;
        Ok(Self { list: ChunkId(read_exact(input)?), bytes: input.u64()? })
    }
}

impl Record for Summary {
    fn write(&self, out: &mut Writer) {
        let Self { files, folders, others, bytes, new_bytes, stored_bytes, millis } = *self;
        out.list(&[files, folders, others, bytes, new_bytes, stored_bytes, millis], |out, &n| out.uint(n));
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        record::read_tuple(input, 7)?;
        Ok(Self {
            files: input.u64()?,
            folders: input.u64()?,
            others: input.u64()?,
            bytes: input.u64()?,
            new_bytes: input.u64()?,
            stored_bytes: input.u64()?,
            millis: input.u64()?,
        })
    }
}

impl Record for Body {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).bytes(&self.root.0);
            fields.maybe(1, self.links, |out, table| table.write(out));
            fields.maybe(2, self.births, |out, table| table.write(out));
            fields.at(3).list(&self.hosts, |out, host| out.text(host));
            fields.at(4).text(&self.user);
            fields.at(5).list(&self.paths, |out, path| out.bytes(path));
            fields.at(6).list(&self.tags, |out, tag| out.text(tag));
            fields.maybe(7, self.partial.then_some(true), Writer::bool);
            fields.at(8).text(&self.program_version);
            self.summary.write(fields.at(9));
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let (mut root, mut links, mut births, mut hosts, mut user) = (None, None, None, Vec::new(), None);
        let (mut paths, mut tags, mut partial) = (Vec::new(), Vec::new(), false);
        let (mut program_version, mut summary) = (None, None);
        let text = |what| move |input: &mut Decoder<'_>| read_text(input, TEXT_BYTES_MAX, what);
        let extras = read_map(input, |key, input| {
            match key {
                0 => root = Some(ChunkId(read_exact(input)?)),
                1 => links = Some(TableRef::read(input)?),
                2 => births = Some(TableRef::read(input)?),
                3 => hosts = read_list(input, TEXTS_MAX, "number of hosts", text("host name"))?,
                4 => user = Some(read_text(input, TEXT_BYTES_MAX, "user name")?),
                5 => {
                    paths = read_list(input, TEXTS_MAX, "number of paths", |input| {
                        Ok(read_bytes(input, PATH_BYTES_MAX, "path")?.to_vec())
                    })?;
                }
                6 => tags = read_list(input, TEXTS_MAX, "number of tags", text("tag"))?,
                7 => partial = input.bool()?,
                8 => program_version = Some(read_text(input, TEXT_BYTES_MAX, "program version")?),
                9 => summary = Some(Summary::read(input)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if !tags.is_sorted_by(|a, b| a < b) {
            return Err(RecordError::Malformed("tags are not sorted"));
        }
        Ok(Self {
            root: required(root, "no root")?,
            links,
            births,
            hosts,
            user: required(user, "no user")?,
            paths,
            tags,
            partial,
            program_version: required(program_version, "no program version")?,
            summary: required(summary, "no summary")?,
            extras,
        })
    }
}

/// A body sealed for readers: HPKE encapsulation, then the record under the exported key.
pub struct SealedBody(Vec<u8>);

impl SealedBody {
    /// What the header says of the body.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }
}

/// Seals a body to the newest generation's data key.
pub fn seal_body(body: &Body, keyring: &Keyring) -> Result<SealedBody, EncodeError> {
    let (encapsulation, exporter) = keyring.newest().encapsulate(&body_info(&keyring.repository))?;
    let mut sealed = encapsulation.0.to_vec();
    let binding = bind(&sealed, &keyring.repository);
    let plain = record::encode_readable(body)?;
    sealed.extend(seal(&body_key(&exporter), &binding, &plain, Padding::SMALL, ENCAPSULATION_LEN)?);
    Ok(SealedBody(sealed))
}

/// The object: head, generation, length of the sealed header, sealed header, sealed body, signature. The header says the
/// body's hash and the signature covers all, so that neither can be exchanged.
pub fn encode_object(
    header: &Header,
    body: &SealedBody,
    keyring: &Keyring,
    writer: &Signatory,
) -> Result<Vec<u8>, EncodeError> {
    let keys = keyring.newest();
    let mut object = head(Code::Snapshot).to_vec();
    object.extend(keys.number.to_le_bytes());
    let binding = bind(&object, &keyring.repository);
    let surrounding = object.len() + LEN_FIELD + SIGNATURE_LEN;
    let sealed = seal(&keys.log, &binding, &record::encode_readable(header)?, Padding::SMALL, surrounding)?;
    object.extend(u32::try_from(sealed.len()).expect("a thousand heads are short").to_le_bytes());
    object.extend(sealed);
    object.extend(&body.0);
    let signature = writer.sign(Purpose::Snapshot, &keyring.repository, &object);
    object.extend(signature);
    Ok(object)
}

/// Whether a snapshot with these tags has the one that is wanted; of several joined by `,`, all.
pub fn have_all_tags(tags: &[String], wanted: &str) -> bool {
    wanted.split(',').all(|wanted| tags.iter().any(|own| own == wanted))
}

/// A snapshot whose header is open and whose signature has been verified.
#[derive(Debug)]
pub struct SealedSnapshot {
    /// What every principal may know.
    pub header: Header,
    generation: u32,
    body: Vec<u8>,
}

/// Opens the header of a snapshot and verifies its signature.
pub fn decode_object(object: &[u8], keyring: &Keyring) -> Result<SealedSnapshot, ObjectError> {
    let rest = strip_head(Code::Snapshot, object)?;
    let cut_short = || RecordError::Malformed("cut short");
    let (generation, rest) = split_u32(rest).ok_or_else(cut_short)?;
    let binding = bind(&object[..object.len() - rest.len()], &keyring.repository);
    let (len, rest) = split_u32(rest).ok_or_else(cut_short)?;
    let (rest, signature) = rest.split_last_chunk::<SIGNATURE_LEN>().ok_or_else(cut_short)?;
    let (sealed, body) = rest.split_at_checked(len as usize).ok_or_else(cut_short)?;
    let keys = keyring.generations.get(&generation).ok_or(ObjectError::UnknownGeneration(generation))?;
    let plain = unseal(&keys.log, &binding, sealed)?;
    let writer = record::peek_bytes(&plain, WRITER_FIELD)?;
    let writer = PrincipalId(writer.try_into().map_err(|_| RecordError::Malformed("a writer is no principal"))?);
    let signed = &object[..object.len() - SIGNATURE_LEN];
    let writer = principal(keyring, writer)?;
    if !writer.key.verifies(Purpose::Snapshot, &keyring.repository, signed, signature) {
        return Err(ObjectError::BadSignature);
    }
    if !writer.rights.contains(Rights::WRITE) {
        return Err(ObjectError::NotPermitted(Rights::WRITE));
    }
    let header: Header = record::decode(&plain)?;
    if *blake3::hash(body).as_bytes() != header.body_hash {
        return Err(RecordError::Malformed("the header belongs to another body").into());
    }
    Ok(SealedSnapshot { header, generation, body: body.to_vec() })
}

impl SealedSnapshot {
    /// The body; for readers only.
    pub fn open_body(&self, keyring: &Keyring) -> Result<Body, ObjectError> {
        let cut_short = || RecordError::Malformed("cut short");
        let (encapsulation, sealed) = self.body.split_first_chunk::<ENCAPSULATION_LEN>().ok_or_else(cut_short)?;
        let keys = keyring.generations.get(&self.generation).ok_or(ObjectError::UnknownGeneration(self.generation))?;
        let exporter = keys.decapsulate(&Encapsulation(*encapsulation), &body_info(&keyring.repository))?;
        let plain = unseal(&body_key(&exporter), &bind(encapsulation, &keyring.repository), sealed)?;
        Ok(record::decode(&plain)?)
    }
}

const ENCAPSULATION_LEN: usize = 32;
const LEN_FIELD: usize = size_of::<u32>();

fn body_info(repository: &RepositoryId) -> Vec<u8> {
    [&b"caddis v0 snapshot body"[..], &repository.0].concat()
}

fn body_key(exporter: &Exporter) -> PurposeKey {
    PurposeKey::new(exporter.export("caddis v0 snapshot body key"))
}
