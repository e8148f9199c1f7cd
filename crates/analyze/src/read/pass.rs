//! The walk over the members: records every entry, and shows each file once to the detectors that want it.

use super::checksums::{Checksums, is_worth_a_digest};
use super::chunks::Chunks;
use super::digests::{COPIED_BYTES_MAX, Digests, Large};
use super::gaps::Gaps;
use super::inspect::Uninspected;
use super::windows::SecretWindows;
use super::{LAYER_SCOPE, LayerRequest};
use crate::accounts;
use crate::analyzer::{FileEntry, FileForm, FileView, Want};
use crate::limits::Limits;
use crate::malware::{MalwareDetector, Suspect};
use crate::memory::{HELD_BYTES_MAX, Held, Room};
use crate::nested::{Budget, HEAD_BYTES};
use crate::packages::ANALYZERS;
use crate::sink::{Collected, Sink};
use crate::tar::{Broken, Member, MemberKind, Walker};
use model::inventory::{FileKind, FileRecord};
use model::observation::LayerObservation;
use model::path::{PATH_BYTES_MAX, PathError};
use model::{Detector, Gap, GapReason, LayerPath};
use std::io::{self, Write};

/// An entry, and its number in the archive.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) number: u32,
    pub(super) record: FileRecord,
    /// It can be run, or is an archive of what can: see [`is_worth_a_digest`].
    pub(super) is_program: bool,
}

/// Which detectors run besides the files detector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) packages: bool,
    pub(super) secrets: bool,
    pub(super) malware: bool,
}

/// Everything that one pass collects.
pub(super) struct Pass<'r> {
    pub(super) request: &'r LayerRequest<'r>,
    pub(super) limits: &'r Limits,
    pub(super) run: Run,
    pub(super) seen: Vec<Seen>,
    pub(super) collected: Collected,
    pub(super) secrets: Vec<LayerObservation>,
    pub(super) malware: Vec<LayerObservation>,
    /// Digests of what a list of bad files can name.
    pub(super) digests: Digests<'r>,
    pub(super) accounts: Vec<LayerObservation>,
    pub(super) gaps: Gaps,
    /// Why a temporary file could not be used.
    pub(super) spool_failed: Option<io::Error>,
    pub(super) nested: Budget,
    pub(super) checksums: Checksums,
    pub(super) uninspected: Uninspected,
    /// The engine outside has seen the archive that is looked into.
    pub(super) is_shown_whole: bool,
    names_bytes: u64,
    /// Content that lies in more than one chunk; `held` is its part of the budget.
    scratch: Vec<u8>,
    held: Held<'r>,
    /// Windows of large files.
    window: Vec<u8>,
}

/// Who gets a file's content.
#[derive(Debug, Clone, Copy, Default)]
struct Plan {
    /// One bit per analyzer.
    analyzers: u64,
    secrets: bool,
    malware: bool,
    /// The malware detector keeps its digest.
    digest: bool,
    /// It is an archive: its members are looked at.
    nested: bool,
    /// Accounts are read from it.
    accounts: bool,
}

impl Plan {
    /// Does somebody need all of the content at once? Secrets of large files are searched in windows.
    const fn needs_whole(self, entry: &FileEntry<'_>, window_bytes: usize) -> bool {
        self.analyzers != 0
            || self.malware
            || self.nested
            || self.accounts
            || self.secrets && entry.bytes <= window_bytes as u64
    }
}

const _: () = assert!(ANALYZERS.len() <= 64, "a plan has one bit per analyzer");

/// The first piece of a file has at least this many bytes, or is all of it: a block of the archive.
const FIRST_PIECE_BYTES: usize = 512;

/// How the walk ended.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) entries: u64,
    pub(super) position: u64,
    pub(super) broken: Option<Broken>,
}

/// The smallest buffer for content that lies in more than one chunk; larger ones double.
const SCRATCH_BYTES_MIN: usize = 1 << 20;

