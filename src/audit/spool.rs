//! Where records go when the database can't take them: one file on a local disk, one checksummed line a record, synced
//! before any of them counts as recorded. Shipped when the database is back (`super::Recorder::ship`).
//!
//! The first line names the database that the records belong to. A line is torn only when the process or the machine
//! died in the middle of a write; whoever waited for it was never answered, so at the next start it is cut off.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::domain::audit::{AuditRecord, Chained, RecordText};

/// How the first line begins; the id of the database follows.
const HEADER: &str = "wsts audit spool 1 of database ";

/// From then on an operator should know.
const NEARLY_FULL_PERCENT: u64 = 80;

/// Why a spool can't be opened. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool {0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the spool {0} is in use by another process: give each process an `audit.spool_file` of its own")]
    InUse(PathBuf),
    #[error("{0} is not a spool, and is left as it is: name another file in `audit.spool_file`")]
    NotASpool(PathBuf),
    #[error(
        "the spool {path} holds records of database {found}, but the configured database is {database}: start with that database once, or move the file away"
    )]
    AnotherDatabase { path: PathBuf, found: Uuid, database: String },
}

/// An open spool; no other process can open it meanwhile.
pub struct Spool {
    path: PathBuf,
    file: File,
    /// Length of the first line.
    header: u64,
    /// Length of what is whole and synced.
    length: u64,
    max_bytes: u64,
    records: u64,
    /// There may be a part of a line behind `length`.
    torn: bool,
}

/// Records as lines, ready to be appended.
pub struct Lines {
    bytes: Vec<u8>,
    records: u64,
}

impl Lines {
    pub fn of(records: &[Chained<&RecordText>]) -> Self {
        let lines = records.iter().map(|Chained { record, link }| {
            // Serialising our own plain fields can't fail.
            let text = format!("{} {}", serde_json::to_string(link).unwrap_or_default(), record.json);
            format!("{} {text}\n", checksum(&text))
        });
        Self { bytes: lines.collect::<String>().into_bytes(), records: records.len() as u64 }
    }
}

/// Records read from the spool, and where they end.
pub struct Taken {
    pub records: Vec<Chained<RecordText>>,
    /// Lines that no process of ours wrote so.
    pub spoiled: Vec<String>,
    pub end: u64,
}

