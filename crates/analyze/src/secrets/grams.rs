//! Tells where in a text one of many keywords may begin, at a fixed price per byte.
//!
//! Of each keyword four neighbouring bytes are chosen that are rare in text, which makes two overlapping groups of
//! three. One table, indexed by a hash of three bytes, says of each group whether it is the first or the second of a
//! keyword's; a keyword may stand where a first is followed by a second. The hashes of a block are computed side by side,
//! and one look-up waits for no other, unlike the steps of an automaton. Case is folded by setting a bit.
//!
//! Invariant: every keyword is offered wherever it stands, in any spelling; what is offered may be no keyword.

use super::opening::Bytes;
use super::rule::begins_word;

/// Positions that are looked at together.
const BLOCK: usize = 64;

/// The bytes that a block's positions look at.
const BLOCK_BYTES: usize = BLOCK + GROUP_BYTES;

const GROUP_BYTES: usize = 3;

/// The fewest places for chosen bytes; see [`Chosen`].
const SLOTS_MIN: usize = 1 << 8;

/// One entry for each hash: few enough to stay in the first-level cache.
const TABLE: usize = 1 << TABLE_BITS;
const TABLE_BITS: u32 = 14;

/// The bit that tells lower from upper case in ASCII letters. Other bytes that differ in it alone are taken for equal.
const CASE: u8 = 0x20;

/// Bytes of text and code, the most frequent first; all others are rarer.
const FREQUENT: &[u8] = b" etaonirsldcuphmfgybv.,/\"-_w()':;0=12kxz";

/// Neighbouring bytes of keywords that a million bytes of programs and their documentation hold a hundred times and
/// more, the most frequent first: bytes that are rare one by one, and not together.
const FREQUENT_FOURS: [&[u8]; 7] = [
    b"tiontype----ctioaaaaportnodementconsstrivalualueringatio\": \"trinptiosionmoduodulfiledulecoderequexpo",
    b"statpreslineequiquiruirewiths = ressinteformtextnterhttpttertruedatassioessiscri witriptted crip sta",
    b"defaaultfaulefauormatestbaseokentherteratimechartokettpsifietps:s://.comps:/ion\"confntexsignode.ypes",
    b"entidenttatiassetivermatate onfialidvaliectinfigbackcessendeancesageessa keypackwordsyncmess.proion.",
    b"ssagariatranenceidenspacd = chemningtificom/ense by paceranscemauffepushopenatteoveriptiithunitigith",
    b"thubservllbahereortelast.orgntifent.rootpasshub.argelangon\":b.coub.cn\": plat basestrore ed basynshar",
    b"ountativtialass eralhare prieconeaaa",
];

/// Keywords of four bytes and more have two of the four bits of each half of a table's entry, so that the first group of
/// one keyword is seldom followed by the second group of another.
const LONG: [u8; 2] = [0b0001, 0b0010];
/// Keywords of three bytes, whose second group ends in a byte that may follow.
const THREE: u8 = 0b0100;
/// Keywords of two bytes, whose groups both end in bytes that may follow.
const TWO: u8 = 0b1000;
/// From the bit of a first group to that of a second.
const SECOND: u32 = 4;

/// A keyword to find, of at least two bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sought<'k> {
    /// In lower case.
    pub text: &'k [u8],
    /// The one spelling that counts, if there is but one.
    pub exact: Option<&'k [u8]>,
    /// The bytes that may follow it, the first and the second.
    pub follows: [Bytes; 2],
    /// Does it only count where it begins a word?
    pub begins_word: bool,
}

/// A keyword, and how far from its beginning its chosen bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    keyword: u32,
    offset: u32,
    /// Bits of the chosen bytes that have to be as in `bytes`: what the folded key does not tell.
    mask: u32,
    bytes: u32,
    begins_word: bool,
}

/// The chosen bytes of all keywords.
pub(super) struct Grams {
    table: Box<[u8; TABLE]>,
    chosen: Chosen,
}

impl std::fmt::Debug for Grams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grams").field("offers", &self.chosen.offers.len()).finish_non_exhaustive()
    }
}

