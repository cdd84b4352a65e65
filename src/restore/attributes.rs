//! What an item gets besides its content, read from its node.

use super::Restorer;
use crate::error::{Result, with_causes};
use crate::format::metadata::Xattr;
use crate::format::tree::Node;
use crate::repo::fetch::is_damage;
use crate::target::Attributes;
use crate::tree::xattrs::read_value;

impl Restorer<'_, '_> {
    pub(super) fn attributes(&mut self, node: &Node) -> Result<Attributes> {
        let mut xattrs = Vec::with_capacity(node.xattrs.len());
        for xattr in &node.xattrs {
            match read_value(self.reader, &xattr.value) {
                Ok(value) => xattrs.push(Xattr { name: xattr.name.clone(), value }),
                Err(error) if is_damage(&error) => {
                    let name = xattr.name.escape_ascii();
                    self.problem(
                        &self.path.absolute(),
                        format!("the extended attribute {name} is lost: {}", with_causes(&error)),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Attributes { mode: node.mode, owner: node.owner.clone(), mtime: node.mtime, xattrs })
    }
}
