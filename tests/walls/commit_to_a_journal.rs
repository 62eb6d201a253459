// Whoever adds to a chain passes `engagement::decide`; nothing outside the ledger writes an event as it likes.
use countersign::{
    engagement::{Actor, Body},
    ledger::Journal,
};
use jiff::Timestamp;

async fn write(journal: &mut Journal) {
    let body = Body::Cancelled { reason: "because".into() };
    journal.write(Timestamp::UNIX_EPOCH, vec![(Actor::Program, body)], &[]).await.unwrap();
}

fn main() {}