impl Grams {
    /// Of keywords in their order; those of less than two bytes are never offered.
    pub(super) fn new<'k>(keywords: impl IntoIterator<Item = Sought<'k>>) -> Self {
        let mut table = Box::new([0_u8; TABLE]);
        let mut chosen: Vec<(u32, Offer)> = Vec::new();
        let mut mark = |group: [u8; 3], bits: u8| table[usize::from(hash(group))] |= bits;
        for (keyword, number) in keywords.into_iter().zip(0_u32..) {
            let (offset, length) = match *keyword.text {
                [] | [_] => continue,
                [a, b] => {
                    for c in folded(keyword.follows[0]) {
                        mark([a, b, c], TWO);
                        folded(keyword.follows[1]).for_each(|d| mark([b, c, d], TWO << SECOND));
                    }
                    (0, 2)
                }
                [a, b, c] => {
                    mark([a, b, c], THREE);
                    folded(keyword.follows[0]).for_each(|d| mark([b, c, d], THREE << SECOND));
                    (0, 3)
                }
                _ => {
                    let offset = rarest(keyword.text);
                    let [a, b, c, d] = [0, 1, 2, 3].map(|at| keyword.text[offset + at]);
                    let bit = LONG[number as usize % LONG.len()];
                    mark([a, b, c], bit);
                    mark([b, c, d], bit << SECOND);
                    (offset, 4)
                }
            };
            let mask = if keyword.exact.is_some() { word_at(&[u8::MAX; 4][..length], 0) } else { 0 };
            let bytes = word_at(keyword.exact.unwrap_or_default(), offset) & mask;
            let offset = u32::try_from(offset).expect("keywords are short");
            let key = fold(word_at(keyword.text, offset as usize), length);
            let begins_word = keyword.begins_word;
            chosen.push((key, Offer { keyword: number, offset, mask, bytes, begins_word }));
        }
        Self { table, chosen: Chosen::new(chosen) }
    }

    /// Calls `offer` with (keyword, where it would begin) for everything that may be a keyword.
    pub(super) fn offers(&self, text: &[u8], mut offer: impl FnMut(usize, usize)) {
        let mut at = 0;
        let [a, b, c, _] = word_at(text, 0).to_le_bytes();
        let mut entry = self.table[usize::from(hash([a, b, c]))];
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK_BYTES>()) {
            entry = self.block(block, entry, |position, mark| {
                self.chosen.offer(text, at + position, word_at(block, position), mark, &mut offer);
            });
            at += BLOCK;
        }
        while at < text.len() {
            let rest = &text[at..text.len().min(at + BLOCK_BYTES)];
            let mut block = [0; BLOCK_BYTES];
            block[..rest.len()].copy_from_slice(rest);
            entry = self.block(&block, entry, |position, mark| {
                self.chosen.offer(text, at + position, word_at(&block, position), mark, &mut offer);
            });
            at += BLOCK;
        }
    }

    /// Calls `found` with every position of a block at which a first group stands before a second, and with the bits that
    /// say so. `entry` is the table's for the first position; answers that for the first position of the next block.
    fn block(&self, bytes: &[u8; BLOCK_BYTES], entry: u8, mut found: impl FnMut(usize, u8)) -> u8 {
        let mut hashes = [0_u16; BLOCK];
        for (at, hashed) in hashes.iter_mut().enumerate() {
            *hashed = hash([bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        }
        let mut entries = [0_u8; BLOCK + 1];
        entries[0] = entry;
        for (entry, hashed) in entries[1..].iter_mut().zip(hashes) {
            *entry = self.table[usize::from(hashed) % TABLE];
        }
        let mut marks = [0_u8; BLOCK];
        for (at, mark) in marks.iter_mut().enumerate() {
            *mark = entries[at] & (entries[at + 1] >> SECOND);
        }
        for (number, eight) in marks.as_chunks::<8>().0.iter().enumerate() {
            let mut left = u64::from_le_bytes(*eight);
            while left != 0 {
                let byte = (left.trailing_zeros() / u8::BITS) as usize;
                found(8 * number + byte, eight[byte]);
                left &= !(0xff << (byte * 8));
            }
        }
        entries[BLOCK]
    }
}

/// The chosen bytes themselves, in a table small enough to stay near: most of what the groups let through ends here.
struct Chosen {
    /// Folded bytes as [`fold`] answers them; 0 where there are none. A key stands at its place or the next free one.
    /// A power of two of places, of which at least half are free.
    keys: Vec<u32>,
    /// The offers of the key at each place.
    ranges: Vec<(u32, u32)>,
    offers: Vec<Offer>,
}

impl Chosen {
    fn new(mut chosen: Vec<(u32, Offer)>) -> Self {
        chosen.sort_unstable();
        let slots = (2 * chosen.len()).next_power_of_two().max(SLOTS_MIN);
        let mut all = Self { keys: vec![0; slots], ranges: vec![(0, 0); slots], offers: Vec::new() };
        for same in chosen.chunk_by(|a, b| a.0 == b.0) {
            let slot = all.slot(same[0].0);
            let start = u32::try_from(all.offers.len()).expect("rules are few");
            all.offers.extend(same.iter().map(|(_, offer)| *offer));
            all.keys[slot] = same[0].0;
            all.ranges[slot] = (start, start + u32::try_from(same.len()).expect("rules are few"));
        }
        all
    }

    /// Where a key stands, or would.
    fn slot(&self, key: u32) -> usize {
        let last = self.keys.len() - 1;
        let mut slot = (key.wrapping_mul(0x9e37_79b1) >> 12) as usize & last;
        while self.keys[slot] != key && self.keys[slot] != 0 {
            slot = (slot + 1) & last;
        }
        slot
    }

    /// Offers the keywords whose chosen bytes begin with those of `word`, which stands at `position`; `mark` says which
    /// lengths to try.
    fn offer(&self, text: &[u8], position: usize, word: u32, mark: u8, offer: &mut impl FnMut(usize, usize)) {
        for (bits, length) in [(LONG[0] | LONG[1], 4), (THREE, 3), (TWO, 2)] {
            if mark & bits == 0 {
                continue;
            }
            let (start, end) = self.ranges[self.slot(fold(word, length))];
            for Offer { keyword, offset, mask, bytes, begins_word: word_only } in
                &self.offers[start as usize..end as usize]
            {
                if word & mask == *bytes
                    && let Some(start) = position.checked_sub(*offset as usize)
                    && (!word_only || begins_word(text, start))
                {
                    offer(*keyword as usize, start);
                }
            }
        }
    }
}

/// The first bytes of a word with their case folded, and zeros for the others. Never 0.
const fn fold(word: u32, bytes: usize) -> u32 {
    let folded = word | u32::from_le_bytes([CASE; 4]);
    if bytes >= 4 { folded } else { folded & !(u32::MAX << (8 * bytes)) }
}

/// Four bytes at a position; beyond the end are zeros.
fn word_at(text: &[u8], at: usize) -> u32 {
    match text.get(at..at + 4) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        _ => u32::from_le_bytes([at, at + 1, at + 2, at + 3].map(|at| text.get(at).copied().unwrap_or(0))),
    }
}

