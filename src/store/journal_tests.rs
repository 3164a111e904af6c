use super::*;

fn operation_row(id: &str, seq: i64, ended: bool) -> OperationRow {
    OperationRow {
        id: id.into(),
        call_id: "front".into(),
        app: "bot".into(),
        seq,
        ended,
        created_ms: 1_000 + seq,
        doc: format!("{{\"id\":\"{id}\"}}"),
    }
}

fn notification(id: &str, call: &str, since_ms: i64) -> Notification {
    Notification {
        webhook_id: id.into(),
        order_key: call.into(),
        app: "bot".into(),
        callback_uri: "http://127.0.0.1:1/".into(),
        body: "{}".into(),
        since_ms,
    }
}

fn fresh() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join("journal.sqlite")).unwrap();
    (folder, journal)
}

fn ids(rows: &[OutboxRow]) -> Vec<&str> {
    rows.iter().map(|row| row.notification.webhook_id.as_str()).collect()
}

#[test]
fn what_was_stored_is_there_after_the_process_died() {
    let (folder, journal) = fresh();
    let call = CallRow { id: "front".into(), app: "bot".into(), doc: "{}".into() };
    journal.put_call(&call).unwrap();
    journal.put_operation(&operation_row("b", 2, false)).unwrap();
    journal.put_operation(&operation_row("a", 1, false)).unwrap();
    journal.put_operation_with_outbox(&operation_row("a", 1, true), &[notification("w", "front", 5)]).unwrap();
    // Neither closed nor checkpointed: the file and its -wal are what a killed process leaves.
    std::mem::forget(journal);

    let journal = Journal::open(&folder.path().join("journal.sqlite")).unwrap();
    assert_eq!(journal.all_calls().unwrap(), [call]);
    assert_eq!(journal.operations("front").unwrap(), [operation_row("a", 1, true), operation_row("b", 2, false)]);
    assert_eq!(journal.unfinished().unwrap(), [operation_row("b", 2, false)]);
    assert_eq!(ids(&journal.due(5, 10).unwrap()), ["w"]);
    journal.delete_operations(&[Gone { id: "a".into(), app: "bot".into(), since_ms: 7 }]).unwrap();
    assert_eq!(journal.operation("a").unwrap(), None);
    assert_eq!((journal.gone("a").unwrap().as_deref(), journal.gone("b").unwrap()), (Some("bot"), None));
    assert_eq!(ids(&journal.list("bot", Delivery::Pending, 0, 10).unwrap()), ["w"]);
}

