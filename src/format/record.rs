//! Records: canonical CBOR (RFC 8949, section 4.2.1) maps with integer keys.
//!
//! A record is accepted only if encoding it again gives the same bytes, so that one meaning has one form and a hash or a
//! signature covers the meaning. Keys below [`FIRST_OPTIONAL_KEY`] are critical: a reader that does not know one refuses
//! the record. Keys from there on are kept and ignored.

use minicbor::decode::Error as CborError;
use minicbor::{Decoder, Encoder};
use zeroize::Zeroize;

use crate::seal::hpke::DataPublicKey;

/// Unknown keys from here on are kept and ignored; unknown keys below are refused.
pub const FIRST_OPTIONAL_KEY: u64 = 64;

/// The most fields that a record may have, known and unknown.
const FIELDS_MAX: u64 = 128;

/// Why some bytes are not the record they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes do not have the form of the record.
    #[error("malformed record: {0}")]
    Malformed(&'static str),
    /// The bytes are not CBOR of the type wanted.
    #[error("malformed record: {0}")]
    Cbor(String),
    /// Something in it is longer than the format allows.
    #[error("{0} beyond the format's limit")]
    Limit(&'static str),
    /// Encoding it again gives other bytes.
    #[error("record is not in canonical form")]
    NotCanonical,
    /// A newer version of the program wrote something that must be understood.
    #[error("{what} {code} is unknown to this version of caddis; a newer one is needed")]
    Newer {
        /// What kind of thing is unknown: a field, a statement, a feature.
        what: &'static str,
        /// Its number.
        code: u64,
    },
}

impl From<CborError> for RecordError {
    fn from(error: CborError) -> Self {
        Self::Cbor(error.to_string())
    }
}

/// Result of decoding.
pub type Result<T> = std::result::Result<T, RecordError>;

/// Something with one canonical form in CBOR.
pub trait Record: Sized {
    /// Whether it holds secrets: its encoded form is then wiped wherever this module makes one.
    const IS_SECRET: bool = false;

    /// Appends the canonical form.
    fn write(&self, out: &mut Writer);

    /// Reads one value; not yet checked to be canonical.
    fn read(input: &mut Decoder<'_>) -> Result<Self>;
}

/// The canonical form of `record`. Of a secret one the caller wipes it.
pub fn encode<T: Record>(record: &T) -> Vec<u8> {
    let mut out = if T::IS_SECRET { Writer::wiping() } else { Writer::new() };
    record.write(&mut out);
    out.into_bytes()
}

/// The canonical form of `record`, which has been read back: a record that is put and then refused by every reader is lost.
///
/// # Errors
/// What a reader would say, such as a text that is longer than the format allows.
pub fn encode_readable<T: Record>(record: &T) -> Result<Vec<u8>> {
    let bytes = encode(record);
    decode::<T>(&bytes).map(|_| bytes)
}

/// A byte string of a record that is not trusted yet: whoever it names must have signed it before the rest is read.
pub fn peek_bytes(bytes: &[u8], field: u64) -> Result<&[u8]> {
    let mut input = Decoder::new(bytes);
    let count = input.map()?.ok_or(RecordError::NotCanonical)?;
    for _ in 0..count.min(FIELDS_MAX) {
        if input.u64()? == field {
            return Ok(input.bytes()?);
        }
        input.skip()?;
    }
    Err(RecordError::Malformed("a record does not say who made it"))
}

/// The record that `bytes` are the canonical form of.
///
/// # Errors
/// Anything that [`encode`] would not have written.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T> {
    let mut input = Decoder::new(bytes);
    let record = T::read(&mut input)?;
    if input.position() != bytes.len() {
        return Err(RecordError::Malformed("bytes after the end"));
    }
    let mut again = encode(&record);
    let is_canonical = again == bytes;
    if T::IS_SECRET {
        again.zeroize();
    }
    if is_canonical { Ok(record) } else { Err(RecordError::NotCanonical) }
}

/// Appends CBOR values to a buffer. Writing to memory cannot fail.
pub struct Writer {
    cbor: Encoder<Vec<u8>>,
    is_wiping: bool,
}

/// Room at the start for a record with secrets, so that it is not copied while it grows.
const SECRET_BYTES: usize = 1024;

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_wiping {
            self.cbor.writer_mut().zeroize();
        }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// Begins with nothing.
    pub fn new() -> Self {
        Self { cbor: Encoder::new(Vec::new()), is_wiping: false }
    }

    /// Begins with nothing, and wipes what it wrote when it is dropped.
    fn wiping() -> Self {
        Self { cbor: Encoder::new(Vec::with_capacity(SECRET_BYTES)), is_wiping: true }
    }

    /// All that was written.
    pub fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(self.cbor.writer_mut())
    }

    /// Bytes written so far.
    #[allow(clippy::len_without_is_empty)] // a writer's position, not a collection
    pub fn len(&self) -> usize {
        self.cbor.writer().len()
    }

    /// An unsigned integer in its shortest form.
    pub fn uint(&mut self, value: u64) {
        self.cbor.u64(value).expect("writing to memory cannot fail");
    }

    /// A signed integer in its shortest form.
    pub fn int(&mut self, value: i64) {
        self.cbor.i64(value).expect("writing to memory cannot fail");
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.cbor.bytes(value).expect("writing to memory cannot fail");
    }

    /// A text string.
    pub fn text(&mut self, value: &str) {
        self.cbor.str(value).expect("writing to memory cannot fail");
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) {
        self.cbor.bool(value).expect("writing to memory cannot fail");
    }

    /// Nothing.
    pub fn null(&mut self) {
        self.cbor.null().expect("writing to memory cannot fail");
    }

    /// The head of an array of `len` values that follow.
    pub fn array(&mut self, len: usize) {
        self.cbor.array(len as u64).expect("writing to memory cannot fail");
    }

    /// An array of what `write` writes for each item.
    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.array(items.len());
        for item in items {
            write(self, item);
        }
    }

    /// Bytes that are CBOR already.
    pub fn raw(&mut self, cbor: &[u8]) {
        self.cbor.writer_mut().extend_from_slice(cbor);
    }

    /// A map; `fill` puts its fields in ascending order of their keys.
    pub fn map(&mut self, fill: impl FnOnce(&mut Fields<'_>)) {
        let start = self.len();
        let mut fields = Fields { count: 0, last: None, out: self };
        fill(&mut fields);
        let count = fields.count;
        // How long the head is shows when the fields have been counted: it comes last and is turned to the front.
        let end = self.len();
        self.cbor.map(count).expect("writing to memory cannot fail");
        let head_len = self.len() - end;
        self.cbor.writer_mut()[start..].rotate_right(head_len);
    }
}