/// Of overlapping pairs of bytes: multiplications of 16 bits are computed side by side on any processor.
#[inline]
const fn hash([a, b, c]: [u8; 3]) -> u16 {
    let first = u16::from_le_bytes([a | CASE, b | CASE]);
    let second = u16::from_le_bytes([b | CASE, c | CASE]);
    first.wrapping_mul(0x9e37).wrapping_add(second.wrapping_mul(0x6f4b)) >> (u16::BITS - TABLE_BITS)
}

/// The bytes of a set, one for each that [`hash`] tells apart.
fn folded(set: Bytes) -> impl Iterator<Item = u8> {
    (0..=u8::MAX).filter(move |byte| byte & CASE != 0 && (set.contains(*byte) || set.contains(byte & !CASE)))
}

/// Where the four neighbouring bytes begin that are rarest in text.
fn rarest(keyword: &[u8]) -> usize {
    let rank = |byte: &u8| {
        let byte = byte.to_ascii_lowercase();
        FREQUENT.iter().position(|frequent| *frequent == byte).unwrap_or(FREQUENT.len())
    };
    let rarity = |four: &[u8]| match frequent_place(four) {
        Some(place) => (false, place),
        None => (true, four.iter().map(rank).sum::<usize>()),
    };
    let rarities = keyword.windows(4).map(rarity);
    // Of equals the first: `max_by_key` would answer the last.
    rarities.enumerate().max_by_key(|(at, rarity)| (*rarity, std::cmp::Reverse(*at))).map_or(0, |(at, _)| at)
}