#[test]
fn an_ending_and_its_notification_are_stored_together_or_not_at_all() {
    let (_folder, journal) = fresh();
    journal.put_operation(&operation_row("a", 1, false)).unwrap();
    journal
        .lock()
        .execute_batch("CREATE TRIGGER broken BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    assert!(journal.put_operation_with_outbox(&operation_row("a", 1, true), &[notification("w", "front", 5)]).is_err());
    assert!(!journal.operation("a").unwrap().unwrap().ended);
    journal.lock().execute_batch("DROP TRIGGER broken").unwrap();
    for _ in 0..2 {
        journal.put_operation_with_outbox(&operation_row("a", 1, true), &[notification("w", "front", 5)]).unwrap();
    }
    assert_eq!(journal.list("bot", Delivery::Pending, 0, 10).unwrap().len(), 1, "replaying an ending notifies once");
}

#[test]
fn notifications_of_one_call_never_overtake_and_calls_do_not_wait_for_each_other() {
    let (_folder, journal) = fresh();
    let all = [notification("a1", "a", 10), notification("a2", "a", 10), notification("b1", "b", 20)];
    journal.put_operation_with_outbox(&operation_row("x", 1, true), &all).unwrap();
    assert_eq!(ids(&journal.due(9, 10).unwrap()), [""; 0]);
    assert_eq!(journal.next_due_ms().unwrap(), Some(10));
    let due = journal.due(20, 10).unwrap();
    assert_eq!(ids(&due), ["a1", "b1"]);

    journal.retry(due[0].seq, 500, "HTTP 503").unwrap();
    assert_eq!(ids(&journal.due(20, 10).unwrap()), ["b1"], "a2 waits behind a1");
    journal.delivered(due[1].seq).unwrap();
    assert_eq!(journal.next_due_ms().unwrap(), Some(500));
    let retried = &journal.due(500, 10).unwrap()[0];
    assert_eq!((retried.attempts, retried.last_error.as_deref()), (1, Some("HTTP 503")));

    journal.undeliverable(due[0].seq, "gave up").unwrap();
    assert_eq!(ids(&journal.due(500, 10).unwrap()), ["a2"]);
    let kept = journal.list("bot", Delivery::Undeliverable, 0, 10).unwrap();
    assert_eq!((ids(&kept), kept[0].attempts, kept[0].last_error.as_deref()), (vec!["a1"], 2, Some("gave up")));
}

#[test]
fn an_undeliverable_notification_can_be_repeated_under_its_id() {
    let (_folder, journal) = fresh();
    journal.put_operation_with_outbox(&operation_row("x", 1, true), &[notification("w", "a", 10)]).unwrap();
    assert_eq!(journal.repeat("bot", "w", 50), Ok(Some(Delivery::Pending)), "it waits already");
    let seq = journal.due(10, 1).unwrap()[0].seq;
    journal.undeliverable(seq, "gone").unwrap();
    assert_eq!(journal.next_due_ms().unwrap(), None);
    assert_eq!(journal.repeat("another", "w", 50), Ok(None), "what is another's");
    assert_eq!(journal.repeat("bot", "w", 50), Ok(Some(Delivery::Undeliverable)));
    let again = &journal.due(50, 1).unwrap()[0];
    assert_eq!((again.seq, again.attempts, again.notification.since_ms), (seq, 0, 50));
    assert_eq!(journal.repeat("bot", "unknown", 50), Ok(None));
}

#[test]
fn an_idempotency_key_keeps_its_first_operation_until_it_expires() {
    let (_folder, journal) = fresh();
    let key = |hash: &str| IdempotencyKey {
        app: "bot".into(),
        path: "/app/calls/front/record".into(),
        key: "k".into(),
        body_hash: hash.into(),
    };
    assert_eq!(journal.lookup(&key("h"), 0).unwrap(), Claim::New);
    assert_eq!(journal.claim(&key("h"), &operation_row("a", 1, false), 0).unwrap(), Claim::New);
    let repeated = Claim::Repeated { operation_id: "a".into() };
    assert_eq!(journal.claim(&key("h"), &operation_row("b", 2, false), 0).unwrap(), repeated);
    assert_eq!(journal.operation("b").unwrap(), None);
    assert_eq!(journal.claim(&key("other"), &operation_row("b", 2, false), 0).unwrap(), Claim::OtherBody);
    assert_eq!(journal.claim(&key("other"), &operation_row("b", 2, false), 1_002).unwrap(), Claim::New);
    assert_eq!(journal.lookup(&key("other"), 0).unwrap(), Claim::Repeated { operation_id: "b".into() });
    assert_eq!(journal.forget(1_003, 0).unwrap(), 1);
    assert_eq!(journal.lookup(&key("other"), 0).unwrap(), Claim::New);
}

#[test]
fn a_journal_of_schema_1_is_taken_over_and_what_was_deleted_in_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(SCHEMAS[0]).unwrap();
    old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let add = "INSERT INTO operations VALUES (?1, 'front', 'bot', ?2, 'ended', 5, ?3)";
    for (n, (id, doc)) in
        [("kept", r#"{"forgotten":false}"#), ("deleted", r#"{"forgotten":true}"#), ("odd", "?")].into_iter().enumerate()
    {
        old.execute(add, params![id, n as i64, doc]).unwrap();
    }
    drop(old);
    let journal = Journal::open(&path).unwrap();
    let left: Vec<String> = journal.all_operations().unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(left, ["kept", "odd"]);
    assert_eq!(journal.gone("deleted").unwrap().as_deref(), Some("bot"));
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().all_operations().unwrap().len(), 2, "once");
}

#[test]
fn a_journal_that_is_only_read_can_be_open_elsewhere_and_is_left_as_it_is() {
    let (folder, journal) = fresh();
    journal.put_operation(&operation_row("a", 1, true)).unwrap();
    let other = Journal::read(&folder.path().join("journal.sqlite")).unwrap();
    assert_eq!(other.all_operations().unwrap().len(), 1);
    assert!(other.put_operation(&operation_row("b", 2, true)).is_err());
    assert!(Journal::read(&folder.path().join("none")).is_err());
}

#[test]
fn a_journal_of_a_newer_version_is_refused_and_left_as_it_is() {
    let (folder, journal) = fresh();
    journal.lock().pragma_update(None, "user_version", 99).unwrap();
    drop(journal);
    let path = folder.path().join("journal.sqlite");
    let before = std::fs::read(&path).unwrap();
    let error = Journal::open(&path).err().unwrap();
    assert_eq!(error, JournalError::Newer { found: 99, known: SCHEMA });
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_journal_is_refused_and_can_be_moved_aside() {
    let (folder, journal) = fresh();
    for n in 0..200 {
        journal.put_operation(&operation_row(&format!("operation {n}"), n, false)).unwrap();
    }
    drop(journal);
    let path = folder.path().join("journal.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len();
    bytes[4_096..last].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let error = Journal::open(&path).err().unwrap();
    assert!(matches!(error, JournalError::Corrupt(_)), "{error}");
    let moved = Journal::quarantine(&path, &folder.path().join("quarantine"), "20261124").unwrap();
    assert_eq!(std::fs::metadata(moved).unwrap().len(), last as u64);
    assert!(Journal::open(&path).unwrap().unfinished().unwrap().is_empty());
}

#[test]
fn what_is_no_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, but long enough to be looked at: ".repeat(100)).unwrap();
    assert!(matches!(Journal::open(&text).err().unwrap(), JournalError::Corrupt(_)));
    let other = folder.path().join("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert_eq!(Journal::open(&other).err().unwrap(), JournalError::Foreign);
    assert!(matches!(Journal::open(&folder.path().join("no/such/folder")).err().unwrap(), JournalError::Failed(_)));
}