/// Fields of a map that is being written.
pub struct Fields<'a> {
    count: u64,
    last: Option<u64>,
    out: &'a mut Writer,
}

impl Fields<'_> {
    /// The value of `key` is what is written to the result. **Keys must ascend**, which is asserted.
    pub fn at(&mut self, key: u64) -> &mut Writer {
        assert!(self.last.is_none_or(|last| last < key), "keys of a record ascend");
        self.last = Some(key);
        self.count += 1;
        self.out.uint(key);
        self.out
    }

    /// Writes the field only when there is a value.
    pub fn maybe<T>(&mut self, key: u64, value: Option<T>, write: impl FnOnce(&mut Writer, T)) {
        if let Some(value) = value {
            write(self.at(key), value);
        }
    }

    /// Puts back what [`read_map`] kept.
    pub fn extras(&mut self, extras: &Extras) {
        for (key, cbor) in &extras.0 {
            self.at(*key).raw(cbor);
        }
    }
}

/// Fields with optional keys that this version does not know, as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras(Vec<(u64, Vec<u8>)>);

impl Extras {
    /// Bytes in memory, without what an allocation takes besides.
    pub fn held_bytes(&self) -> usize {
        size_of_val(&self.0[..]) + self.0.iter().map(|(_, cbor)| cbor.len()).sum::<usize>()
    }

    /// The encoded value of a field.
    pub fn get(&self, key: u64) -> Option<&[u8]> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(&self.0[at].1)
    }

    /// Puts a field in its place, or takes it away. `key` **must be optional**.
    pub fn set(&mut self, key: u64, cbor: Option<Vec<u8>>) {
        assert!(key >= FIRST_OPTIONAL_KEY, "a field that must be known has its place in the record");
        let at = self.0.partition_point(|(other, _)| *other < key);
        if self.0.get(at).is_some_and(|(other, _)| *other == key) {
            self.0.remove(at);
        }
        if let Some(cbor) = cbor {
            self.0.insert(at, (key, cbor));
        }
    }
}

/// Reads a map. `field` gets each key in turn and reads its value; it answers false for a key that it does not know.
///
/// # Errors
/// An unknown critical key is [`RecordError::Newer`]; so the record is refused and what is needed is said.
pub fn read_map<'b>(
    input: &mut Decoder<'b>,
    mut field: impl FnMut(u64, &mut Decoder<'b>) -> Result<bool>,
) -> Result<Extras> {
    let count = input.map()?.ok_or(RecordError::NotCanonical)?;
    if count > FIELDS_MAX {
        return Err(RecordError::Limit("number of fields"));
    }
    let mut extras = Extras::default();
    let mut last = None;
    for _ in 0..count {
        let key = input.u64()?;
        if last.is_some_and(|last| last >= key) {
            return Err(RecordError::NotCanonical);
        }
        last = Some(key);
        if field(key, input)? {
            continue;
        }
        if key < FIRST_OPTIONAL_KEY {
            return Err(RecordError::Newer { what: "field", code: key });
        }
        let start = input.position();
        input.skip()?;
        extras.0.push((key, input.input()[start..input.position()].to_vec()));
    }
    Ok(extras)
}

/// Reads a byte string of at most `limit` bytes.
pub fn read_bytes<'b>(input: &mut Decoder<'b>, limit: usize, what: &'static str) -> Result<&'b [u8]> {
    let bytes = input.bytes()?;
    if bytes.len() > limit {
        return Err(RecordError::Limit(what));
    }
    Ok(bytes)
}