impl<'r> Pass<'r> {
    pub(super) fn new(request: &'r LayerRequest<'r>, digests: Digests<'r>) -> Self {
        let limits = request.detectors.limits();
        let has = |detector| request.only.contains(&detector);
        Self {
            request,
            limits,
            run: Run {
                packages: has(Detector::Packages),
                secrets: has(Detector::Secrets),
                malware: has(Detector::Malware),
            },
            seen: Vec::new(),
            collected: Collected::default(),
            secrets: Vec::new(),
            malware: Vec::new(),
            digests,
            accounts: Vec::new(),
            gaps: Gaps::new(limits.gaps_max),
            spool_failed: None,
            nested: Budget::new(limits),
            checksums: Checksums::default(),
            uninspected: Uninspected::default(),
            is_shown_whole: false,
            names_bytes: 0,
            scratch: Vec::new(),
            held: Held::none(request.memory),
            window: Vec::new(),
        }
    }

    /// Walks the archive as far as it is sound.
    pub(super) fn walk(&mut self, chunks: &mut Chunks) -> Walked {
        let mut walker = Walker::new(chunks, self.limits.extension_bytes_max);
        let mut member = Member::new();
        let mut walked = Walked::default();
        loop {
            match walker.next(&mut member) {
                Ok(true) if self.has_room(walked.entries) => walked.entries += 1,
                Ok(true | false) => break,
                Err(broken) => {
                    walked.broken = Some(broken);
                    break;
                }
            }
            walked.broken = self.member(&mut walker, &member);
            if walked.broken.is_some() {
                break;
            }
        }
        walked.position = walker.position();
        walked
    }

    fn has_room(&mut self, entries: u64) -> bool {
        let limits = self.limits;
        let detail = if entries >= u64::from(limits.entries_max) {
            format!("more than {} entries: the rest was not looked at", limits.entries_max)
        } else if self.names_bytes > limits.names_bytes_max {
            format!("names of more than {} bytes: the rest was not looked at", limits.names_bytes_max)
        } else {
            return true;
        };
        self.gaps.push_for_all(LAYER_SCOPE, GapReason::TooMany, detail);
        false
    }

    /// Takes one member. Answers why the walk cannot go on, if it cannot.
    fn member(&mut self, walker: &mut Walker<&mut Chunks>, member: &Member) -> Option<Broken> {
        let path = match LayerPath::normalise(&member.name) {
            Ok(path) => path,
            Err(error) => {
                self.refuse_name(&member.name, error);
                return None;
            }
        };
        self.checksums.note_entry(&path);
        self.names_bytes += (path.as_bytes().len() + member.link.len()) as u64;
        if path.file_name().starts_with(b".wh.") || path.as_bytes().starts_with(b".wh..wh.") {
            self.whiteout(&path, member);
            return None;
        }
        let kind = match member.kind {
            MemberKind::File => return self.file(walker, member, path),
            MemberKind::Folder => FileKind::Folder,
            MemberKind::Special => FileKind::Special,
            MemberKind::Symlink if member.link.len() <= PATH_BYTES_MAX => FileKind::Symlink(member.link.clone()),
            MemberKind::Symlink => {
                self.refuse_name(&member.name, PathError::TooLong);
                return None;
            }
            MemberKind::HardLink => match LayerPath::normalise(&member.link) {
                Ok(target) => FileKind::HardLink(target),
                Err(error) => {
                    self.refuse_name(&member.link, error);
                    return None;
                }
            },
            MemberKind::Unknown(kind) => {
                let detail = format!("an archive entry of type {:?} is not supported", char::from(kind));
                self.gaps.push_for_all(path.to_string(), GapReason::Unsupported, detail);
                return None;
            }
        };
        self.record(path, kind, member, false);
        None
    }

    fn refuse_name(&mut self, name: &[u8], error: PathError) {
        let shown = name[..name.len().min(200)].escape_ascii().to_string();
        self.gaps.push_for_all(shown, GapReason::BadPath, format!("archive entry skipped: {error}"));
    }

