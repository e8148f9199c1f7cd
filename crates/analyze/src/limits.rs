//! Every limit of the pass over a layer: a name, a default, a reason.
//!
//! A limit that is met becomes a gap that names it; nothing is cut silently.

use model::Detector;
use std::fmt::Write as _;

/// The limits of reading one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes of one layer. Default 64 GiB.
    pub layer_bytes_max: u64,
    /// Uncompressed bytes per compressed byte, once [`Self::ratio_from_bytes`] are out. Default 200:
    /// real layers stay below 20, a file of zeros in gzip reaches 1030.
    pub ratio_max: u64,
    /// Uncompressed bytes below which the ratio does not matter. Default 64 MiB.
    pub ratio_from_bytes: u64,
    /// Binary logarithm of the largest Zstandard window (RFC 8878, section 3.1.1.1.2). Default 26: 64 MiB.
    pub zstd_window_log_max: u32,
    /// Entries of one layer's archive. Default 1,000,000.
    pub entries_max: u32,
    /// Bytes of all names together in one layer. Default 64 MiB.
    pub names_bytes_max: u64,
    /// Bytes of one extension header (PAX records, GNU long name). Default 1 MiB.
    pub extension_bytes_max: u64,
    /// Bytes of one package database. Default 64 MiB.
    pub database_bytes_max: u64,
    /// Bytes of one language package's manifest. Default 4 MiB.
    pub manifest_bytes_max: u64,
    /// Bytes of one lockfile. Default 32 MiB.
    pub lockfile_bytes_max: u64,
    /// Bytes of one program that is searched for the packages it was built from. Default 1 GiB.
    pub program_bytes_max: u64,
    /// Bytes of one Java archive. Default 4 GiB.
    pub java_archive_bytes_max: u64,
    /// Bytes of one file that is put into a temporary file because it is too large to be held in memory: what
    /// `--spool-max` says. Default 2 GiB.
    pub spooled_bytes_max: u64,
    /// Bytes of all archives that are nested in one Java archive, together. Default 1 GiB.
    pub java_unpacked_bytes_max: u64,
    /// How deep Java archives are nested that are read. Default 4: jars in a war in an ear, and one more.
    pub java_depth_max: u32,
    /// Packages of one layer, and claims of packages on files. Default 500,000.
    pub packages_max: usize,
    /// Bytes of all small files that are kept whole, together, in one layer. Default 1 MiB.
    pub raw_inputs_bytes_max: u64,
    /// Bytes of one file that is searched for secrets. Default 4 GiB.
    pub secret_file_bytes_max: u64,
    /// Bytes of a file that are searched for secrets at once; larger files are searched in windows that overlap.
    /// Default 4 MiB.
    pub secret_window_bytes: usize,
    /// Bytes of one file that is searched for malware signatures. Default 16 MiB.
    pub malware_file_bytes_max: u64,
    /// Bytes of one archive that lies in a layer and is looked into for secrets and malware. Default 256 MiB.
    pub nested_archive_bytes_max: u64,
    /// Bytes of one member of such an archive. Default 32 MiB.
    pub nested_member_bytes_max: u64,
    /// Bytes of archives inside one another that are held at once. Default 64 MiB.
    pub nested_held_bytes_max: u64,
    /// Bytes that one file of a layer unpacks to, all archives inside it together. Default 2 GiB.
    pub nested_file_bytes_max: u64,
    /// Bytes that all archives of one layer unpack to. Default 8 GiB.
    pub nested_layer_bytes_max: u64,
    /// Members of all archives of one layer. Default 1,000,000.
    pub nested_members_max: u64,
    /// How deep archives are nested that are looked into. Default 5.
    pub nested_depth_max: u32,
    /// Observations of one detector in one layer. Default 100,000.
    pub observations_max: usize,
    /// Gaps of one detector in one layer; one more says how many did not fit. Default 1,000.
    pub gaps_max: usize,
    /// Members of an archive of documents. Default 1,000,000.
    pub archive_members_max: u64,
    /// Uncompressed bytes of one member of an archive of documents. Default 256 MiB.
    pub archive_member_bytes_max: u64,
    /// Uncompressed bytes of an archive of documents. Default 32 GiB.
    pub archive_bytes_max: u64,
}

const MIB: u64 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            layer_bytes_max: 64 << 30,
            ratio_max: 200,
            ratio_from_bytes: 64 * MIB,
            zstd_window_log_max: 26,
            entries_max: 1_000_000,
            names_bytes_max: 64 * MIB,
            extension_bytes_max: MIB,
            database_bytes_max: 64 * MIB,
            manifest_bytes_max: 4 * MIB,
            lockfile_bytes_max: 32 * MIB,
            program_bytes_max: 1 << 30,
            java_archive_bytes_max: 4 << 30,
            spooled_bytes_max: 2 << 30,
            java_unpacked_bytes_max: 1 << 30,
            java_depth_max: 4,
            packages_max: 500_000,
            raw_inputs_bytes_max: MIB,
            secret_file_bytes_max: 4 << 30,
            secret_window_bytes: 4 << 20,
            malware_file_bytes_max: 16 * MIB,
            nested_archive_bytes_max: 256 * MIB,
            nested_member_bytes_max: 32 * MIB,
            nested_held_bytes_max: 64 * MIB,
            nested_file_bytes_max: 2 << 30,
            nested_layer_bytes_max: 8 << 30,
            nested_members_max: 1_000_000,
            nested_depth_max: 5,
            observations_max: 100_000,
            gaps_max: 1_000,
            archive_members_max: 1_000_000,
            archive_member_bytes_max: 256 * MIB,
            archive_bytes_max: 32 << 30,
        }
    }
}

impl Limits {
    /// The limits that can change a detector's facts, as text for its fingerprint.
    pub(crate) fn text_for(&self, detector: Detector) -> String {
        let mut text = format!(
            "layer {} ratio {} from {} window {} entries {} names {} extension {} observations {} gaps {}",
            self.layer_bytes_max,
            self.ratio_max,
            self.ratio_from_bytes,
            self.zstd_window_log_max,
            self.entries_max,
            self.names_bytes_max,
            self.extension_bytes_max,
            self.observations_max,
            self.gaps_max,
        );
        let own = match detector {
            Detector::Files => Ok(()),
            Detector::Configuration => {
                text.clear();
                Ok(())
            }
            Detector::Packages => write!(
                text,
                " database {} manifest {} lockfile {} program {} java {} spooled {} {} {} packages {} raw {}",
                self.database_bytes_max,
                self.manifest_bytes_max,
                self.lockfile_bytes_max,
                self.program_bytes_max,
                self.java_archive_bytes_max,
                self.spooled_bytes_max,
                self.java_unpacked_bytes_max,
                self.java_depth_max,
                self.packages_max,
                self.raw_inputs_bytes_max
            ),
            Detector::Secrets => {
                write!(text, " file {} window {}", self.secret_file_bytes_max, self.secret_window_bytes)
            }
            Detector::Malware => write!(text, " file {}", self.malware_file_bytes_max),
        };
        own.expect("writing to a string cannot fail");
        if matches!(detector, Detector::Secrets | Detector::Malware) {
            text.push_str(&self.nested_text());
        }
        text
    }

    /// The limits of looking into archives.
    fn nested_text(&self) -> String {
        format!(
            " nested {} member {} held {} file {} layer {} members {} depth {}",
            self.nested_archive_bytes_max,
            self.nested_member_bytes_max,
            self.nested_held_bytes_max,
            self.nested_file_bytes_max,
            self.nested_layer_bytes_max,
            self.nested_members_max,
            self.nested_depth_max,
        )
    }
}
