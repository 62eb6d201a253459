//! The blueprints that are nearest to what someone asks for, by its words. Nothing is learned and nothing is guessed:
//! the same words and blueprints give the same order, and where two are about as near, a person chooses.

use std::collections::{BTreeMap, BTreeSet};

use crate::artifact::Blueprint;

/// How many are offered.
const MOST_OFFERED: usize = 3;
/// What a word counts at most, where only one blueprint has it; it is divided by how many have it.
const WHOLE: u64 = 840;
/// How much nearer than the next one a blueprint must be to be taken without asking, in halves.
const MARGIN: u64 = 3;
/// The least that counts as clear: a word of an input that no other blueprint has, or the like.
const LEAST: u64 = 2 * WHOLE;

/// Words that say nothing of what is wanted.
const IDLE: [&str; 54] = [
    "a", "all", "an", "and", "any", "are", "as", "at", "be", "by", "can", "could", "do", "does", "each", "for", "from",
    "give", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "make", "me", "my", "need", "new", "no",
    "not", "of", "on", "one", "or", "our", "please", "should", "so", "some", "that", "the", "there", "this", "to",
    "want", "we", "which", "with", "would",
];

/// A blueprint that is near, and what shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Near<'a> {
    /// The blueprint.
    pub blueprint: &'a Blueprint,
    /// How near; only good for comparing.
    pub score: u64,
    /// The words of the request that it has, as they were written.
    pub words: Vec<String>,
}

/// The nearest blueprints, the nearest first, at most three; those that share no word are not among them.
pub fn nearest<'a>(text: &str, blueprints: &'a [Blueprint]) -> Vec<Near<'a>> {
    let known: Vec<BTreeMap<String, u64>> = blueprints.iter().map(weights).collect();
    let mut asked = BTreeSet::new();
    let mut words = words(text);
    words.retain(|word| asked.insert(stem(word)));
    let mut near: Vec<Near<'a>> = blueprints
        .iter()
        .zip(&known)
        .map(|(blueprint, own)| {
            let mut near = Near { blueprint, score: 0, words: Vec::new() };
            for word in &words {
                let stem = stem(word);
                let Some(weight) = own.get(&stem) else { continue };
                let having = known.iter().filter(|other| other.contains_key(&stem)).count().max(1) as u64;
                near.score += weight * WHOLE / having;
                near.words.push(word.clone());
            }
            near
        })
        .filter(|near| near.score > 0)
        .collect();
    near.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.blueprint.name.cmp(&b.blueprint.name)));
    near.truncate(MOST_OFFERED);
    near
}

/// The first of them, where it is so much nearer than the second that it need not be asked which one is meant.
pub fn clearly<'a, 'b>(near: &'b [Near<'a>]) -> Option<&'b Near<'a>> {
    let first = near.first().filter(|first| first.score >= LEAST)?;
    let second = near.get(1).map_or(0, |second| second.score);
    (first.score * 2 >= second * MARGIN).then_some(first)
}

/// What each word of a blueprint counts, by where it stands best.
fn weights(blueprint: &Blueprint) -> BTreeMap<String, u64> {
    let mut weights = BTreeMap::new();
    let mut put = |text: &str, weight: u64| {
        for word in words(text) {
            let known = weights.entry(stem(&word)).or_insert(weight);
            *known = weight.max(*known);
        }
    };
    put(&blueprint.name, 6);
    put(&blueprint.title, 5);
    // What it says of itself also says what it leaves alone.
    put(&blueprint.about, 1);
    for input in &blueprint.inputs {
        put(&input.name, 2);
        put(&input.ask, 2);
        put(input.schema.description.as_deref().unwrap_or_default(), 2);
    }
    for step in &blueprint.design.steps {
        put(step.tool.as_str(), 3);
    }
    weights
}

/// The words that say something, in lower case and in their order.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| word.chars().nth(1).is_some() && !IDLE.contains(&word.as_str())).collect()
}

/// The word without the ending of a plural.
fn stem(word: &str) -> String {
    let hissing = ["ses", "shes", "ches", "xes", "zes"];
    let cut = if word.chars().count() > 4 && hissing.iter().any(|ending| word.ends_with(ending)) {
        2
    } else {
        usize::from(word.chars().count() > 3 && word.ends_with('s') && !word.ends_with("ss"))
    };
    word.get(..word.len() - cut).unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::from_yaml;

    fn shipped() -> Vec<Blueprint> {
        let texts = [
            include_str!("../../prompts/blueprints/address.yaml"),
            include_str!("../../prompts/blueprints/dns.yaml"),
            include_str!("../../prompts/blueprints/vlan.yaml"),
        ];
        texts.iter().map(|text| from_yaml("blueprint", text).unwrap()).collect()
    }

    #[test]
    fn the_words_of_a_request_find_its_blueprint() {
        let all = shipped();
        for (text, clear, first) in [
            ("create VLAN 120 called guest on the switches sw01 and sw02", true, Some("vlan")),
            ("we need two more VLANs", true, Some("vlan")),
            ("allocate an address for web01", true, Some("address")),
            ("Please give web01 an address of 192.0.2.0/24", true, Some("address")),
            ("web01 should resolve to 192.0.2.10, an A record", true, Some("dns")),
            ("put web01 into DNS", false, Some("dns")),
            ("publish web01", false, Some("address")),
            ("Which ticket is this for?", false, Some("address")),
            ("reboot the firewall", false, None),
            ("", false, None),
            ("the of to", false, None),
        ] {
            let near = nearest(text, &all);
            let found = near.iter().map(|near| (near.blueprint.name.as_str(), near.score)).collect::<Vec<_>>();
            assert_eq!(near.first().map(|near| near.blueprint.name.as_str()), first, "{text}: {found:?}");
            assert_eq!(clearly(&near).is_some(), clear, "{text}: {found:?}");
        }
        let near = nearest("allocate Addresses, allocate an address", &all);
        assert_eq!(near[0].words, ["allocate", "addresses"], "each word once, as it was written");
    }

    #[test]
    fn the_order_of_the_files_changes_nothing_and_no_more_than_three_are_offered() {
        let mut all = shipped();
        let mut more = all[2].clone();
        more.name = "other".into();
        all.push(more);
        let names = |all: &[Blueprint]| {
            let near = nearest("allocate a vlan on a switch and publish its address in a zone", all);
            near.iter().map(|near| (near.blueprint.name.clone(), near.score)).collect::<Vec<_>>()
        };
        let first = names(&all);
        assert_eq!(first.len(), 3);
        all.reverse();
        assert_eq!(names(&all), first);
        // Two that say the same are never told apart without asking.
        let twins = [all[0].clone(), Blueprint { name: "twin".into(), ..all[0].clone() }];
        assert_eq!(clearly(&nearest("create a vlan on switches", &twins)), None);
    }
}
