//! What the files about people leave open: where a yes is taken on a name alone, who cannot sign, and which keys nobody
//! can use. None of it is wrong by itself; whoever owns the policies decides that knowingly.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::artifact::nearest;

use super::{
    inventory::Inventory,
    people::{People, Role},
    signers::{AllowedSigners, NAMESPACES, fingerprint, usable},
};

/// Each gap in words that say where it is closed.
pub fn signing_gaps(people: &People, signers: &AllowedSigners, inventory: &Inventory, now: Timestamp) -> Vec<String> {
    let environments: BTreeSet<&str> = inventory.targets.iter().map(|target| target.environment.as_str()).collect();
    let (signed, unsigned): (Vec<&str>, Vec<&str>) =
        environments.into_iter().partition(|environment| people.signs_in(environment));
    let mut gaps = Vec::new();
    if !unsigned.is_empty() {
        gaps.push(format!(
            "in {} a yes is taken on a name alone, and who asked may approve; `signed_environments` and \
             `separation_of_duties` in policies/people.yaml say where not",
            unsigned.join(", ")
        ));
    }
    let signs = |name: &str| signers.of(name).any(|line| usable(&line.key.algorithm()).is_ok());
    let approvers = people.with_role(Role::Approver);
    if !signed.is_empty() && !approvers.iter().any(|name| signs(name)) {
        gaps.push(format!(
            "in {} a yes needs a signature, and no approver has a key in policies/allowed_signers",
            signed.join(", ")
        ));
    }
    let mut shared = BTreeSet::new();
    for line in signers.lines() {
        let place = format!("{}:{}", line.file, line.number);
        if let Err(why) = usable(&line.key.algorithm()) {
            gaps.push(format!("{place}: {why}"));
        }
        let stands = line.principals.first().and_then(|name| signers.shared(name, &line.key));
        gaps.extend(stands.filter(|_| shared.insert(fingerprint(&line.key))));
        let unknown = line.namespaces.iter().flatten().find(|namespace| !NAMESPACES.contains(&namespace.as_str()));
        gaps.extend(unknown.map(|namespace| {
            let hint = nearest(namespace, NAMESPACES.into_iter());
            format!("{place}: nothing is signed for `{namespace}`{hint}")
        }));
        gaps.extend(
            line.valid_before
                .filter(|before| now >= *before)
                .map(|before| format!("{place}: the key {} signs no more since {before}", fingerprint(&line.key))),
        );
        for name in line.principals.iter().filter(|name| people.identify(Some(name.as_str()), "").is_none()) {
            gaps.push(format!(
                "{place}: `{name}` of the key {} is not in policies/people.yaml",
                fingerprint(&line.key)
            ));
        }
    }
    gaps
}

/// Names of environments, tags, groups and kinds in the inventory that are another one but for the case of letters or an `s`
/// at the end: rules and grants speak of one of them, and mean both or neither.
pub fn misspelt_words(inventory: &Inventory) -> Vec<String> {
    let targets = || inventory.targets.iter();
    let lists: [(&str, BTreeSet<&str>); 4] = [
        ("environment", targets().map(|target| target.environment.as_str()).collect()),
        ("kind", targets().map(|target| target.is.as_str()).collect()),
        ("tag", targets().flat_map(|target| &target.tags).map(String::as_str).collect()),
        ("group", targets().flat_map(|target| &target.groups).map(String::as_str).collect()),
    ];
    let mut found = Vec::new();
    for (what, words) in lists {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for word in &words {
            if let Some(other) = seen.insert(word.to_lowercase(), word) {
                found.push(beside(what, word, other));
            }
        }
        for (lower, word) in &seen {
            let more = ["s", "es"].into_iter().find_map(|end| seen.get(&format!("{lower}{end}")));
            found.extend(more.map(|other| beside(what, other, word)));
        }
    }
    found
}

fn beside(what: &str, word: &str, other: &str) -> String {
    format!("policies/inventory.yaml: the {what} `{word}` stands beside `{other}`; is it the same?")
}

