//! What an item gets besides its content, read from its node.

use super::run::Run;
use crate::error::Result;
use crate::format::tree::Node;
use crate::target::Attributes;
use crate::tree::xattrs::read_xattrs;

impl Run<'_, '_> {
    pub(super) fn attributes(&mut self, node: &Node) -> Result<Attributes> {
        let mut lost = Vec::new();
        let xattrs = read_xattrs(self.reader, &node.xattrs, &mut |what| lost.push(what))?;
        lost.into_iter().for_each(|what| self.problem(what));
        let (owner, atime) = (node.owner.clone(), node.atime());
        Ok(Attributes { mode: node.mode, owner, atime, mtime: node.mtime, xattrs })
    }
}
