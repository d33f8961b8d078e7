//! Ways in which a network may cut a stream into pieces.

/// Streams of up to so many bytes are cut at each place once.
const CUT_EVERYWHERE: usize = 24;
/// Streams of up to so many bytes are shown byte by byte as well.
const BYTE_BY_BYTE: usize = 256;

/// A way to cut a stream: the lengths of its pieces, again and again from the first.
#[derive(Debug)]
pub(crate) struct Cut(Vec<usize>);

impl Cut {
    /// Not cut.
    pub(crate) fn whole() -> Self {
        Self(vec![usize::MAX])
    }

    /// The pieces of `stream`, none of them empty.
    pub(crate) fn pieces<'a>(&'a self, mut stream: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().cycle().map_while(move |length| {
            let (piece, rest) = stream.split_at(stream.len().min(*length));
            stream = rest;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// Ways to cut `stream`, the same ones each time: byte by byte, at single places, and anyhow.
pub(crate) fn cuts(stream: &[u8]) -> Vec<Cut> {
    let mut cuts = Vec::new();
    if stream.len() <= BYTE_BY_BYTE {
        cuts.push(Cut(vec![1]));
    }
    let mut bits = stream
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mut below = |limit: usize| {
        bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        usize::try_from(bits >> 33).unwrap_or(0) % limit.max(1)
    };
    if stream.len() <= CUT_EVERYWHERE {
        cuts.extend((1..stream.len()).map(|place| Cut(vec![place, usize::MAX])));
    } else {
        cuts.extend((0..2).map(|_| Cut(vec![1 + below(stream.len()), usize::MAX])));
    }
    let longest = [3, 1 + stream.len() / 3];
    cuts.extend(longest.map(|longest| Cut((0..12).map(|_| 1 + below(longest)).collect())));
    cuts
}