    fn record(&mut self, path: LayerPath, kind: FileKind, member: &Member, is_program: bool) {
        let number = self.next_number();
        let Member { mode, uid, gid, bytes, .. } = *member;
        self.seen.push(Seen { number, record: FileRecord { path, kind, mode, uid, gid, bytes }, is_program });
    }

    fn next_number(&self) -> u32 {
        u32::try_from(self.seen.len()).expect("entries_max is a u32")
    }

    /// OCI image specification, `layer.md`, "Whiteouts" and "Opaque Whiteout". Other names that begin with
    /// `.wh..wh.` are book-keeping of aufs and no part of the image.
    fn whiteout(&mut self, path: &LayerPath, member: &Member) {
        let name = path.file_name();
        let (path, kind) = match name.strip_prefix(b".wh.") {
            Some(b".wh..opq") => (path.parent(), FileKind::Opaque),
            Some(removed) if removed.starts_with(b".wh.") => return,
            Some(b"" | b"." | b"..") => return self.refuse_name(path.as_bytes(), PathError::Escapes),
            Some(removed) => (path.parent().join(removed), FileKind::Whiteout),
            None => return,
        };
        self.record(path, kind, member, false);
    }

    fn file(&mut self, walker: &mut Walker<&mut Chunks>, member: &Member, path: LayerPath) -> Option<Broken> {
        let entry = FileEntry { path: &path, bytes: member.bytes, mode: member.mode, uid: member.uid, gid: member.gid };
        let mut plan = self.plan(&entry, FileForm::of(walker.head(FileForm::MAGIC_BYTES)));
        let is_program = is_worth_a_digest(&entry, walker.head(HEAD_BYTES));
        plan.digest = self.run.malware && is_program;
        plan.accounts = self.plans_accounts(&entry);
        plan.nested = self.plans_to_explore(&entry, walker.head(HEAD_BYTES));
        let is_absent = member.sparse && self.request.in_part;
        let broken = if is_absent || !member.sparse && member.bytes == 0 && plan.analyzers == 0 {
            None
        } else if member.sparse {
            let detail = "stored as a sparse file, which is not looked into".to_owned();
            self.gaps.push_for_all(path.to_string(), GapReason::Unsupported, detail);
            None
        } else if plan.needs_whole(&entry, self.limits.secret_window_bytes) {
            self.whole(walker, &entry, plan)
        } else {
            self.stream(walker, &entry, plan)
        };
        self.record(path, FileKind::Regular, member, is_program);
        broken
    }

