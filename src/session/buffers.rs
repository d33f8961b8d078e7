//! Read buffers that are lent, not owned.
//!
//! Most clients are idle most of the time, and what a busy one sends is passed on as soon as it has come. So a connection
//! borrows a buffer when there is something to read and gives it back when nothing is left in it; a worker thread needs
//! as few as two, whatever the number of its clients.

use std::cell::RefCell;

use bytes::BytesMut;

use crate::limits::{RETAINED_BUFFER_BYTES, SPARE_BUFFERS};

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for `bytes` more, in a spare buffer where `buffer` has no memory of its own.
pub(super) fn make_room(buffer: &mut BytesMut, bytes: usize) {
    if buffer.capacity() == 0
        && let Some(spare) = SPARE.with_borrow_mut(Vec::pop)
    {
        *buffer = spare;
    }
    buffer.reserve(bytes);
}

/// Takes the memory of a buffer in which nothing is left.
pub(super) fn give_back(buffer: &mut BytesMut) {
    if !buffer.is_empty() {
        return;
    }
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_BUFFERS && buffer.capacity() > 0 && buffer.capacity() <= RETAINED_BUFFER_BYTES {
            spare.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    #[test]
    fn memory_goes_from_one_connection_to_the_next() {
        let (mut first, mut second) = (BytesMut::new(), BytesMut::new());
        make_room(&mut first, 1_000);
        first.extend_from_slice(b"request");
        let memory = first.as_ptr();
        give_back(&mut first);
        assert_eq!(&first[..], b"request", "what is left is not given away");
        first.advance(7);
        give_back(&mut first);
        assert_eq!(first.capacity(), 0);
        make_room(&mut second, 1_000);
        assert_eq!(second.as_ptr(), memory);
    }
}
