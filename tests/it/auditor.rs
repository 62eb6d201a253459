//! What an auditor gives to `verify` and is told: engagements, files of the same name, the keys of ledger and signers that they
//! know, and whatever else lies there.

use crate::{
    bench::{Bench, run_in},
    bundle::finished,
};

#[test]
fn what_lies_here_under_the_id_of_an_engagement_is_not_taken_for_it() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    bench.run(&["export", &id, &id]).code(0);
    // The folder is as it was, and the ledger is not.
    bench.run(&["verify", &id]).code(0).shows(&format!("`countersign verify ./{id}` checks that"));
    let ledger = rusqlite::Connection::open(bench.root.join(".countersign/ledger.db")).unwrap();
    let last = bench.json(&["show", &id])["events"].as_u64().unwrap();
    let cut = format!("DROP TRIGGER events_last; DELETE FROM events WHERE engagement = '{id}' AND seq = {last}");
    ledger.execute_batch(&cut).unwrap();
    let own = format!("./{id}");
    bench.run(&["verify", &own]).code(0).shows("The chain holds");
    let all = format!("DELETE FROM events WHERE engagement = '{id}'");
    ledger.execute_batch(&all).unwrap();
    bench.run(&["verify", &id]).code(5).says("none of its events is here: they were taken out");
    bench.run(&["verify", &own]).code(0).shows("The chain holds");
    // Neither is the beginning of an id, nor what no engagement has.
    let other = bench.request_one();
    let (begin, free) = (&other[..4], if other == "00000" || id == "00000" { "11111" } else { "00000" });
    for (name, says) in [(begin, format!("stands for the engagement {other}")), (free, "there is no engagement".into())]
    {
        std::fs::create_dir(bench.root.join(name)).unwrap();
        bench.run(&["verify", name]).code(2).says(&says).says(&format!("`countersign verify ./{name}`"));
    }
    // However it is typed, and where something lies that is called so.
    std::fs::create_dir(bench.root.join(&other)).unwrap();
    for typed in [other.to_uppercase(), format!("{other} ")] {
        let _ = std::fs::create_dir(bench.root.join(&typed));
        bench.run(&["verify", &typed]).code(0).shows(&format!("{other}  "));
    }
    bench.run(&["verify", &format!("{id}/")]).code(0).shows("The chain holds");
    // Nor is it where the workspace cannot be opened, and how to have it is said.
    let toml = bench.read("countersign.toml");
    bench.write("countersign.toml", "version = ");
    bench.run(&["verify", &id]).code(2).says(&format!("`countersign verify ./{id}` checks that"));
    bench.run(&["verify", &own]).code(0).shows("The chain holds");
    bench.write("countersign.toml", &toml);
    // Where there is no workspace, it is what lies there.
    let alone = tempfile::tempdir().unwrap();
    std::fs::rename(bench.root.join(&id), alone.path().join(&id)).unwrap();
    run_in(alone.path(), &["verify", &id]).code(0).shows("The chain holds");
}

#[test]
fn verify_says_what_it_was_given_and_what_it_found_on_a_name_alone() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    let answers = bench.events(&id, "approval.answered");
    let said = format!("1 answer: gate 1 (the spec) by ada (event {})", answers[0]["seq"]);
    bench.run(&["verify", &id]).code(0).shows("on a name alone").shows(&said);
    let verified = bench.json(&["verify", &id]);
    assert_eq!(verified["on_a_name"], 1);
    // Which engagement it is, and how it ended.
    let title = bench.json(&["show", &id])["title"].as_str().unwrap().to_owned();
    assert_eq!(verified["of"], serde_json::json!({"engagement": id, "title": title, "outcome": null}));
    bench.run(&["verify", &id]).code(0).shows(&format!("{id}  {title} (open)"));
    // What is neither file nor engagement, in a workspace and outside.
    let alone = tempfile::tempdir().unwrap();
    bench.run(&["verify", "nodir"]).code(2).says("`nodir` is no folder or bundle that is here").says("no engagement");
    run_in(alone.path(), &["verify", "nodir"]).code(2).says("`nodir` is no folder or bundle that is here");
    bench.run(&["verify", "countersign.toml"]).code(2).says("countersign.toml is no bundle; give what");
    bench.run(&["verify", "countersign.toml", "--json"]).code(2);
    run_in(alone.path(), &["verify", "/dev/null"]).code(2).says("not a plain file");
    // Signers that are none are named by the file that was given.
    let key = bench.key_of("ada");
    let public = format!("{key}.pub").replace(".key.pub", ".pub");
    let wrong = bench.run(&["verify", &id, "--signers", &public]).code(2).says(&format!("{public}:1: "));
    assert!(!wrong.err.contains("policies/allowed_signers"), "{}", wrong.err);
    let strangers = alone.path().join("strangers");
    std::fs::write(&strangers, "# nobody\n").unwrap();
    let strangers = strangers.to_str().unwrap();
    bench.run(&["verify", &id, "--signers", strangers]).code(5).shows("none of the signers given has signed");
    // The chain of trust stages is held against them as well.
    bench.trust("vlan@lab", "2", "ten clean runs");
    bench.run(&["verify", "trust", "--signers", "policies/allowed_signers"]).code(0).shows("as the signers given");
    bench.run(&["show", "trust"]).code(2).says("there is no engagement `trust`");
    let unknown = bench.run(&["verify", "trust", "--signers", strangers]).code(5).shows("event 1: ");
    assert!(unknown.out.contains(&format!("{strangers} has no line for `ada`")), "{}", unknown.out);
}