    /// Reads a file that somebody wants whole: where it lies if that is in one chunk, in memory if there is room, else
    /// in a temporary file.
    fn whole(&mut self, walker: &mut Walker<&mut Chunks>, entry: &FileEntry<'_>, plan: Plan) -> Option<Broken> {
        let bytes = usize::try_from(entry.bytes).unwrap_or(usize::MAX);
        if walker.at_hand() >= bytes {
            let look = |content: &[u8], complete| self.look(entry, plan, content, complete, None);
            return walker.whole(&mut Vec::new(), look).1;
        }
        if !self.has_scratch_for(bytes) {
            return self.spooled(walker, entry, plan);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut large = self.large(entry, plan);
        scratch.clear();
        let walked = walker.pieces(|piece| {
            if let Some(large) = &mut large {
                self.digests.piece(large, piece);
            }
            scratch.extend_from_slice(piece);
            true
        });
        self.look(entry, plan, &scratch, walked.is_ok(), large);
        self.scratch = scratch;
        walked.err()
    }

    /// Digests of a large program are computed while its content is put together.
    fn large(&mut self, entry: &FileEntry<'_>, plan: Plan) -> Option<Large> {
        let is_large = entry.bytes > COPIED_BYTES_MAX as u64;
        (plan.digest && is_large).then(|| self.digests.begin(self.checksums.wanted(entry.path)))
    }

    /// Makes the scratch buffer large enough, if the budget allows it.
    fn has_scratch_for(&mut self, bytes: usize) -> bool {
        if bytes <= self.scratch.capacity() {
            return true;
        }
        if bytes as u64 > HELD_BYTES_MAX {
            return false;
        }
        let capacity = bytes.next_power_of_two().max(SCRATCH_BYTES_MIN);
        if !self.held.grow_to(capacity as u64) {
            return false;
        }
        // Not grown but made anew: what the old one holds is not worth copying.
        self.scratch = Vec::new();
        self.scratch = Vec::with_capacity(capacity);
        true
    }

    /// Reads a file into a temporary one and shows it from there.
    fn spooled(&mut self, walker: &mut Walker<&mut Chunks>, entry: &FileEntry<'_>, plan: Plan) -> Option<Broken> {
        let bytes_max = self.limits.spooled_bytes_max;
        if entry.bytes > bytes_max {
            self.too_large_to_keep(entry, plan, &format!("the limit of temporary files is {bytes_max}"));
            return self.stream(walker, entry, plan);
        }
        let mut file = match self.request.spool.file_with_room(entry.bytes) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.too_large_to_keep(entry, plan, &error.to_string());
                return self.stream(walker, entry, plan);
            }
            Err(error) => return self.spool_fails(error),
        };
        let mut failed = None;
        let mut large = self.large(entry, plan);
        let walked = walker.pieces(|piece| {
            if let Some(large) = &mut large {
                self.digests.piece(large, piece);
            }
            failed = file.write_all(piece).err();
            failed.is_none()
        });
        let shown = match failed {
            Some(error) => Err(error),
            None => file.content().map(|bytes| self.look(entry, plan, (*bytes).as_ref(), walked.is_ok(), large)),
        };
        match shown {
            Ok(()) => walked.err(),
            Err(error) => self.spool_fails(error),
        }
    }

    /// The walk goes on: the input has to be read to its end, and the first failure is the one to tell.
    fn spool_fails(&mut self, error: io::Error) -> Option<Broken> {
        self.spool_failed.get_or_insert(error);
        None
    }

    /// Gaps of those who would have seen the file whole.
    fn too_large_to_keep(&mut self, entry: &FileEntry<'_>, plan: Plan, why: &str) {
        let analyzers = ANALYZERS.iter().enumerate().filter(|(bit, _)| plan.analyzers & 1 << bit != 0);
        let mut detectors: Vec<Detector> = analyzers.map(|(_, analyzer)| analyzer.detector()).collect();
        detectors.extend(plan.malware.then_some(Detector::Malware));
        detectors.dedup();
        for detector in detectors {
            let detail = format!("{} bytes: {why}", entry.bytes);
            self.gaps.push(detector, entry.path.to_string(), GapReason::OutOfSpace, detail);
        }
    }

    /// Who wants this file's content. Wanting more than a limit allows is a gap.
    fn plan(&mut self, entry: &FileEntry<'_>, form: FileForm) -> Plan {
        let mut plan = Plan::default();
        if self.run.packages {
            for (bit, analyzer) in ANALYZERS.iter().enumerate() {
                match analyzer.wants(entry, self.limits) {
                    Want::No => {}
                    Want::Program { .. } if !form.is_machine_code() => {}
                    Want::Whole { bytes_max } | Want::Program { bytes_max } if entry.bytes > bytes_max => {
                        self.too_large(analyzer.detector(), entry, bytes_max);
                    }
                    Want::Whole { .. } | Want::Program { .. } => plan.analyzers |= 1 << bit,
                }
            }
        }
        if self.run.secrets && self.request.detectors.secrets().wants(entry.path, entry.bytes) {
            plan.secrets = entry.bytes <= self.limits.secret_file_bytes_max;
            if !plan.secrets {
                self.too_large(Detector::Secrets, entry, self.limits.secret_file_bytes_max);
            }
        }
        let malware_bytes_max = self.limits.malware_file_bytes_max;
        plan.malware = self.run.malware && entry.bytes > 0 && entry.bytes <= malware_bytes_max;
        plan
    }

    /// Are accounts read from this file?
    fn plans_accounts(&mut self, entry: &FileEntry<'_>) -> bool {
        let is_accounts = accounts::is_accounts(entry.path);
        if is_accounts && entry.bytes > accounts::ACCOUNTS_BYTES_MAX {
            self.too_large(Detector::Files, entry, accounts::ACCOUNTS_BYTES_MAX);
            return false;
        }
        is_accounts
    }

    /// Of several files of one name in an archive the last counts.
    fn read_accounts(&mut self, path: &LayerPath, content: &[u8]) {
        self.accounts.retain(|seen| seen.place.path != *path);
        let (found, cut) = accounts::read(path, content);
        self.accounts.extend(found);
        if cut {
            let detail = format!("more than {} accounts: the rest was not looked at", accounts::ACCOUNTS_MAX);
            self.gaps.push(Detector::Files, path.to_string(), GapReason::TooMany, detail);
        }
    }

    /// Does the malware detector want this file, going by its beginning?
    pub(super) fn malware_wants(&self, entry: &FileEntry<'_>, content: &[u8]) -> bool {
        let head = &content[..content.len().min(FileForm::HEAD_BYTES)];
        self.request.detectors.malware().wants(entry.path, entry.bytes, head)
    }

    /// Would the malware detector want this file, going by its first block, if it were not above the limit?
    fn is_too_large_for_malware(&self, entry: &FileEntry<'_>, content: &[u8]) -> bool {
        let is_large = self.run.malware && entry.bytes > self.limits.malware_file_bytes_max;
        is_large && self.malware_wants(entry, &content[..content.len().min(FIRST_PIECE_BYTES)])
    }

    pub(super) fn too_large(&mut self, detector: Detector, entry: &FileEntry<'_>, bytes_max: u64) {
        let detail = format!("{} bytes, the limit is {bytes_max}", entry.bytes);
        self.gaps.push(detector, entry.path.to_string(), GapReason::FileTooLarge, detail);
    }

    /// Shows one whole file to those who want it, and sees to its digests if nobody has yet.
    fn look(&mut self, entry: &FileEntry<'_>, plan: Plan, content: &[u8], complete: bool, large: Option<Large>) {
        let number = self.next_number();
        self.look_into(entry, plan, content, complete);
        if let Some(large) = large {
            self.digests.end(large, number, entry.path, complete);
        } else if plan.digest && complete {
            let wanted = self.checksums.wanted(entry.path);
            self.digests.take(number, entry.path, wanted, content);
        }
    }

    fn look_into(&mut self, entry: &FileEntry<'_>, plan: Plan, content: &[u8], complete: bool) {
        let view = FileView { entry: *entry, content, form: FileForm::of(content), complete };
        let is_suspect = plan.malware && complete && self.malware_wants(entry, content);
        let number = self.next_number();
        let room = Room { memory: self.request.memory, spool: self.request.spool };
        for (_, analyzer) in ANALYZERS.iter().enumerate().filter(|(bit, _)| plan.analyzers & 1 << bit != 0) {
            let mut sink = Sink::new(&mut self.collected, self.limits, analyzer.id(), number).with_room(room);
            if let Err(unread) = analyzer.analyze(&view, &mut sink) {
                sink.gap(analyzer.detector(), entry.path, unread.reason, unread.detail);
            }
            if !complete {
                let detail = "the layer's archive ends inside this file";
                sink.gap(analyzer.detector(), entry.path, GapReason::Malformed, detail);
            }
        }
        if plan.secrets && self.has_observation_room(Detector::Secrets) {
            self.search_for_secrets(&view);
        }
        if !plan.malware && self.is_too_large_for_malware(entry, content) {
            self.too_large(Detector::Malware, entry, self.limits.malware_file_bytes_max);
        }
        if is_suspect && self.has_observation_room(Detector::Malware) {
            self.inspect(self.request.detectors.malware(), &view);
        }
        if plan.accounts {
            self.read_accounts(entry.path, content);
        }
        if plan.nested && complete {
            self.explore(&view, plan.malware && !is_suspect);
        }
    }

    pub(super) fn search_for_secrets(&mut self, view: &FileView<'_>) {
        let detector = self.request.detectors.secrets();
        let window_bytes = self.limits.secret_window_bytes;
        let gap = if view.content.len() <= window_bytes {
            detector.scan_file(view.entry.path, view.content, &mut self.secrets)
        } else {
            let window = std::mem::take(&mut self.window);
            let mut windows = SecretWindows::new(detector, view.entry.path, window_bytes, window);
            windows.push(view.content, &mut self.secrets);
            let (window, gap) = windows.finish(&mut self.secrets);
            self.window = window;
            gap
        };
        if let Some(gap) = gap {
            self.gaps.push_gap(Detector::Secrets, gap);
        }
    }

    /// Reads a file that nobody wants whole: hashes it, if its mode or its first bytes make it worth it, and searches
    /// it for secrets in windows. The first piece holds those bytes, because blocks of archives and chunks are aligned.
    fn stream(&mut self, walker: &mut Walker<&mut Chunks>, entry: &FileEntry<'_>, plan: Plan) -> Option<Broken> {
        let mut large: Option<Large> = None;
        let searches = plan.secrets && self.has_observation_room(Detector::Secrets);
        let detector = self.request.detectors.secrets();
        let mut windows = searches.then(|| {
            let buffer = std::mem::take(&mut self.window);
            SecretWindows::new(detector, entry.path, self.limits.secret_window_bytes, buffer)
        });
        let mut is_first = true;
        let mut found = Vec::new();
        let mut unsearched = false;
        let result = walker.pieces(|piece| {
            if std::mem::take(&mut is_first) {
                large = plan.digest.then(|| self.digests.begin(self.checksums.wanted(entry.path)));
                unsearched = self.is_too_large_for_malware(entry, piece);
            }
            if let Some(large) = &mut large {
                self.digests.piece(large, piece);
            }
            if let Some(windows) = &mut windows {
                windows.push(piece, &mut found);
            }
            large.is_some() || windows.is_some()
        });
        if unsearched {
            self.too_large(Detector::Malware, entry, self.limits.malware_file_bytes_max);
        }
        if let Some(windows) = windows {
            let (window, gap) = windows.finish(&mut found);
            self.window = window;
            self.secrets.append(&mut found);
            if let Some(gap) = gap {
                self.gaps.push_gap(Detector::Secrets, gap);
            }
        }
        if let Some(large) = large {
            self.digests.end(large, self.next_number(), entry.path, result.is_ok());
        }
        result.err()
    }

    pub(super) fn inspect(&mut self, malware: &MalwareDetector, view: &FileView<'_>) {
        if self.uninspected.are_signatures_too_slow() {
            self.uninspected.skip_signatures(view.entry.path);
        } else {
            let mut gaps: Vec<Gap> = Vec::new();
            let suspect = Suspect { path: view.entry.path, bytes: view.content };
            malware.scan_file(&suspect, None, &mut self.malware, &mut gaps);
            for gap in gaps {
                self.uninspected.note(&gap);
                self.gaps.push_gap(Detector::Malware, gap);
            }
        }
        self.show(view);
    }

    pub(super) fn has_observation_room(&mut self, detector: Detector) -> bool {
        let observations = if detector == Detector::Secrets { &self.secrets } else { &self.malware };
        let room = observations.len() < self.limits.observations_max;
        if !room {
            self.gaps.refuse(detector, 1);
        }
        room
    }
}
