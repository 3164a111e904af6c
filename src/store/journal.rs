//! The journal: one SQLite file that keeps documents and gives them no meaning.
//!
//! Belongs here: SQL. Does not: what a call or an operation is, when to try again (`control`).
//! Every call blocks, up to a disk's fsync: callers on tokio use the blocking pool. A call that has returned is on the disk.

mod rows;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

pub use rows::{CallRow, Claim, Delivery, Gone, IdempotencyKey, JournalError, Notification, OperationRow, OutboxRow};

/// What makes each schema of the one before; the first of nothing. The schema is kept in SQLite's `user_version`.
const SCHEMAS: [&str; 2] = [include_str!("journal/schema.sql"), include_str!("journal/gone.sql")];
const SCHEMA: i64 = SCHEMAS.len() as i64;
/// "tone", in SQLite's `application_id`: so that nobody's other database is taken for a journal.
const APPLICATION_ID: i64 = 0x746F_6E65;
/// How long to wait for someone who reads the file with another tool.
const BUSY: Duration = Duration::from_secs(5);

const OPERATION: &str = "SELECT id, call_id, app, seq, state, created_ms, doc FROM operations";
const OUTBOX: &str = "SELECT seq, webhook_id, order_key, app, callback_uri, body, state, attempts, since_ms, next_at_ms, last_error FROM outbox";
/// Of each order key the oldest that waits: the others must not overtake it.
const HEADS: &str = "state = 'pending' AND NOT EXISTS (SELECT 1 FROM outbox AS older
    WHERE older.state = 'pending' AND older.order_key = outbox.order_key AND older.seq < outbox.seq)";

type Result<T> = std::result::Result<T, JournalError>;

/// The open journal.
pub struct Journal {
    connection: Mutex<Connection>,
}

impl Journal {
    /// Opens the journal, or makes an empty one. What is damaged or newer is refused and left as it is.
    pub fn open(path: &Path) -> Result<Journal> {
        // SQLite would make it readable by everybody; its -wal and -shm take the mode of the file.
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        made.map_err(|e| JournalError::Failed(format!("{}: {e}", path.display())))?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        let version = accept(&connection)?;
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(JournalError::Corrupt(verdict));
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A notification that was promised must survive a power cut: NORMAL may lose the last commits.
        connection.pragma_update(None, "synchronous", "FULL")?;
        if version < SCHEMA {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for schema in &SCHEMAS[usize::try_from(version).unwrap_or(0)..] {
                transaction.execute_batch(schema)?;
            }
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
            transaction.commit()?;
        }
        Ok(Journal { connection: Mutex::new(connection) })
    }

