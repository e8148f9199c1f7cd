//! The packed streams of a blob's ranges, one after the other.
//!
//! Invariant: a stream never sees bytes of another, however far its decoder reads ahead.

use super::soci::{SpanReader, Spans};
use crate::decompress::{Caps, Decompressor};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The bytes of several ranges of a blob, as one sequence.
struct Feed<R> {
    source: R,
    ranges: VecDeque<Range<u64>>,
    /// Where in the blob the next byte of the source lies.
    at: u64,
}

impl<R: Read> Feed<R> {
    fn read(&mut self, buffer: &mut [u8], end: u64) -> io::Result<usize> {
        let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(buffer.len());
        if left == 0 {
            return Ok(0);
        }
        let n = self.source.read(&mut buffer[..left])?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the ranges of the blob end early"));
        }
        self.at += n as u64;
        Ok(n)
    }

    /// Passes over what lies before `start`.
    fn seek(&mut self, start: u64) -> io::Result<()> {
        let mut scratch = vec![0; 16 << 10];
        loop {
            let Some(range) = self.ranges.front().cloned() else {
                return Err(io::Error::other("a part lies outside of the ranges that were asked for"));
            };
            self.at = self.at.max(range.start);
            let is_here = range.contains(&start) && self.at <= start;
            let goal = if is_here { start } else { range.end };
            while self.at < goal {
                self.read(&mut scratch, goal)?;
            }
            if is_here {
                return Ok(());
            }
            self.ranges.pop_front();
            self.at = 0;
        }
    }
}

/// The bytes of one stream.
pub(super) struct Window<R> {
    feed: Arc<Mutex<Feed<R>>>,
    end: u64,
}

impl<R: Read> Read for Window<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).read(buffer, self.end)
    }
}

/// Opens streams, each once, in the order of the ranges.
pub(super) struct Streams<R> {
    feed: Arc<Mutex<Feed<R>>>,
    caps: Caps,
}

/// A stream being unpacked.
pub(super) enum Stream<R: Read> {
    Members(Decompressor<Window<R>>),
    Spans(Box<SpanReader<Window<R>>>),
}

impl<R: Read> Streams<R> {
    pub(super) fn new(source: R, ranges: &[Range<u64>], caps: Caps) -> Self {
        let feed = Feed { source, ranges: ranges.iter().cloned().collect(), at: 0 };
        Self { feed: Arc::new(Mutex::new(feed)), caps }
    }

    pub(super) fn open(&self, range: &Range<u64>, spans: Option<&Spans>) -> io::Result<Stream<R>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).seek(range.start)?;
        let window = Window { feed: Arc::clone(&self.feed), end: range.end };
        if let Some(spans) = spans {
            return Ok(Stream::Spans(Box::new(SpanReader::new(window, range, spans, self.caps)?)));
        }
        let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let stream = Decompressor::of_size(window, self.caps, bytes).map_err(|(stop, _)| io::Error::from(stop))?;
        Ok(Stream::Members(stream))
    }
}

impl<R: Read> Stream<R> {
    /// Leaves the stream: what is verified as a whole is read to its end.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Members(_) => Ok(()),
            Self::Spans(reader) => reader.finish(),
        }
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Members(stream) => stream.read(buffer),
            Self::Spans(reader) => reader.read(buffer),
        }
    }
}
