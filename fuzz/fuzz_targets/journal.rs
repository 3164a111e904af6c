//! A damaged journal: whatever its bytes are, it is refused or read, never a panic; nor is a document in it.
#![no_main]

use std::io::Write;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tonearm::control::call::Call;
use tonearm::control::operation::Operation;
use tonearm::store::journal::{CallRow, Delivery, Journal, Notification, OperationRow};

/// A journal with a row of everything.
fn whole() -> &'static [u8] {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.sqlite");
        let journal = Journal::open(&path).expect("a new journal");
        for seq in 0..20 {
            let id = format!("01a20fab-6bb3-7729-a13a-5af66d2a18{seq:02}");
            let call = CallRow { id: id.clone(), app: "bot".into(), doc: "{}".into() };
            journal.put_call(&call).expect("a call");
            let row = OperationRow {
                id: id.clone(),
                call_id: "bot/mic".into(),
                app: "bot".into(),
                seq,
                ended: seq % 3 > 0,
                created_ms: seq,
                doc: "{}".repeat(200),
            };
            let told = Notification {
                webhook_id: id,
                order_key: "bot/mic".into(),
                app: "bot".into(),
                callback_uri: "http://127.0.0.1/".into(),
                body: "{}".into(),
                since_ms: seq,
            };
            journal.put_operation_with_outbox(&row, &[told]).expect("an operation");
        }
        // Closed, it is one file without a log beside it.
        drop(journal);
        std::fs::read(&path).expect("the journal")
    })
}

/// The first byte chooses: a document, the file's bytes as they come, or changes to a whole journal, three bytes each.
fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let file = match kind % 3 {
        0 => {
            let _ = serde_json::from_slice::<Operation>(rest);
            let _ = serde_json::from_slice::<Call>(rest);
            return;
        }
        1 => rest.to_vec(),
        _ => {
            let mut file = whole().to_vec();
            for change in rest.as_chunks::<3>().0 {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
                file[at] = change[2];
            }
            file
        }
    };
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let path = folder.path().join("journal.sqlite");
    std::fs::File::create(&path).and_then(|mut to| to.write_all(&file)).expect("the file");
    let Ok(journal) = Journal::open(&path) else { return };
    let _ = journal.all_calls();
    let _ = journal.all_operations();
    let _ = journal.due(i64::MAX, 10);
    let _ = journal.list("bot", Delivery::Pending, 0, 10);
    let _ = journal.forget(i64::MAX, i64::MAX);
});
