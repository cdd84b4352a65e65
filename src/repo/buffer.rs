//! [`PackBuffer`]: memory for one pack, on a page boundary, so that a store can write it past the system's cache.

use crate::store::PAGE_BYTES;

/// Bytes that begin on a page boundary.
#[derive(Default)]
pub(super) struct PackBuffer {
    /// Longer than asked for by a page; safe code cannot ask for an alignment.
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl PackBuffer {
    /// So many zeros. Memory that is not written to is not taken from the system.
    pub(super) fn new(len: usize) -> Self {
        let memory = vec![0; len + PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES);
        // An offset that cannot be told only makes writing slower.
        Self { start: if start < PAGE_BYTES { start } else { 0 }, memory, len }
    }

    /// Grows to `len` bytes.
    pub(super) fn lengthen(&mut self, len: usize) {
        let mut longer = Self::new(len);
        longer.bytes_mut()[..self.len].copy_from_slice(self.bytes());
        *self = longer;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_lies_on_a_page_boundary_and_has_the_length_asked_for() {
        for len in [0, 1, 5000, 1 << 20] {
            let mut buffer = PackBuffer::new(len);
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(PAGE_BYTES));
            buffer.bytes_mut().fill(7);
            assert_eq!(buffer.bytes(), vec![7; len]);
            buffer.lengthen(len + 10);
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(PAGE_BYTES));
            assert_eq!(buffer.bytes(), [vec![7; len], vec![0; 10]].concat());
        }
    }
}
