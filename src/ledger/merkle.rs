//! The tree over the heads of all engagements, hashed as RFC 6962 says (section 2.1). Pure: it says which stored hashes
//! something needs and what they come to. A hash is stored once no later leaf can change it, under its place in the
//! in-order numbering of `ct-merkle`, which also says what proofs consist of and checks them.
//!
//! A leaf is the canonical JSON of [`Leaf`]: `{"engagement":"k7m2q","head":"sha256:…","seq":12}`.

use std::collections::BTreeMap;

use ct_merkle::{
    ConsistencyProof, InclusionProof, RootHash, indices_for_consistency_proof, indices_for_inclusion_proof,
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::artifact::{CanonicalError, Digest, EngagementId, canonical, digest_bytes};

/// No tree that is taken here has more leaves.
const MOST: u64 = 1 << 40;

/// What the log says of an engagement: that its chain had this head at this place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// The engagement.
    pub engagement: EngagementId,
    /// The hash of the event.
    pub head: Digest,
    /// The place of the event.
    pub seq: u64,
}

impl Leaf {
    /// The bytes that are hashed.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] for a place beyond 2^53.
    pub fn bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical(self)
    }
}

/// Stored hashes by their places.
pub type Nodes = BTreeMap<u64, Digest>;

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    digest_bytes(&[&[0], leaf].concat())
}

fn parent(left: &Digest, right: &Digest) -> Digest {
    digest_bytes(&[&[1], left.bytes().as_slice(), right.bytes()].concat())
}

/// The place of the hash over `2^level` leaves from `position * 2^level` on.
fn place(level: u32, position: u64) -> u64 {
    (((position << 1) | 1) << level) - 1
}

/// What is stored of a tree of `size` leaves once it has this leaf too; nothing where `nodes` lacks what it needs.
pub fn append(size: u64, leaf: Digest, nodes: &Nodes) -> Option<Vec<(u64, Digest)>> {
    let mut hash = leaf;
    let mut new = vec![(place(0, size), hash)];
    for level in 0..size.trailing_ones() {
        hash = parent(nodes.get(&place(level, (size >> level) - 1))?, &hash);
        new.push((place(level + 1, size >> (level + 1)), hash));
    }
    Some(new)
}

/// The stored hashes that the hash at `at` of a tree of `size` leaves comes from, from left to right.
fn parts(at: u64, size: u64) -> Vec<u64> {
    let level = at.trailing_ones();
    let position = at >> (level + 1);
    let start = position << level;
    if (position + 1) << level <= size {
        return vec![at];
    }
    let length = size.saturating_sub(start);
    let levels = (0..u64::BITS).rev().filter(|level| length >> level & 1 == 1);
    levels.map(|level| place(level, (start + (length >> level << level)) / (1 << level) - 1)).collect()
}

/// The place of the root of a tree of `size` leaves.
fn root_place(size: u64) -> u64 {
    place(size.next_power_of_two().trailing_zeros(), 0)
}

fn node(at: u64, size: u64, nodes: &Nodes) -> Option<Digest> {
    let mut parts = parts(at, size).into_iter().rev().map(|part| nodes.get(&part).copied());
    let last = parts.next()??;
    parts.try_fold(last, |right, left| Some(parent(&left?, &right)))
}

/// What the root of a tree of `size` leaves needs stored.
pub fn needed_for_root(size: u64) -> Vec<u64> {
    if size == 0 { Vec::new() } else { parts(root_place(size), size) }
}

/// The root of a tree of `size` leaves; nothing where `nodes` lacks what it needs.
pub fn root(size: u64, nodes: &Nodes) -> Option<Digest> {
    if size == 0 { Some(digest_bytes(&[])) } else { node(root_place(size), size, nodes) }
}

/// The places of the hashes of a proof that the leaf at `index` is in a tree of `size` leaves; nothing where it is not.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<u64>> {
    (index < size && size <= MOST).then(|| indices_for_inclusion_proof(size, index))
}

/// The places of the hashes of a proof that a tree of `new` leaves begins with one of `old`; nothing where it cannot.
pub fn consistency(old: u64, new: u64) -> Option<Vec<u64>> {
    (0 < old && old <= new && new <= MOST).then(|| indices_for_consistency_proof(old, new - old))
}

/// What hashes at these places of a tree of `size` leaves need stored.
pub fn needed_for(places: &[u64], size: u64) -> Vec<u64> {
    places.iter().flat_map(|at| parts(*at, size)).collect()
}

/// The hashes at these places of a tree of `size` leaves.
pub fn path(places: &[u64], size: u64, nodes: &Nodes) -> Option<Vec<Digest>> {
    places.iter().map(|at| node(*at, size, nodes)).collect()
}

/// Whether a leaf is at `index` of the tree with this size and root.
pub fn includes(size: u64, root: &Digest, index: u64, leaf: &[u8], path: &[Digest]) -> bool {
    let Ok(proof) = InclusionProof::<Sha256>::try_from_bytes(joined(path)) else { return false };
    index < size && size <= MOST && hashed(size, root).verify_inclusion(&leaf, index, &proof).is_ok()
}

/// Whether the tree with this size and root begins with that one.
pub fn extends(old: (u64, &Digest), new: (u64, &Digest), path: &[Digest]) -> bool {
    let Ok(proof) = ConsistencyProof::<Sha256>::try_from_bytes(joined(path)) else { return false };
    let sizes = 0 < old.0 && old.0 <= new.0 && new.0 <= MOST;
    sizes && hashed(new.0, new.1).verify_consistency(&hashed(old.0, old.1), &proof).is_ok()
}

