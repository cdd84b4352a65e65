//! [`Preview`]: shows what a walk decides, and does nothing.

use std::io;

use super::decide::Decision;
use super::links::Standing;
use super::run::{Hands, Made, Run};
use crate::error::Result;
use crate::format::name::Name;
use crate::format::tree::Node;
use crate::target::TargetDir;

/// Looks at the target and changes nothing.
pub(super) struct Preview {
    /// The deepest folder on the way that is there.
    target: Option<TargetDir>,
    /// Levels below it that would be made first.
    missing: usize,
}

impl Preview {
    /// Of a target that may not be there.
    pub(super) const fn new(target: Option<TargetDir>) -> Self {
        Self { target, missing: 0 }
    }
}

impl Hands for Preview {
    fn folder(&self) -> Option<&TargetDir> {
        self.target.as_ref().filter(|_| self.missing == 0)
    }

    fn enter(&mut self, name: &Name, how: Decision) -> io::Result<()> {
        match &mut self.target {
            Some(target) if self.missing == 0 && matches!(how, Decision::Keep | Decision::Skip) => {
                target.descend(name)?
            }
            _ => self.missing += 1,
        }
        Ok(())
    }

    fn finish_folder(&mut self, _: &Node, _: &mut Run<'_, '_>) -> Result<()> {
        Ok(())
    }

    fn ascend(&mut self) -> io::Result<()> {
        match &mut self.target {
            Some(target) if self.missing == 0 => target.ascend()?,
            _ => self.missing -= 1,
        }
        Ok(())
    }

    fn make(&mut self, _: Node, _: Decision, _: &mut Run<'_, '_>) -> Result<Made> {
        Ok(Made::There)
    }

    fn keep(&mut self, _: &Node, _: &mut Run<'_, '_>) -> Result<()> {
        Ok(())
    }

    fn link(&mut self, _: &Name, _: Decision, at: usize, run: &mut Run<'_, '_>) -> io::Result<Standing> {
        // One name is enough to know that there are some.
        run.links.group(at).is_whole = true;
        Ok(run.standing(None))
    }

    fn remove(&mut self, _: &Name) -> io::Result<()> {
        Ok(())
    }

    fn rest(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        run.cx.cancel.check()
    }

    fn finish(&mut self, _: &mut Run<'_, '_>) -> Result<()> {
        Ok(())
    }

    fn abandon(&mut self, _: &mut Run<'_, '_>) {}
}