#[test]
fn an_auditor_is_told_what_of_the_log_is_shown_and_holds_the_key_that_they_have_against_it() {
    let (bench, id) = finished();
    let (file, key) = (bench.outside("k.bundle.tar"), bench.outside("ledger-keys.txt"));
    let name = file.to_str().unwrap();
    bench.run(&["export", &id, "--bundle", name]).code(0);
    std::fs::write(&key, bench.run(&["keys", "show"]).code(0).out).unwrap();
    let key = key.to_str().unwrap();
    let vkey = bench.json(&["keys", "show"])["keys"][0]["key"].as_str().unwrap().to_owned();
    let other = Bench::new();
    let strange = other.json(&["keys", "rotate"])["keys"][1]["key"].as_str().unwrap().to_owned();
    let size = bench.json(&["log", "checkpoint"])["size"].clone();
    for what in [id.as_str(), name] {
        let said = bench.json(&["verify", what, "--key", &vkey]);
        let log = serde_json::json!({"id": vkey.split('+').next().unwrap(), "size": size, "witnessed": false});
        assert_eq!(said["log"], log, "{what}");
        bench.run(&["verify", what, "--key", key]).code(0).shows("are those that were given");
        bench.run(&["verify", what, "--key", &vkey, "--key", &strange]).code(5).shows("is none of this ledger's");
    }
    for what in ["log", "trust"] {
        bench.run(&["verify", what, "--key", key]).code(0);
        let said = bench.run(&["verify", what, "--key", &strange]).code(5);
        assert!(format!("{}{}", said.out, said.err).contains("is none of this ledger's"));
    }
    bench.run(&["verify", &id, "--key", "nonsense"]).code(2).says("countersign keys show");
    // Who cosigned a checkpoint is named, and that nobody looked at their signature.
    let published = bench.outside("published");
    let note = bench.run(&["log", "checkpoint"]).code(0).out;
    let cosigned = format!("{note}— witness.example.com/w1 {}\n", "A".repeat(96));
    std::fs::write(&published, cosigned).unwrap();
    let published = published.to_str().unwrap();
    for what in [id.as_str(), name, "log", "trust"] {
        bench
            .run(&["verify", what, "--against", published])
            .code(0)
            .shows("witness.example.com/w1")
            .shows("not checked");
    }
    for what in [id.as_str(), "trust"] {
        assert_eq!(bench.json(&["verify", what, "--against", published])["log"]["witnessed"], true, "{what}");
    }
}

#[test]
fn the_key_that_an_auditor_knows_is_to_vouch_for_all_that_it_signed() {
    let bench = Bench::new();
    let id = bench.request_one();
    bench.to_gate2(&id);
    let (early, key) = (bench.outside("early"), bench.outside("ledger-keys.txt"));
    std::fs::write(&early, bench.run(&["log", "checkpoint"]).code(0).out).unwrap();
    std::fs::write(&key, bench.run(&["keys", "show"]).code(0).out).unwrap();
    bench.approve(&id);
    bench.drive(&id, 0);
    let (key, early) = (key.to_str().unwrap(), early.to_str().unwrap());
    let (old, new) = (bench.outside("old.tar"), bench.outside("new.tar"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    bench.run(&["export", &id, "--bundle", old, "--against", early]).code(0);
    bench.run(&["export", &id, "--bundle", new]).code(0);
    // Whoever has a proof of the beginning may have written the rest.
    let gate2 = bench.events(&id, "approval.answered")[1]["seq"].to_string();
    let says = format!("event {gate2} (events.jsonl): the log has a leaf of this event (approval.answered)");
    bench.run(&["verify", old]).code(0).shows(&format!("note: UNDER NO CHECKPOINT: {says}"));
    bench.run(&["verify", old, "--key", key]).code(5).shows(&says);
    let verified = bench.run(&["verify", new, "--key", key]).code(0).shows("are those that were given");
    assert!(!verified.out.contains("UNDER NO CHECKPOINT"), "{}", verified.out);
    // A key vouches for those after it, and for none that somebody may have put before it.
    let second = bench.json(&["keys", "rotate"])["keys"][1]["key"].as_str().unwrap().to_owned();
    let (newest, before) = (bench.outside("newest.tar"), bench.outside("before.tar"));
    let (newest, before) = (newest.to_str().unwrap(), before.to_str().unwrap());
    bench.run(&["export", &id, "--bundle", before, "--against", early]).code(0);
    let says = "a key before the ones that were given, which do not vouch for it";
    bench.run(&["verify", before, "--key", &second]).code(5).shows(says);
    let answered = bench.request(&["--blueprint", "vlan", "--set", "id=121", "--set", "name=other"]);
    bench.to_gate2(&answered);
    bench.run(&["export", &id, "--bundle", newest]).code(0);
    bench.run(&["verify", newest, "--key", &second]).code(0).shows("are those that were given");
    // What people did after what was published may have been put in.
    let published = bench.outside("published");
    std::fs::write(&published, bench.run(&["log", "checkpoint"]).code(0).out).unwrap();
    bench.run(&["cancel", &answered, "--reason", "not needed any more"]).code(0);
    let cancelled = bench.outside("cancelled.tar");
    let (cancelled, published) = (cancelled.to_str().unwrap(), published.to_str().unwrap());
    bench.run(&["export", &answered, "--bundle", cancelled, "--against", published]).code(0);
    let says = "(engagement.cancelled) by ada";
    bench.run(&["verify", cancelled]).code(0).shows("note: UNDER NO CHECKPOINT: events.jsonl: event").shows(says);
    bench.run(&["verify", cancelled, "--key", &second]).code(5).shows("  events.jsonl: event").shows(says);
    // And whoever brings keys along may have made them.
    bench.run(&["verify", new]).code(0).shows("key: the ledger's keys are those that were brought along with it");
}