fn joined(path: &[Digest]) -> Vec<u8> {
    path.iter().flat_map(|hash| *hash.bytes()).collect()
}

fn hashed(size: u64, root: &Digest) -> RootHash<Sha256> {
    RootHash::new((*root.bytes()).into(), size)
}

/// A whole tree, from its leaves.
#[derive(Debug, Default)]
pub struct Tree {
    size: u64,
    nodes: Nodes,
}

impl Tree {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        // Everything that was ever pushed is there.
        if let Some(new) = append(self.size, leaf_hash(leaf), &self.nodes) {
            self.nodes.extend(new);
            self.size += 1;
        }
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of it that no later leaf can change.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Its root when it had `size` leaves; nothing where it never had as many.
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        (size <= self.size).then(|| root(size, &self.nodes)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn tree(leaves: &[Vec<u8>]) -> Tree {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(leaf));
        tree
    }

    /// The leaves and roots that the tests of Certificate Transparency have for RFC 6962.
    #[test]
    fn roots_are_those_of_rfc_6962() {
        let leaves =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let tree = tree(&leaves.map(bytes));
        for (size, root) in roots.iter().enumerate() {
            assert_eq!(tree.root_at(size as u64).unwrap().hex(), *root, "{size}");
        }
        assert_eq!(tree.root_at(9), None);
        // The audit path of the first of eight leaves, as section 2.1.3 of the RFC draws it: h1, the hash over the third
        // and fourth leaf, and the hash over the last four.
        let path = path(&inclusion(0, 8).unwrap(), 8, &tree.nodes).unwrap();
        let known = [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ];
        assert_eq!(path.iter().map(Digest::hex).collect::<Vec<_>>(), known);
    }

    #[test]
    fn what_is_stored_never_changes_and_is_little() {
        let mut all = Tree::default();
        for n in 0_u64..300 {
            let before = all.nodes.clone();
            // What the root comes from is all that another leaf needs.
            let needed = needed_for_root(n).into_iter().map(|at| (at, all.nodes[&at])).collect();
            assert!(append(n, leaf_hash(b"next"), &needed).is_some());
            all.push(&n.to_be_bytes());
            assert!(before.iter().all(|(at, hash)| all.nodes[at] == *hash));
            assert!(needed_for_root(n + 1).len() <= 9);
            assert!(all.nodes.len() as u64 <= 2 * (n + 1));
        }
        assert_eq!(append(3, Digest::ZERO, &Nodes::new()), None);
    }

    #[test]
    fn numbers_that_no_tree_has_are_refused() {
        let (hash, most) = (Digest::ZERO, u64::MAX);
        assert_eq!((inclusion(3, 3), inclusion(0, 0), inclusion(0, most)), (None, None, None));
        assert_eq!((consistency(0, 3), consistency(4, 3), consistency(1, most)), (None, None, None));
        for (size, index) in [(most, 0), (most, most), (0, 0), (1, 1), (MOST + 1, 0)] {
            assert!(!includes(size, &hash, index, b"", &[]), "{index} of {size}");
        }
        for (old, new) in [(0, 0), (0, 1), (2, 1), (1, most), (most, most), (MOST + 1, MOST + 1)] {
            assert!(!extends((old, &hash), (new, &hash), &[]), "{old} to {new}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
        #[test]
        fn proofs_hold_and_hold_for_nothing_else(size in 1_u64..70, at in any::<prop::sample::Index>(), old in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0_u32..8) {
            let leaves: Vec<Vec<u8>> = (0..size).map(|n| n.to_be_bytes().to_vec()).collect();
            let tree = tree(&leaves);
            let root = tree.root_at(size).unwrap();
            let index = at.index(size as usize) as u64;
            let leaf = &leaves[index as usize];
            let proof = path(&inclusion(index, size).unwrap(), size, &tree.nodes).unwrap();
            prop_assert!(includes(size, &root, index, leaf, &proof));
            let flipped = |hash: &Digest, byte: usize| {
                let mut bytes = *hash.bytes();
                bytes[byte % 32] ^= 1 << bit;
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("sha256:{hex}").parse::<Digest>().unwrap()
            };
            prop_assert!(!includes(size, &flipped(&root, byte.index(32)), index, leaf, &proof));
            prop_assert!(!includes(size, &root, index, b"another", &proof));
            for other in (0..size).filter(|other| *other != index) {
                prop_assert!(!includes(size, &root, other, leaf, &proof));
            }
            if !proof.is_empty() {
                let place = byte.index(proof.len() * 32);
                let mut other = proof.clone();
                other[place / 32] = flipped(&other[place / 32], place);
                prop_assert!(!includes(size, &root, index, leaf, &other));
                prop_assert!(!includes(size, &root, index, leaf, &proof[1..]));
            }
            let old = old.index(size as usize) as u64 + 1;
            let before = tree.root_at(old).unwrap();
            let proof = path(&consistency(old, size).unwrap(), size, &tree.nodes).unwrap();
            prop_assert!(extends((old, &before), (size, &root), &proof));
            prop_assert!(!extends((old, &flipped(&before, byte.index(32))), (size, &root), &proof));
            prop_assert!(!extends((old, &before), (size, &flipped(&root, byte.index(32))), &proof));
            if !proof.is_empty() {
                let place = byte.index(proof.len() * 32);
                let mut other = proof.clone();
                other[place / 32] = flipped(&other[place / 32], place);
                prop_assert!(!extends((old, &before), (size, &root), &other));
            }
        }
    }
}
