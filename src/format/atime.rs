//! The time of the last access in a node: an optional field, which programs that do not know it pass over.

use super::metadata::Timestamp;
use super::record::{FIRST_OPTIONAL_KEY, decode, encode};
use super::tree::Node;

/// Field of a node.
const ATIME_FIELD: u64 = FIRST_OPTIONAL_KEY;

/// How CBOR writes the key of the field.
const ATIME_KEY: [u8; 2] = [0x18, 64];
const _: () = assert!(ATIME_FIELD == 64);

impl Node {
    /// When it was last read, where that was saved. What is no time is none.
    pub fn atime(&self) -> Option<Timestamp> {
        self.extras.get(ATIME_FIELD).and_then(|cbor| decode(cbor).ok())
    }

    /// Keeps when it was last read, or that nobody wants to know.
    pub fn set_atime(&mut self, atime: Option<Timestamp>) {
        self.extras.set(ATIME_FIELD, atime.map(|atime| encode(&atime)));
    }
}

/// Whether an encoded node may have the field: a look at its bytes, for which it need not be decoded.
pub fn may_hold_atime(encoded: &[u8]) -> bool {
    encoded.windows(ATIME_KEY.len()).any(|bytes| bytes == ATIME_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::metadata::Owner;
    use crate::format::name::Name;
    use crate::format::record::Extras;
    use crate::format::tree::NodeKind;

    #[test]
    fn a_node_keeps_the_time_of_access_and_gives_it_up() {
        let name = Name::new(*b"fifo").unwrap();
        let (owner, mtime, xattrs, extras) = (Owner::default(), None, Vec::new(), Extras::default());
        let bare = Node { name, kind: NodeKind::Fifo, mode: 0o600, owner, mtime, xattrs, extras };
        assert!(!may_hold_atime(&encode(&bare)));
        let mut node = bare.clone();
        for atime in [Timestamp { secs: -5, nanos: 7 }, Timestamp { secs: i64::MAX, nanos: 999_999_999 }] {
            node.set_atime(Some(atime));
            let encoded = encode(&node);
            assert!(may_hold_atime(&encoded));
            let decoded: Node = decode(&encoded).unwrap();
            assert_eq!((&decoded, decoded.atime()), (&node, Some(atime)));
        }
        node.set_atime(None);
        assert_eq!((node.atime(), node), (None, bare));
    }
}
