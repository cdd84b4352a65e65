//! [`Stream`]: a source that is read once, from beginning to end, such as what another program prints.

use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::format::tree::Node;

/// Bytes that come once.
#[derive(Clone)]
pub struct Stream(Arc<Shared>);

struct Shared {
    name: String,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) reader: Box<dyn Read + Send>,
    /// What it was stored as, once it was read.
    pub(super) stored: Option<Node>,
}

impl Stream {
    /// What `reader` gives. It **must fail**, and not end, when what it has given is not all. `name` is for messages.
    pub fn new(name: String, reader: Box<dyn Read + Send>) -> Self {
        Self(Arc::new(Shared { name, state: Mutex::new(State { reader, stored: None }) }))
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.0.name)
    }
}
