//! Markers: what lies at a frame of a recording that a listener would want to know of (a gap, a key).
//!
//! Belongs here: their place in our header. Does not: what is worth a marker (`store`).
//!
//! They stand before the samples, in room of one size that is there from the start, so that frame *n* stays at its byte:
//!
//! ```text
//! cue  4 + 24 n           each marker's frame                       (neither of the two, while there is none)
//! LIST 4 + 36 n           adtl: each marker's words in a labl of 24 bytes
//! JUNK the rest
//! ```

/// So many markers have room, those that come first.
pub const MOST: usize = 32;
/// The room, in bytes.
pub(super) const BYTES: usize = CUE_HEAD + LIST_HEAD + MOST * (POINT + LABEL) + JUNK_HEAD;
const CUE_HEAD: usize = 12;
const POINT: usize = 24;
const LIST_HEAD: usize = 12;
const LABEL: usize = 8 + 4 + WORDS;
/// Words of a label, with the zero that ends them.
const WORDS: usize = 24;
const JUNK_HEAD: usize = 8;

/// A place in a recording, and words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Frames before it.
    pub frame: u64,
    /// At most 23 bytes of ASCII are kept.
    pub words: String,
}

/// The room with these markers in it. What cannot be counted in 32 bits (24 h at 48 kHz can) has no place in a WAV.
pub fn room(markers: &[Marker]) -> Vec<u8> {
    let markers: Vec<(u32, &str)> = markers
        .iter()
        .filter_map(|marker| Some((u32::try_from(marker.frame).ok()?, marker.words.as_str())))
        .take(MOST)
        .collect();
    let mut out = Vec::with_capacity(BYTES);
    if !markers.is_empty() {
        let count = markers.len() as u32;
        chunk(&mut out, b"cue ", 4 + count * POINT as u32);
        out.extend(count.to_le_bytes());
        for (id, (frame, _)) in (1_u32..).zip(&markers) {
            out.extend(id.to_le_bytes());
            out.extend(frame.to_le_bytes());
            out.extend(b"data");
            out.extend([0; 8]);
            out.extend(frame.to_le_bytes());
        }
        chunk(&mut out, b"LIST", 4 + count * LABEL as u32);
        out.extend(b"adtl");
        for (id, (_, words)) in (1_u32..).zip(&markers) {
            chunk(&mut out, b"labl", 4 + WORDS as u32);
            out.extend(id.to_le_bytes());
            let end = out.len() + WORDS;
            out.extend(words.bytes().filter(|byte| byte.is_ascii_graphic() || *byte == b' ').take(WORDS - 1));
            out.resize(end, 0);
        }
    }
    let rest = BYTES - out.len() - JUNK_HEAD;
    chunk(&mut out, b"JUNK", rest as u32);
    out.resize(BYTES, 0);
    out
}

/// The markers in such a room; none where it holds anything else.
pub fn read(room: &[u8]) -> Vec<Marker> {
    let u32_at = |at: usize| room.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let count = u32_at(8).unwrap_or(0) as usize;
    if room.get(..4) != Some(b"cue ") || count > MOST {
        return Vec::new();
    }
    let labels = CUE_HEAD + count * POINT + LIST_HEAD;
    let marker = |n: usize| {
        let label = labels + n * LABEL + 12;
        let words = room.get(label..label + WORDS)?.split(|byte| *byte == 0).next()?;
        Some(Marker { frame: u32_at(CUE_HEAD + n * POINT + 4)?.into(), words: String::from_utf8(words.to_vec()).ok()? })
    };
    (0..count).map_while(marker).collect()
}

fn chunk(out: &mut Vec<u8>, name: &[u8; 4], bytes: u32) {
    out.extend(name);
    out.extend(bytes.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markers(count: usize) -> Vec<Marker> {
        (0..count).map(|n| Marker { frame: n as u64 * 1_000, words: format!("gap storage {n}") }).collect()
    }

    #[test]
    fn the_room_has_one_size_and_what_is_in_it_comes_back() {
        for count in [0, 1, 2, MOST] {
            let room = room(&markers(count));
            assert_eq!(room.len(), BYTES);
            assert_eq!(read(&room), markers(count));
            // Chunk after chunk, to the last byte.
            let mut at = 0;
            while at < room.len() {
                at += 8 + u32::from_le_bytes(room[at + 4..at + 8].try_into().unwrap()) as usize;
                assert_eq!(at % 2, 0);
            }
            assert_eq!(at, BYTES);
        }
        assert_eq!(read(&room(&markers(MOST + 5))), markers(MOST), "those that come first");
    }

    #[test]
    fn words_are_cut_and_frames_beyond_32_bits_have_no_marker() {
        let long = Marker { frame: 5, words: "ä gap of a cause with a very long name".into() };
        let beyond = Marker { frame: 1 << 32, words: "key 5".into() };
        let kept = read(&room(&[long, beyond]));
        assert_eq!(kept, [Marker { frame: 5, words: " gap of a cause with a ".into() }]);
        for cut in 0..BYTES {
            let _ = read(&room(&markers(3))[..cut]);
        }
    }
}
