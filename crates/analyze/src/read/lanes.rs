//! MD5 (RFC 1321) of several files at once, side by side in the lanes of vectors.
//!
//! Each step of MD5 waits for the one before it, so that one file keeps a processor waiting most of the time; eight
//! files cost little more than one. Invariant: the digests are those that computing one file after the other gives.

use md5::{Digest as _, Md5};
use wide::u32x4;

/// Files that are computed side by side.
const LANES: usize = 8;
const BLOCK_BYTES: usize = 64;

/// What a byte costs in a lane and alone: side by side files go on more slowly than one that is computed alone.
const LANE_COST: usize = 7;
const ALONE_COST: usize = 4;

type Block = [u8; BLOCK_BYTES];
/// One word of each lane.
type Words = [u32x4; 2];

/// The words that a digest begins with (RFC 1321, section 3.3).
pub(super) const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// 2^32 times the sine of 1, 2, 3, … (section 3.4).
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501, //
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821, //
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8, //
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a, //
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70, //
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665, //
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1, //
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// The digest of each of the contents.
pub(super) fn md5_of_all(contents: &[&[u8]]) -> Vec<[u8; 16]> {
    let mut digests = vec![[0; 16]; contents.len()];
    let mut together: Vec<usize> = (0..contents.len()).collect();
    together.sort_by_key(|at| (contents[*at].len(), *at));
    let lengths: Vec<usize> = together.iter().map(|at| contents[*at].len()).collect();
    for at in together.split_off(together.len() - alone(&lengths)) {
        digests[at] = Md5::digest(contents[at]).into();
    }
    let mut lanes: [Option<Lane<'_>>; LANES] = std::array::from_fn(|_| None);
    loop {
        for lane in &mut lanes {
            if lane.is_none() {
                *lane = together.pop().map(|at| Lane::new(at, contents[at]));
            }
        }
        let Some(blocks) = lanes.iter().flatten().map(|lane| lane.ahead().len()).min() else { return digests };
        advance(&mut lanes, blocks);
        for lane in &mut lanes {
            if let Some(ended) = lane.take_if(|lane| lane.is_at_end(blocks)) {
                digests[ended.file] = ended.digest();
            }
        }
    }
}

/// How many of the longest files are computed alone, because the others' lanes would be empty long before their end.
/// Lengths in ascending order.
fn alone(lengths: &[usize]) -> usize {
    let mut rest: usize = lengths.iter().sum();
    let mut cost_alone = 0;
    let mut best = (usize::MAX, 0);
    for alone in 0..=lengths.len() {
        let together = &lengths[..lengths.len() - alone];
        let longest = together.last().copied().unwrap_or(0);
        best = best.min((cost_alone + LANE_COST * longest.max(rest / LANES), alone));
        cost_alone += ALONE_COST * longest;
        rest -= longest;
    }
    best.1
}

/// One file, as far as it was computed.
struct Lane<'a> {
    file: usize,
    words: [u32; 4],
    whole: &'a [Block],
    /// What follows the whole blocks: the rest of the file, padded, with its length at the end (sections 3.1, 3.2).
    end: [Block; 2],
    end_blocks: usize,
    /// Blocks that were computed, of the whole ones or of those at the end.
    done: usize,
    is_in_end: bool,
}

impl<'a> Lane<'a> {
    fn new(file: usize, content: &'a [u8]) -> Self {
        let (whole, rest) = content.as_chunks::<BLOCK_BYTES>();
        let mut end = [[0; BLOCK_BYTES]; 2];
        end[0][..rest.len()].copy_from_slice(rest);
        end[0][rest.len()] = 0x80;
        let end_blocks = if rest.len() < BLOCK_BYTES - 8 { 1 } else { 2 };
        end[end_blocks - 1][BLOCK_BYTES - 8..].copy_from_slice(&(content.len() as u64 * 8).to_le_bytes());
        Self { file, words: START, whole, end, end_blocks, done: 0, is_in_end: whole.is_empty() }
    }

    /// The blocks that lie ahead and beside one another. Never none.
    fn ahead(&self) -> &[Block] {
        if self.is_in_end { &self.end[self.done..self.end_blocks] } else { &self.whole[self.done..] }
    }

    /// Takes note of blocks that were computed. True when they were the last.
    fn is_at_end(&mut self, blocks: usize) -> bool {
        self.done += blocks;
        if !self.is_in_end && self.done == self.whole.len() {
            (self.is_in_end, self.done) = (true, 0);
        }
        self.is_in_end && self.done == self.end_blocks
    }

    fn digest(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.words) {
            *bytes = word.to_le_bytes();
        }
        digest
    }
}

