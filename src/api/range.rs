//! Range headers.
//!
//! Belongs here: what one asks for, and which bytes that is. Does not: answering it (`content`).

/// What a Range header asks for, if it is one range that is well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// From this byte on, to this one at most, which is among them.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

/// Several ranges, other units and what is malformed are ignored: the whole is a valid answer.
pub fn wanted(range: Option<&str>) -> Option<Wanted> {
    let (from, to) = range?.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (from.trim(), to.trim()) {
        ("", last) => number(last).map(Wanted::Last),
        (from, "") => number(from).map(|from| Wanted::From(from, None)),
        (from, to) => {
            let (from, to) = (number(from)?, number(to)?);
            (from <= to).then_some(Wanted::From(from, Some(to)))
        }
    }
}

/// The bytes that are meant of `length`: the first, and the one behind the last. `None` if there are none.
pub fn resolve(wanted: Wanted, length: u64) -> Option<(u64, u64)> {
    let (start, end) = match wanted {
        Wanted::From(start, to) => (start, to.map_or(length, |to| to.saturating_add(1).min(length))),
        Wanted::Last(count) => (length.saturating_sub(count), length),
    };
    (start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_well_formed_range_is_understood_and_all_else_ignored() {
        assert_eq!(wanted(Some("bytes=0-9")), Some(Wanted::From(0, Some(9))));
        assert_eq!(wanted(Some("bytes=5-")), Some(Wanted::From(5, None)));
        assert_eq!(wanted(Some("bytes=-5")), Some(Wanted::Last(5)));
        for range in ["bytes=", "bytes=-", "bytes=9-0", "bytes=0-1,3-4", "frames=0-1", "bytes=+1-2", "bytes=1-x", "0-1"]
        {
            assert_eq!(wanted(Some(range)), None, "{range}");
        }
    }

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        assert_eq!(resolve(Wanted::From(2, None), 10), Some((2, 10)));
        assert_eq!(resolve(Wanted::From(2, Some(u64::MAX)), 10), Some((2, 10)));
        assert_eq!(resolve(Wanted::Last(100), 10), Some((0, 10)));
        assert_eq!(resolve(Wanted::From(10, None), 10), None);
        assert_eq!(resolve(Wanted::Last(0), 10), None);
    }
}
