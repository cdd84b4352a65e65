//! [`Sink`]: a session as the place where chunks of trees go.

use crate::error::Result;
use crate::format::tree::TreeConstants;
use crate::id::ChunkId;
use crate::keys::domain::{ChunkKind, DedupDomain};
use crate::progress::Context;
use crate::repo::session::{Origin, Session};
use crate::tree::build::ChunkSink;

/// A session as the place where chunks of trees go.
pub(crate) struct Sink<'s, 'r, 'c> {
    pub(crate) session: &'s mut Session<'r>,
    pub(crate) cx: &'s Context<'c>,
}

impl ChunkSink for Sink<'_, '_, '_> {
    fn store_chunk(&mut self, kind: ChunkKind, plain: &[u8]) -> Result<ChunkId> {
        self.session.store(kind, Origin::Tree, plain, self.cx)
    }

    fn domain(&self) -> &DedupDomain {
        &self.session.repository().keyring.domain
    }

    fn constants(&self) -> &TreeConstants {
        &self.session.repository().config.trees
    }
}