    /// Opens a journal that somebody else may have open, to read it only.
    pub fn read(path: &Path) -> Result<Journal> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(BUSY)?;
        accept(&connection)?;
        Ok(Journal { connection: Mutex::new(connection) })
    }

    /// Moves a damaged journal and what belongs to it into `folder`, and returns where it lies now.
    pub fn quarantine(path: &Path, folder: &Path, stamp: &str) -> io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let target = folder.join(format!("{name}.{stamp}"));
        for suffix in ["-wal", "-shm", ""] {
            let from = PathBuf::from(format!("{}{suffix}", path.display()));
            if from.exists() {
                std::fs::rename(from, format!("{}{suffix}", target.display()))?;
            }
        }
        Ok(target)
    }

    /// Stores a call, new or changed.
    pub fn put_call(&self, row: &CallRow) -> Result<()> {
        let sql = "INSERT INTO calls (id, app, doc) VALUES (?1, ?2, ?3)
            ON CONFLICT (id) DO UPDATE SET app = excluded.app, doc = excluded.doc";
        self.lock().prepare_cached(sql)?.execute(params![row.id, row.app, row.doc])?;
        Ok(())
    }

    /// Stores a call together with the notifications of its change: both or neither.
    pub fn put_call_with_outbox(&self, row: &CallRow, notifications: &[Notification]) -> Result<()> {
        self.atomically(|tx| {
            tx.prepare_cached("INSERT OR REPLACE INTO calls (id, app, doc) VALUES (?1, ?2, ?3)")?
                .execute(params![row.id, row.app, row.doc])?;
            put_outbox(tx, notifications)
        })
    }

    /// Every call.
    pub fn all_calls(&self) -> Result<Vec<CallRow>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT id, app, doc FROM calls ORDER BY id")?;
        let rows =
            statement.query_map([], |row| Ok(CallRow { id: row.get(0)?, app: row.get(1)?, doc: row.get(2)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Forgets a call; its operations stay until they are deleted themselves.
    pub fn delete_call(&self, id: &str) -> Result<bool> {
        Ok(self.lock().prepare_cached("DELETE FROM calls WHERE id = ?1")?.execute([id])? > 0)
    }

    /// Stores an operation, new or changed.
    pub fn put_operation(&self, row: &OperationRow) -> Result<()> {
        self.put_operation_with_outbox(row, &[])
    }

    /// Stores an operation together with the notifications of its change: both or neither. A notification whose
    /// `webhook_id` is in the outbox already is not entered again.
    pub fn put_operation_with_outbox(&self, row: &OperationRow, notifications: &[Notification]) -> Result<()> {
        self.atomically(|tx| {
            put_operation(tx, row)?;
            put_outbox(tx, notifications)
        })
    }

    /// Enters notifications that belong to no change of an operation or call.
    pub fn put_outbox(&self, notifications: &[Notification]) -> Result<()> {
        self.atomically(|tx| put_outbox(tx, notifications))
    }

    /// One operation.
    pub fn operation(&self, id: &str) -> Result<Option<OperationRow>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&format!("{OPERATION} WHERE id = ?1"))?;
        Ok(statement.query_row([id], operation).optional()?)
    }

    /// The operations of a call in their order.
    pub fn operations(&self, call_id: &str) -> Result<Vec<OperationRow>> {
        self.operations_where("call_id = ?1", [call_id])
    }

    /// Every operation that has not ended: after a crash, what start-up has to finish.
    pub fn unfinished(&self) -> Result<Vec<OperationRow>> {
        self.operations_where("state = 'live'", [])
    }

    /// Every operation, for start-up.
    pub fn all_operations(&self) -> Result<Vec<OperationRow>> {
        self.operations_where("true", [])
    }

    /// Forgets operations but for that they are gone; what of them is in the outbox is still sent.
    pub fn delete_operations(&self, gone: &[Gone]) -> Result<()> {
        self.atomically(|tx| {
            let mut delete = tx.prepare_cached("DELETE FROM operations WHERE id = ?1")?;
            let mut remember =
                tx.prepare_cached("INSERT OR REPLACE INTO gone (id, app, since_ms) VALUES (?1, ?2, ?3)")?;
            for one in gone {
                delete.execute([&one.id])?;
                remember.execute(params![one.id, one.app, one.since_ms])?;
            }
            Ok(())
        })
    }

    /// The application of an operation that is gone.
    pub fn gone(&self, id: &str) -> Result<Option<String>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT app FROM gone WHERE id = ?1")?;
        Ok(statement.query_row([id], |row| row.get(0)).optional()?)
    }

    /// What may be sent now, the longest due first: of each order key only the oldest that waits.
    pub fn due(&self, now_ms: i64, limit: i64) -> Result<Vec<OutboxRow>> {
        let sql = format!("{OUTBOX} WHERE next_at_ms <= ?1 AND {HEADS} ORDER BY next_at_ms, seq LIMIT ?2");
        self.outbox(&sql, params![now_ms, limit])
    }

    /// When something is due next, Unix milliseconds.
    pub fn next_due_ms(&self) -> Result<Option<i64>> {
        let sql = format!("SELECT min(next_at_ms) FROM outbox WHERE {HEADS}");
        Ok(self.lock().prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
    }

    /// The callback took it.
    pub fn delivered(&self, seq: i64) -> Result<()> {
        self.settle(seq, "state = 'delivered', last_error = NULL", None)
    }

    /// It failed and is tried again at `next_at_ms`.
    pub fn retry(&self, seq: i64, next_at_ms: i64, error: &str) -> Result<()> {
        let sql = "UPDATE outbox SET attempts = attempts + 1, next_at_ms = ?2, last_error = ?3 WHERE seq = ?1 AND state = 'pending'";
        self.lock().prepare_cached(sql)?.execute(params![seq, next_at_ms, error])?;
        Ok(())
    }

    /// Nobody tries any more; what waited behind it goes on.
    pub fn undeliverable(&self, seq: i64, error: &str) -> Result<()> {
        self.settle(seq, "state = 'undeliverable', attempts = attempts + 1, last_error = ?2", Some(error))
    }

    /// Sends a settled notification of an application again, under the same id. Returns what it was until now, and `None`
    /// if there is none; one that waits goes on waiting.
    pub fn repeat(&self, app: &str, webhook_id: &str, now_ms: i64) -> Result<Option<Delivery>> {
        self.atomically(|tx| {
            let sql = "SELECT state FROM outbox WHERE webhook_id = ?1 AND app = ?2";
            let found = tx.query_row(sql, params![webhook_id, app], |row| state(row, 0)).optional()?;
            let sql = "UPDATE outbox SET state = 'pending', attempts = 0, since_ms = ?2, next_at_ms = ?2
                WHERE webhook_id = ?1 AND state <> 'pending'";
            if found.is_some() {
                tx.execute(sql, params![webhook_id, now_ms])?;
            }
            Ok(found)
        })
    }

    /// An application's rows of one state, the oldest first: at most `limit` of those behind `after`.
    pub fn list(&self, app: &str, state: Delivery, after: i64, limit: usize) -> Result<Vec<OutboxRow>> {
        let sql = format!("{OUTBOX} WHERE state = ?1 AND app = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4");
        self.outbox(&sql, params![state.name(), app, after, limit as i64])
    }

    /// How many rows there are of each state.
    pub fn counts(&self) -> Result<Vec<(Delivery, i64)>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT state, count(*) FROM outbox GROUP BY state")?;
        let rows = statement.query_map([], |row| Ok((state(row, 0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Makes the key stand for the operation and stores that, both or neither; a key that was claimed at or after
    /// `oldest_ms` keeps its first operation, and `operation` is not stored.
    pub fn claim(&self, key: &IdempotencyKey, operation: &OperationRow, oldest_ms: i64) -> Result<Claim> {
        self.atomically(|tx| {
            let found = find(tx, key, oldest_ms)?;
            if found == Claim::New {
                let sql = "INSERT OR REPLACE INTO idempotency (app, path, key, body_hash, operation_id, created_ms)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let IdempotencyKey { app, path, key, body_hash } = key;
                tx.prepare_cached(sql)?.execute(params![
                    app,
                    path,
                    key,
                    body_hash,
                    operation.id,
                    operation.created_ms
                ])?;
                put_operation(tx, operation)?;
            }
            Ok(found)
        })
    }

    /// What claiming the key would come to.
    pub fn lookup(&self, key: &IdempotencyKey, oldest_ms: i64) -> Result<Claim> {
        find(&self.lock(), key, oldest_ms)
    }

    /// Deletes delivered notifications and idempotency keys from before `before_ms`, and what else is only remembered from
    /// before `long_before_ms`: undeliverable notifications, and that operations are gone. Returns how many rows.
    pub fn forget(&self, before_ms: i64, long_before_ms: i64) -> Result<usize> {
        self.atomically(|tx| {
            let sent = tx.execute("DELETE FROM outbox WHERE state = 'delivered' AND since_ms < ?1", [before_ms])?;
            let keys = tx.execute("DELETE FROM idempotency WHERE created_ms < ?1", [before_ms])?;
            let unsent = "DELETE FROM outbox WHERE state = 'undeliverable' AND since_ms < ?1";
            let unsent = tx.execute(unsent, [long_before_ms])?;
            Ok(sent + keys + unsent + tx.execute("DELETE FROM gone WHERE since_ms < ?1", [long_before_ms])?)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // Whoever panicked in here has rolled back: the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn atomically<T>(&self, work: impl FnOnce(&Transaction) -> Result<T>) -> Result<T> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    fn operations_where(&self, condition: &str, params: impl rusqlite::Params) -> Result<Vec<OperationRow>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&format!("{OPERATION} WHERE {condition} ORDER BY seq"))?;
        Ok(statement.query_map(params, operation)?.collect::<rusqlite::Result<_>>()?)
    }

    fn outbox(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<OutboxRow>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_map(params, outbox_row)?.collect::<rusqlite::Result<_>>()?)
    }

    fn settle(&self, seq: i64, change: &str, error: Option<&str>) -> Result<()> {
        let sql = format!("UPDATE outbox SET {change} WHERE seq = ?1 AND state = 'pending'");
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        match error {
            Some(error) => statement.execute(params![seq, error])?,
            None => statement.execute([seq])?,
        };
        Ok(())
    }
}

/// The schema of a database if it is a journal that we know; 0 if it is empty.
fn accept(connection: &Connection) -> Result<i64> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        return Err(JournalError::Foreign);
    }
    if version > SCHEMA {
        return Err(JournalError::Newer { found: version, known: SCHEMA });
    }
    Ok(version)
}

fn put_operation(tx: &Transaction, row: &OperationRow) -> Result<()> {
    let sql =
        "INSERT INTO operations (id, call_id, app, seq, state, created_ms, doc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id, app = excluded.app, seq = excluded.seq,
            state = excluded.state, created_ms = excluded.created_ms, doc = excluded.doc";
    let state = if row.ended { "ended" } else { "live" };
    tx.prepare_cached(sql)?.execute(params![row.id, row.call_id, row.app, row.seq, state, row.created_ms, row.doc])?;
    Ok(())
}

fn put_outbox(tx: &Transaction, notifications: &[Notification]) -> Result<()> {
    let sql =
        "INSERT INTO outbox (webhook_id, order_key, app, callback_uri, body, state, attempts, since_ms, next_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, 'pending', 0, ?6, ?6) ON CONFLICT (webhook_id) DO NOTHING";
    let mut statement = tx.prepare_cached(sql)?;
    for n in notifications {
        statement.execute(params![n.webhook_id, n.order_key, n.app, n.callback_uri, n.body, n.since_ms])?;
    }
    Ok(())
}

fn find(connection: &Connection, key: &IdempotencyKey, oldest_ms: i64) -> Result<Claim> {
    let sql = "SELECT body_hash, operation_id FROM idempotency
        WHERE app = ?1 AND path = ?2 AND key = ?3 AND created_ms >= ?4";
    let first = connection
        .prepare_cached(sql)?
        .query_row(params![key.app, key.path, key.key, oldest_ms], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match first {
        None => Claim::New,
        Some((hash, operation_id)) if key.body_hash == String::as_str(&hash) => Claim::Repeated { operation_id },
        Some(_) => Claim::OtherBody,
    })
}

fn operation(row: &Row) -> rusqlite::Result<OperationRow> {
    Ok(OperationRow {
        id: row.get(0)?,
        call_id: row.get(1)?,
        app: row.get(2)?,
        seq: row.get(3)?,
        ended: row.get_ref(4)?.as_str()? == "ended",
        created_ms: row.get(5)?,
        doc: row.get(6)?,
    })
}

fn state(row: &Row, column: usize) -> rusqlite::Result<Delivery> {
    // The schema holds the column to the three words.
    Ok(Delivery::from_name(row.get_ref(column)?.as_str()?).unwrap_or(Delivery::Undeliverable))
}

fn outbox_row(row: &Row) -> rusqlite::Result<OutboxRow> {
    let notification = Notification {
        webhook_id: row.get(1)?,
        order_key: row.get(2)?,
        app: row.get(3)?,
        callback_uri: row.get(4)?,
        body: row.get(5)?,
        since_ms: row.get(8)?,
    };
    let state = state(row, 6)?;
    let (attempts, next_at_ms, last_error) = (row.get(7)?, row.get(9)?, row.get(10)?);
    Ok(OutboxRow { seq: row.get(0)?, notification, state, attempts, next_at_ms, last_error })
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> JournalError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => JournalError::Corrupt(error.to_string()),
            Some(ErrorCode::DiskFull) => JournalError::DiskFull,
            _ => JournalError::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