/// Computes the next blocks of every lane. An empty lane computes what another does, for nobody.
fn advance(lanes: &mut [Option<Lane<'_>>; LANES], blocks: usize) {
    let Some(any) = lanes.iter().flatten().next() else { return };
    let words_of = |lane: &Option<Lane<'_>>| lane.as_ref().map_or(START, |lane| lane.words);
    let words: [[u32; 4]; LANES] = std::array::from_fn(|at| words_of(&lanes[at]));
    let inputs: [&[Block]; LANES] = std::array::from_fn(|at| &lanes[at].as_ref().unwrap_or(any).ahead()[..blocks]);
    let mut state: [Words; 4] = std::array::from_fn(|word| {
        let of = |lane: usize| words[lane][word];
        [u32x4::new([of(0), of(1), of(2), of(3)]), u32x4::new([of(4), of(5), of(6), of(7)])]
    });
    compute(&mut state, inputs);
    let halves = state.map(|[low, high]| [low.to_array(), high.to_array()]);
    for (at, lane) in lanes.iter_mut().enumerate() {
        if let Some(lane) = lane {
            lane.words = halves.map(|halves| halves[at / 4][at % 4]);
        }
    }
}

fn add(a: Words, b: Words) -> Words {
    [a[0] + b[0], a[1] + b[1]]
}

/// One step of section 3.4: `a = b + ((a + f(b,c,d) + word + sine) <<< LEFT)`. `RIGHT` is what `LEFT` lacks of 32.
#[inline(always)]
fn step<const ROUND: usize, const LEFT: u32, const RIGHT: u32>(
    [a, b, c, d]: [Words; 4],
    word: Words,
    sine: u32,
) -> Words {
    let sine = u32x4::splat(sine);
    let half = |at: usize| {
        let (a, b, c, d) = (a[at], b[at], c[at], d[at]);
        let mixed = match ROUND {
            0 => d ^ (b & (c ^ d)),
            1 => c ^ (d & (b ^ c)),
            2 => b ^ c ^ d,
            _ => c ^ (b | !d),
        };
        let sum = a + sine + word[at] + mixed;
        ((sum << LEFT) | (sum >> RIGHT)) + b
    };
    [half(0), half(1)]
}

/// Four times four steps of one round. `$place` tells which word of the block a step takes.
macro_rules! round {
    ($round:literal, $words:ident, $block:ident, $place:expr, $r0:literal $r1:literal $r2:literal $r3:literal) => {
        let place: fn(usize) -> usize = $place;
        let [mut a, mut b, mut c, mut d] = $words;
        for four in 0..4 {
            let at = |step: usize| ($block[place(4 * four + step) % 16], SINES[16 * $round + 4 * four + step]);
            let (word, sine) = at(0);
            a = step::<$round, $r0, { 32 - $r0 }>([a, b, c, d], word, sine);
            let (word, sine) = at(1);
            d = step::<$round, $r1, { 32 - $r1 }>([d, a, b, c], word, sine);
            let (word, sine) = at(2);
            c = step::<$round, $r2, { 32 - $r2 }>([c, d, a, b], word, sine);
            let (word, sine) = at(3);
            b = step::<$round, $r3, { 32 - $r3 }>([b, c, d, a], word, sine);
        }
        $words = [a, b, c, d];
    };
}

/// Computes as many blocks of each lane as there are; all lanes have the same number.
#[expect(clippy::needless_range_loop, reason = "eight slices go forward together")]
fn compute(state: &mut [Words; 4], inputs: [&[Block]; LANES]) {
    let blocks = inputs.iter().map(|input| input.len()).min().unwrap_or(0);
    let inputs = inputs.map(|input| &input[..blocks]);
    for number in 0..blocks {
        let word = |lane: usize, at: usize| {
            let block: &Block = &inputs[lane][number];
            u32::from_le_bytes([block[4 * at], block[4 * at + 1], block[4 * at + 2], block[4 * at + 3]])
        };
        let mut block = [[u32x4::ZERO; 2]; 16];
        for (at, words) in block.iter_mut().enumerate() {
            *words = [
                u32x4::new([word(0, at), word(1, at), word(2, at), word(3, at)]),
                u32x4::new([word(4, at), word(5, at), word(6, at), word(7, at)]),
            ];
        }
        let mut words = *state;
        round!(0, words, block, |step| step, 7 12 17 22);
        round!(1, words, block, |step| 5 * step + 1, 5 9 14 20);
        round!(2, words, block, |step| 3 * step + 5, 4 11 16 23);
        round!(3, words, block, |step| 7 * step, 6 10 15 21);
        for (sum, new) in state.iter_mut().zip(words) {
            *sum = add(*sum, new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(contents: &[Vec<u8>]) {
        let slices: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let expect: Vec<[u8; 16]> = contents.iter().map(|content| Md5::digest(content).into()).collect();
        assert_eq!(md5_of_all(&slices), expect);
    }

    #[test]
    fn every_length_of_an_end_is_padded_as_it_has_to_be() {
        check(&(0..200).map(|bytes| vec![b'a'; bytes]).collect::<Vec<_>>());
        check(&[]);
        check(&[vec![]]);
        check(&[vec![7; 1 << 20], vec![]]);
    }

    #[test]
    fn long_files_are_computed_alone_when_no_others_are_as_long() {
        assert_eq!(alone(&[]), 0);
        assert_eq!(alone(&[100; 20]), 0);
        assert_eq!(alone(&[10, 10, 100]), 1);
        assert_eq!(alone(&[1, 1, 1, 1, 100, 100, 100]), 0);
        assert_eq!(alone(&[5]), 1);
        assert_eq!(alone(&[1, 90, 200]), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn digests_are_those_of_one_file_after_the_other(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..40),
        ) {
            check(&contents);
        }
    }
}