/// The names in `signed_environments` and `separation_of_duties` that no target has, and that are like one that targets
/// have and neither list does: a spelling mistake there turns off what it was to turn on.
pub fn misspelt_environments(people: &People, inventory: &Inventory) -> Vec<String> {
    let there: BTreeSet<&str> = inventory.targets.iter().map(|target| target.environment.as_str()).collect();
    let mut found = Vec::new();
    for (list, names) in
        [("signed_environments", &people.signed_environments), ("separation_of_duties", &people.separation_of_duties)]
    {
        let has = |environment: &str| names.iter().any(|name| name.eq_ignore_ascii_case(environment));
        for name in names.iter().filter(|name| !there.iter().any(|known| known.eq_ignore_ascii_case(name))) {
            let lower = name.to_lowercase();
            let meant = there.iter().find(|known| {
                let known = known.to_lowercase();
                let part = known.starts_with(&lower) || lower.starts_with(&known);
                !has(&known)
                    && (part || !similar::get_close_matches(lower.as_str(), &[known.as_str()], 1, 0.6).is_empty())
            });
            found.extend(meant.map(|meant| {
                format!(
                    "policies/people.yaml: {list}: no target has the environment `{name}`; did you mean `{meant}`, for which \
                     this does not hold as it stands?"
                )
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::from_yaml;

    const NOON: Timestamp = Timestamp::constant(1_800_000_000, 0);
    const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH6zyvAlJf9CF36kGqDpBxa3iMMKcX03RreDVfyVCszA";

    #[test]
    fn what_is_open_is_said_with_where_it_is_closed() {
        let people = "kind: people\npeople: [{name: ada, roles: [approver]}, {name: linus, roles: [requester]}]";
        let people: People = from_yaml("people.yaml", people).unwrap();
        let target =
            |name: &str, environment: &str| format!("{{name: {name}, is: switch, environment: {environment}}}");
        for (environments, signers, gaps) in [
            (vec!["production"], format!("ada {ED}"), vec![]),
            (
                vec!["Production", "prod", "lab"],
                format!("ada {ED}"),
                vec!["in lab, prod a yes is taken on a name alone"],
            ),
            (vec!["production"], format!("linus {ED}"), vec!["no approver has a key"]),
            (
                vec!["lab"],
                format!("grace,ada {ED}"),
                vec![
                    "in lab a yes",
                    "stands for `grace` and for `ada`, so it does not show which of them signed",
                    "allowed_signers:1: `grace` of the key SHA256:",
                ],
            ),
        ] {
            let targets: Vec<String> =
                environments.iter().zip(1..).map(|(named, number)| target(&format!("sw{number}"), named)).collect();
            let inventory = format!("kind: inventory\ntargets: [{}]", targets.join(", "));
            let inventory: Inventory = from_yaml("inventory.yaml", &inventory).unwrap();
            let said = signing_gaps(&people, &AllowedSigners::parse(&signers).unwrap(), &inventory, NOON);
            assert_eq!(said.len(), gaps.len(), "{said:?}");
            for (said, gap) in said.iter().zip(&gaps) {
                assert!(said.contains(gap), "`{gap}` is not in {said}");
            }
        }
    }

    #[test]
    fn what_is_another_word_but_for_case_or_an_s_is_named() {
        let targets = "[{name: a, is: switch, environment: lab, groups: [lab-zones]}, {name: b, is: switches, environment: \
                       Lab, groups: [lab-zone], tags: [core]}, {name: c, is: zone, environment: test, tags: [access]}]";
        let inventory: Inventory =
            from_yaml("inventory.yaml", &format!("kind: inventory\ntargets: {targets}")).unwrap();
        let said = misspelt_words(&inventory);
        assert_eq!(said.len(), 3, "{said:?}");
        for (said, pair) in
            said.iter().zip(["`lab` stands beside `Lab`", "`switches` stands beside `switch`", "`lab-zones`"])
        {
            assert!(said.contains(pair), "{said}");
        }
    }

    #[test]
    fn a_line_that_can_never_sign_is_named() {
        let line = format!(
            "ada namespaces=\"countersign-gates\" {ED}\nbob valid-before=\"20200101Z\" {}\n",
            ED.replace("yVCszA", "yVCszB")
        );
        let people = "kind: people\npeople: [{name: ada, roles: [approver]}, {name: bob, roles: [approver]}]";
        let people: People = from_yaml("people.yaml", people).unwrap();
        let inventory: Inventory = from_yaml("inventory.yaml", "kind: inventory\ntargets: []").unwrap();
        let said = signing_gaps(&people, &AllowedSigners::parse(&line).unwrap(), &inventory, NOON);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].contains("nothing is signed for `countersign-gates`; did you mean `countersign-gate`?"),
            "{said:?}"
        );
        assert!(said[1].contains("signs no more since 2020-01-01"), "{said:?}");
    }

    #[test]
    fn an_environment_that_is_like_one_that_targets_have_is_a_spelling_mistake() {
        let inventory = "kind: inventory\ntargets: [{name: sw1, is: switch, environment: production}, \
                         {name: sw2, is: switch, environment: lab}]";
        let inventory: Inventory = from_yaml("inventory.yaml", inventory).unwrap();
        for (listed, like) in [
            ("[prod]", Some("`prod`; did you mean `production`")),
            ("[producton]", Some("`producton`; did you mean `production`")),
            ("[Production, prod]", None),
            ("[production]", None),
            ("[staging]", None),
            ("[]", None),
        ] {
            let people =
                format!("kind: people\npeople: []\nsigned_environments: {listed}\nseparation_of_duties: [production]");
            let people: People = from_yaml("people.yaml", &people).unwrap();
            let found = misspelt_environments(&people, &inventory);
            assert_eq!(found.len(), usize::from(like.is_some()), "{listed}: {found:?}");
            assert!(like.is_none_or(|like| found[0].contains(like)), "{found:?}");
        }
    }
}
