//! Lists of packages matched with the advisories of one generation, on several threads.
//!
//! Not here: what a match is (crate `intel`) and what becomes of it.
//!
//! Invariant: the answers and their order do not depend on how many threads there are.

use intel::{Intelligence, Matcher};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Packages that a thread takes at a time. Neighbours in a list share names and vulnerabilities, which a matcher looks
/// up once.
const CHUNK: usize = 128;

/// As many threads as there are cores, and at least one.
pub fn threads() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// Calls `work` with parts of a list, each with the matcher of its thread, and gives the results in the order of the
/// list. A list of one part is done by the calling thread.
///
/// # Errors
/// The first in the order of the list.
pub fn in_parts<K: Sync, R: Send, E: Send>(
    intelligence: &Intelligence,
    list: &[K],
    threads: NonZero<usize>,
    work: impl Fn(&mut Matcher<'_>, &[K]) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut matcher = intelligence.matcher();
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = list.chunks(CHUNK).nth(index) else { return done };
            done.push((index, work(&mut matcher, part)));
        }
    };
    let others = threads.get().min(list.len().div_ceil(CHUNK)).saturating_sub(1);
    let mut done = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..others).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for handle in handles {
            match handle.join() {
                Ok(theirs) => done.extend(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_in_the_order_of_the_list() {
        let intelligence = Intelligence::new(1, Vec::new());
        let list: Vec<usize> = (0..CHUNK * 5 + 3).collect();
        for threads in [1, 2, 8] {
            let threads = NonZero::new(threads).expect("not zero");
            let parts =
                in_parts(&intelligence, &list, threads, |_, part| Ok::<_, ()>(part.to_vec())).expect("no error");
            assert_eq!(parts.concat(), list);
            let refuse = |_: &mut Matcher<'_>, part: &[usize]| if part[0] == 0 { Ok(()) } else { Err(part[0]) };
            assert_eq!(in_parts(&intelligence, &list, threads, refuse), Err(CHUNK));
        }
    }
}
