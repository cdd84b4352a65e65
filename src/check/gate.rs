//! [`Gate`]: bounds the bytes that threads hold at the same moment.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes that all threads together may hold, for each of them: a full pack of the usual length.
const BYTES_PER_THREAD: u64 = crate::repo::PACK_BYTES_DEFAULT as u64;

/// Lets threads take memory, as long as there is some of what all of them may take. One is always let in, however much it
/// wants: a pack may be longer than that.
pub(super) struct Gate {
    limit: u64,
    held: Mutex<u64>,
    changed: Condvar,
}

/// Bytes that a thread may hold until this is dropped.
pub(super) struct Held<'a> {
    gate: &'a Gate,
    bytes: u64,
}

impl Gate {
    pub(super) fn new() -> Self {
        let limit = BYTES_PER_THREAD * rayon::current_num_threads() as u64;
        Self { limit, held: Mutex::new(0), changed: Condvar::new() }
    }

    /// Waits until there is room. **Who holds bytes must not wait for more**, or all could wait for each other.
    pub(super) fn enter(&self, bytes: u64) -> Held<'_> {
        let is_full = |held: &mut u64| *held > 0 && held.saturating_add(bytes) > self.limit;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.changed.wait_while(held, is_full).unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_add(bytes);
        Held { gate: self, bytes }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.gate.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_sub(self.bytes);
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_the_gate_goes_through_alone() {
        let gate = Gate { limit: 10, held: Mutex::new(0), changed: Condvar::new() };
        let most = Mutex::new(0);
        std::thread::scope(|scope| {
            for bytes in [3, 7, 1, 25, 9, 10, 4] {
                let (gate, most) = (&gate, &most);
                scope.spawn(move || {
                    let _held = gate.enter(bytes);
                    let held = *gate.held.lock().unwrap();
                    assert!(held <= 10 || held == 25, "{held}");
                    let mut most = most.lock().unwrap();
                    *most = held.max(*most);
                });
            }
        });
        assert_eq!((*gate.held.lock().unwrap(), *most.lock().unwrap()), (0, 25));
    }
}