impl Spool {
    /// Opens the file, makes it when missing, and puts a torn end aside.
    pub fn open(path: &Path, database: Uuid, max_bytes: u64) -> Result<Self, SpoolError> {
        let fail = |error| SpoolError::File(path.to_owned(), error);
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(fail)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => SpoolError::InUse(path.to_owned()),
            std::fs::TryLockError::Error(error) => fail(error),
        })?;
        let header = format!("{HEADER}{database}\n");
        let mut spool = Self {
            path: path.to_owned(),
            file,
            header: header.len() as u64,
            length: 0,
            max_bytes,
            records: 0,
            torn: false,
        };
        spool.recover(&header)?;
        Ok(spool)
    }

    /// Counts what is whole and puts the rest aside.
    fn recover(&mut self, header: &str) -> Result<(), SpoolError> {
        self.check_header(header)?;
        self.count(header).map_err(|error| SpoolError::File(self.path.clone(), error))
    }

    /// Refuses whatever is neither a spool of this database nor the torn beginning of one, and does not touch it.
    fn check_header(&self, header: &str) -> Result<(), SpoolError> {
        let mut found = Vec::new();
        let mut first = BufReader::new(&self.file).take(header.len() as u64);
        first.read_until(b'\n', &mut found).map_err(|error| SpoolError::File(self.path.clone(), error))?;
        if header.as_bytes().starts_with(&found) {
            return Ok(());
        }
        let database = found.strip_prefix(HEADER.as_bytes()).and_then(|id| str::from_utf8(id).ok());
        Err(
            match (database.and_then(|id| Uuid::parse_str(id.trim_end()).ok()), header.strip_prefix(HEADER)) {
                (Some(found), Some(database)) => SpoolError::AnotherDatabase {
                    path: self.path.clone(),
                    found,
                    database: database.trim_end().to_owned(),
                },
                _ => SpoolError::NotASpool(self.path.clone()),
            },
        )
    }

    fn count(&mut self, header: &str) -> std::io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        let mut lines = BufReader::new(file);
        let (mut line, mut length, mut records) = (Vec::new(), 0, 0_u64);
        while lines.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            records += u64::from(length > 0);
            length += line.len() as u64;
            line.clear();
        }
        if !line.is_empty() {
            tracing::warn!(spool = %self.path.display(), torn.bytes = line.len(), "the spool ended in a torn line, which is put aside: its record was never confirmed, unless somebody damaged the file");
            self.put_aside(&[String::from_utf8_lossy(&line).into_owned()])?;
            self.file.set_len(length)?;
        }
        if length == 0 {
            self.file.write_all(header.as_bytes())?;
            length = self.header;
        }
        self.file.sync_all()?;
        // The name of a new file is durable only with its folder.
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        (self.length, self.records) = (length, records);
        Ok(())
    }

    /// Durable when it returns.
    ///
    /// # Errors
    /// Full (by its bound or the disk's) or broken; then nothing of it is kept.
    pub fn append(&mut self, lines: &Lines) -> std::io::Result<()> {
        let length = self.length + lines.bytes.len() as u64;
        if length > self.max_bytes {
            return Err(std::io::Error::other(format!("it would outgrow {} bytes", self.max_bytes)));
        }
        if self.torn {
            self.file.set_len(self.length)?;
        }
        // What part of it is written must not come before the next line.
        self.torn = true;
        self.file.write_all(&lines.bytes).and_then(|()| self.file.sync_data()).or_else(|error| {
            self.file.set_len(self.length)?;
            self.torn = false;
            Err(error)
        })?;
        self.torn = false;
        self.length = length;
        self.records += lines.records;
        Ok(())
    }

    /// Reads up to `most` records from a place on; [`Taken::end`] is the next place.
    pub fn read(&self, from: u64, most: usize) -> std::io::Result<Taken> {
        let mut file = &self.file;
        if file.metadata()?.len() < self.length {
            return Err(std::io::Error::other(
                "somebody shortened it; restart the service to go on with another one",
            ));
        }
        file.seek(SeekFrom::Start(from.max(self.header)))?;
        let mut end = from.max(self.header);
        let mut lines = BufReader::new(file.take(self.length.saturating_sub(end)));
        let (mut records, mut spoiled, mut line) = (Vec::new(), Vec::new(), Vec::new());
        while records.len() < most && lines.read_until(b'\n', &mut line)? > 0 {
            end += line.len() as u64;
            match parse(&line) {
                Some(record) => records.push(record),
                None => spoiled.push(String::from_utf8_lossy(&line).trim_end().to_owned()),
            }
            line.clear();
        }
        Ok(Taken { records, spoiled, end })
    }

    /// Keeps lines that can't be read beside the spool, for a person to look at.
    pub fn put_aside(&self, spoiled: &[String]) -> std::io::Result<PathBuf> {
        let mut path = self.path.clone().into_os_string();
        path.push(".spoiled");
        let path = PathBuf::from(path);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        for line in spoiled {
            writeln!(file, "{line}")?;
        }
        file.sync_data()?;
        Ok(path)
    }

    /// Empties the spool, if it ends there.
    pub fn clear(&mut self, end: u64) -> std::io::Result<bool> {
        if end != self.length {
            return Ok(false);
        }
        self.file.set_len(self.header)?;
        self.file.sync_data()?;
        (self.length, self.records) = (self.header, 0);
        Ok(true)
    }

    pub const fn is_empty(&self) -> bool {
        self.length == self.header
    }

    pub const fn bytes(&self) -> u64 {
        self.length
    }

    pub const fn records(&self) -> u64 {
        self.records
    }

    pub const fn is_nearly_full(&self) -> bool {
        self.length > self.max_bytes / 100 * NEARLY_FULL_PERCENT
    }
}

/// A quarter of SHA-256, in hexadecimal: enough to see damage. Intent is what the chain's codes are for.
fn checksum(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Checksum, link and record, apart by blanks; neither of the last two holds one but within its strings.
fn parse(line: &[u8]) -> Option<Chained<RecordText>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (_, text) = line.split_once(' ').filter(|(sum, text)| checksum(text) == *sum)?;
    let (link, json) = text.split_once(' ')?;
    let record: AuditRecord = serde_json::from_str(json).ok()?;
    Some(Chained {
        record: RecordText { id: record.id, json: json.to_owned() },
        link: serde_json::from_str(link).ok()?,
    })
}