fn frequent_place(four: &[u8]) -> Option<usize> {
    let mut fours = FREQUENT_FOURS.iter().flat_map(|fours| fours.chunks(4));
    fours.position(|frequent| frequent.eq_ignore_ascii_case(four))
}

#[cfg(test)]
mod tests {
    use super::super::opening::Opening;
    use super::*;
    use proptest::prelude::*;

    const KEYWORDS: [&[u8]; 7] = [b"s.", b"sk", b"pat", b":*:", b"akia", b"token", b"-----begin private key"];

    fn grams() -> Grams {
        Grams::new(KEYWORDS.map(|text| Sought { text, exact: None, follows: [Bytes::ALL; 2], begins_word: false }))
    }

    fn is_offered(grams: &Grams, text: &[u8], keyword: usize, start: usize) -> bool {
        let mut offered = 0;
        grams.offers(text, |found, at| offered += usize::from((found, at) == (keyword, start)));
        assert!(offered <= 1, "{keyword} at {start} was offered {offered} times");
        offered == 1
    }

    #[test]
    fn keywords_are_offered_at_every_place_of_a_text() {
        let grams = grams();
        for (number, keyword) in KEYWORDS.iter().enumerate() {
            for spelling in [keyword.to_ascii_lowercase(), keyword.to_ascii_uppercase()] {
                for before in 0..2 * BLOCK + 4 {
                    for after in [0, 1, 2, 3, BLOCK] {
                        let text = [&b"x".repeat(before)[..], &spelling, &b"y".repeat(after)].concat();
                        assert!(is_offered(&grams, &text, number, before), "{keyword:?} {before} {after}");
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn keywords_are_offered_in_any_text(
            before in proptest::collection::vec(any::<u8>(), 0..200),
            after in proptest::collection::vec(any::<u8>(), 0..200),
            number in 0..KEYWORDS.len(),
        ) {
            let text = [&before[..], KEYWORDS[number], &after].concat();
            prop_assert!(is_offered(&grams(), &text, number, before.len()));
        }
    }

    #[test]
    fn spellings_and_continuations_narrow_what_is_offered() {
        let follows = ["a", "0"].map(|text| Opening::of(text).at(0));
        let grams = |exact| Grams::new([Sought { text: b"sk", exact, follows, begins_word: exact.is_some() }]);
        let check = |text: &str, folded: usize, exact: usize| {
            let offered = |grams: Grams| {
                let mut offered = 0;
                grams.offers(text.as_bytes(), |_, _| offered += 1);
                offered
            };
            assert_eq!((offered(grams(None)), offered(grams(Some(b"SK")))), (folded, exact), "{text}");
        };
        check("SKa0 SKA0", 2, 2);
        check("ska0 SKa0", 2, 1);
        check("TASKa0", 1, 0);
        check("SKb0 SKa1 SK", 0, 0);
    }

    #[test]
    fn little_else_is_offered() {
        let text = "the quick brown fox jumps over the lazy dog; (function (a, b) { return a.c[b] || null; })()\n";
        let mut offered = 0;
        grams().offers(text.repeat(100).as_bytes(), |_, _| offered += 1);
        assert!(offered < 200, "{offered}");
    }

    #[test]
    fn the_rarest_bytes_of_a_keyword_are_chosen() {
        let check = |keyword: &str, expect: &str| {
            let at = rarest(keyword.as_bytes());
            assert_eq!(&keyword[at..at + 4], expect, "{keyword}");
        };
        check("token", "toke");
        check("akia", "akia");
        check("https://", "ps:/");
        check("-----begin pgp private", "---b");
        check("xoxb-", "xoxb");
    }
}