/// Reads a byte string of exactly `N` bytes.
pub fn read_exact<const N: usize>(input: &mut Decoder<'_>) -> Result<[u8; N]> {
    input.bytes()?.try_into().map_err(|_| RecordError::Malformed("a fixed-width field has another width"))
}

/// Reads a public key that others seal to.
pub fn read_public_key(input: &mut Decoder<'_>) -> Result<DataPublicKey> {
    let refused = RecordError::Malformed("a public key is a point of low order, or not in its one form");
    DataPublicKey::from_bytes(read_exact(input)?).ok_or(refused)
}

/// Reads a text of at most `limit` bytes.
pub fn read_text(input: &mut Decoder<'_>, limit: usize, what: &'static str) -> Result<String> {
    let text = input.str()?;
    if text.len() > limit {
        return Err(RecordError::Limit(what));
    }
    Ok(text.to_owned())
}

/// Reads the head of an array of at most `limit` values, each at least one byte long.
pub fn read_array(input: &mut Decoder<'_>, limit: usize, what: &'static str) -> Result<usize> {
    let len = input.array()?.ok_or(RecordError::NotCanonical)?;
    let left = input.input().len() - input.position();
    let len = usize::try_from(len).map_err(|_| RecordError::Limit(what))?;
    if len > limit {
        return Err(RecordError::Limit(what));
    }
    if len > left {
        return Err(RecordError::Malformed("an array is longer than its record"));
    }
    Ok(len)
}

/// Reads an array of exactly `len` values.
pub fn read_tuple(input: &mut Decoder<'_>, len: usize) -> Result<()> {
    if input.array()? == Some(len as u64) { Ok(()) } else { Err(RecordError::Malformed("a tuple has another length")) }
}

/// Reads an array of at most `limit` values.
pub fn read_list<'b, T>(
    input: &mut Decoder<'b>,
    limit: usize,
    what: &'static str,
    mut read: impl FnMut(&mut Decoder<'b>) -> Result<T>,
) -> Result<Vec<T>> {
    let len = read_array(input, limit, what)?;
    (0..len).map(|_| read(input)).collect()
}

/// The value of a field that a record cannot do without.
pub fn required<T>(value: Option<T>, missing: &'static str) -> Result<T> {
    value.ok_or(RecordError::Malformed(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Sample {
        number: u64,
        extras: Extras,
    }

    impl Record for Sample {
        fn write(&self, out: &mut Writer) {
            out.map(|fields| {
                fields.at(0).uint(self.number);
                fields.extras(&self.extras);
            });
        }

        fn read(input: &mut Decoder<'_>) -> Result<Self> {
            let mut number = None;
            let extras = read_map(input, |key, input| {
                match key {
                    0 => number = Some(input.u64()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            Ok(Self { number: required(number, "no number")?, extras })
        }
    }

    #[test]
    fn an_unknown_optional_field_is_kept_and_an_unknown_critical_one_is_refused() {
        let kept = [0xa2, 0x00, 0x07, 0x18, 64, 0x61, b'x'];
        let sample: Sample = decode(&kept).unwrap();
        assert_eq!(sample.number, 7);
        assert_eq!(encode(&sample), kept);
        let refused = [0xa2, 0x00, 0x07, 0x18, 63, 0x61, b'x'];
        assert_eq!(decode::<Sample>(&refused), Err(RecordError::Newer { what: "field", code: 63 }));
    }

    #[test]
    fn a_map_of_many_fields_inside_another_has_its_head_in_front() {
        let mut out = Writer::new();
        out.map(|fields| {
            fields.at(1).map(|fields| (0..30).for_each(|key| fields.at(key).null()));
            fields.at(2).text("end");
        });
        let bytes = out.into_bytes();
        assert_eq!(bytes[..6], [0xa2, 0x01, 0xb8, 30, 0x00, 0xf6]);
        assert!(bytes.ends_with(&[0x18, 29, 0xf6, 0x02, 0x63, b'e', b'n', b'd']));
    }

    #[test]
    fn only_the_canonical_form_is_accepted() {
        for other in [
            &[0xa1, 0x00, 0x18, 0x07][..],       // an integer that is not in its shortest form
            &[0xbf, 0x00, 0x07, 0xff],           // indefinite length
            &[0xa1, 0x18, 0x00, 0x07],           // a key that is not in its shortest form
            &[0xa2, 0x18, 64, 0x01, 0x00, 0x07], // keys that do not ascend
            &[0xa2, 0x00, 0x07, 0x00, 0x07],     // a key twice
            &[0xa1, 0x00, 0x07, 0x00],           // bytes after the end
        ] {
            assert!(decode::<Sample>(other).is_err(), "{other:x?}");
        }
        assert!(decode::<Sample>(&[0xa1, 0x00, 0x07]).is_ok());
    }

    #[test]
    fn an_array_longer_than_its_record_is_refused_before_anything_is_allocated() {
        let mut input = Decoder::new(&[0x9a, 0x00, 0xff, 0xff, 0xff]);
        assert!(read_array(&mut input, usize::MAX, "length").is_err());
    }
}
