//! The Merkle tree of RFC 9162, section 2.1: hashes, the growing right edge,
//! inclusion and consistency proofs.

use sha2::{Digest, Sha256};
use thiserror::Error;

/// SHA-256, 32 bytes.
pub type Hash = [u8; 32];

/// Where a complete subtree stands: it covers the leaves from
/// `index << level` on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// Height above the leaves.
    pub level: u8,
    /// Number among the nodes of its level.
    pub index: u64,
}

/// Why a tree or a proof is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MerkleError {
    /// The stored edge does not belong to a tree of this size.
    #[error("the tree's edge does not fit its size")]
    Edge,
    /// Sizes or indices that name nothing.
    #[error("no such leaf or tree")]
    Range,
    /// The proof does not lead to the root.
    #[error("the proof does not lead to the root")]
    Proof,
}

/// Hash of a leaf: `SHA-256(0x00 || bytes)`.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(bytes)
        .finalize()
        .into()
}

/// Hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The right edge of a growing tree: the complete subtrees that the binary
/// digits of its size name, from the left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The edge of a tree of `size` leaves; 32 bytes a subtree.
    ///
    /// # Errors
    /// If their number does not fit.
    pub fn new(size: u64, bytes: &[u8]) -> Result<Self, MerkleError> {
        let (chunks, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || chunks.len() != size.count_ones() as usize {
            return Err(MerkleError::Edge);
        }
        Ok(Self {
            size,
            hashes: chunks.to_vec(),
        })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What [`Frontier::new`] takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.concat()
    }

    /// Adds a leaf; returns the nodes that are complete with it, the leaf first.
    pub fn push(&mut self, leaf: Hash) -> Vec<(Node, Hash)> {
        let mut node = Node {
            level: 0,
            index: self.size,
        };
        let mut hash = leaf;
        let mut complete = vec![(node, hash)];
        while node.index % 2 == 1 {
            // An odd node has a complete sibling to its left.
            let Some(left) = self.hashes.pop() else { break };
            hash = node_hash(&left, &hash);
            node = Node {
                level: node.level + 1,
                index: node.index / 2,
            };
            complete.push((node, hash));
        }
        self.hashes.push(hash);
        self.size += 1;
        complete
    }

    /// The tree's root; of no leaves the hash of nothing.
    pub fn root(&self) -> Hash {
        fold(&self.hashes).unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// Complete subtrees that cover the leaves from `from` to `to`, from the left.
/// Together they make the hash of the range where `from` is 0 or the range is
/// what a proof asks for.
pub fn cover(from: u64, to: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = from;
    while at < to {
        let aligned = if at == 0 { 63 } else { at.trailing_zeros() };
        let fits = 63 - (to - at).leading_zeros();
        let level = aligned.min(fits);
        nodes.push(Node {
            level: level as u8,
            index: at >> level,
        });
        at += 1 << level;
    }
    nodes
}

/// The hash of a range from the hashes of its [`cover`]; `None` of none.
pub fn fold(hashes: &[Hash]) -> Option<Hash> {
    let mut from_right = hashes.iter().rev();
    let last = *from_right.next()?;
    Some(from_right.fold(last, |right, left| node_hash(left, &right)))
}

/// Ranges whose hashes prove that leaf `index` is in the tree of `size` leaves,
/// in the proof's order (RFC 9162, section 2.1.3.1).
///
/// # Errors
/// `Range`.
pub fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<(u64, u64)>, MerkleError> {
    if index >= size {
        return Err(MerkleError::Range);
    }
    let (mut low, mut high, mut ranges) = (0, size, Vec::new());
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    ranges.reverse();
    Ok(ranges)
}

/// Ranges whose hashes prove that the tree of `size` leaves begins with the tree
/// of `first`, in the proof's order (RFC 9162, section 2.1.4.1).
///
/// # Errors
/// `Range`.
pub fn consistency_ranges(first: u64, size: u64) -> Result<Vec<(u64, u64)>, MerkleError> {
    if first == 0 || first > size {
        return Err(MerkleError::Range);
    }
    let (mut low, mut high, mut ranges) = (0, size, Vec::new());
    // Whether what is left of the first tree is a whole one.
    let mut whole = true;
    while first != high {
        let middle = low + split(high - low);
        if first <= middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
            whole = false;
        }
    }
    if !whole {
        ranges.push((low, high));
    }
    ranges.reverse();
    Ok(ranges)
}

/// Checks that a leaf is in the tree (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// `Proof`, or `Range` if the tree is too small.
pub fn check_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::Range);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for step in proof {
        if last == 0 {
            return Err(MerkleError::Proof);
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root {
        Ok(())
    } else {
        Err(MerkleError::Proof)
    }
}

/// Checks that one tree begins with another (RFC 9162, section 2.1.4.2).
///
/// # Errors
/// `Proof`, or `Range` if the second is the smaller one.
pub fn check_consistency(
    first: (u64, &Hash),
    second: (u64, &Hash),
    proof: &[Hash],
) -> Result<(), MerkleError> {
    let ((first_size, first_root), (second_size, second_root)) = (first, second);
    if first_size > second_size {
        return Err(MerkleError::Range);
    }
    if first_size == second_size || first_size == 0 {
        let same = first_size == 0 || first_root == second_root;
        return match same && proof.is_empty() {
            true => Ok(()),
            false => Err(MerkleError::Proof),
        };
    }
    let mut steps = proof.iter();
    let seed = match first_size.is_power_of_two() {
        true => *first_root,
        false => *steps.next().ok_or(MerkleError::Proof)?,
    };
    let (mut node, mut last) = (first_size - 1, second_size - 1);
    while node % 2 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (seed, seed);
    for step in steps {
        if last == 0 {
            return Err(MerkleError::Proof);
        }
        if node % 2 == 1 || node == last {
            old = node_hash(step, &old);
            new = node_hash(step, &new);
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, step);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && old == *first_root && new == *second_root {
        Ok(())
    } else {
        Err(MerkleError::Proof)
    }
}

/// The largest power of two smaller than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// MTH of RFC 9162, section 2.1.1, word for word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&mth(left), &mth(right))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn hash_of(leaves: &[Hash], (from, to): (u64, u64)) -> Hash {
        mth(&leaves[from as usize..to as usize])
    }

    proptest! {
        #[test]
        fn a_growing_edge_has_the_root_of_the_definition(count in 0usize..200) {
            let leaves = leaves(count);
            let mut edge = Frontier::default();
            for leaf in &leaves {
                for (node, hash) in edge.push(*leaf) {
                    let from = node.index << node.level;
                    prop_assert_eq!(hash, hash_of(&leaves, (from, from + (1 << node.level))));
                }
                edge = Frontier::new(edge.size(), &edge.to_bytes()).unwrap();
            }
            prop_assert_eq!(edge.root(), mth(&leaves));
        }

        #[test]
        fn a_range_is_the_fold_of_its_cover(size in 1u64..300, at in 0u64..300) {
            let leaves = leaves(size as usize);
            let ranges = inclusion_ranges(at % size, size).unwrap();
            for range in ranges.into_iter().chain([(0, size)]) {
                let hashes: Vec<Hash> = cover(range.0, range.1)
                    .into_iter()
                    .map(|node| {
                        let from = node.index << node.level;
                        hash_of(&leaves, (from, from + (1 << node.level)))
                    })
                    .collect();
                prop_assert_eq!(fold(&hashes), Some(hash_of(&leaves, range)));
            }
        }

        #[test]
        fn inclusion_is_proven_for_the_right_leaf_only(size in 1u64..200, at in 0u64..200) {
            let index = at % size;
            let leaves = leaves(size as usize);
            let root = mth(&leaves);
            let proof: Vec<Hash> = inclusion_ranges(index, size).unwrap()
                .into_iter().map(|range| hash_of(&leaves, range)).collect();
            let leaf = leaves[index as usize];
            prop_assert_eq!(check_inclusion(leaf, index, size, &proof, &root), Ok(()));
            prop_assert!(check_inclusion(leaf_hash(b"other"), index, size, &proof, &root).is_err());
            for other in 0..size {
                prop_assert_eq!(
                    check_inclusion(leaf, other, size, &proof, &root).is_ok(), other == index);
            }
            let mut longer = proof.clone();
            longer.push(root);
            prop_assert!(check_inclusion(leaf, index, size, &longer, &root).is_err());
        }

        #[test]
        fn consistency_is_proven_for_the_right_trees_only(size in 1u64..150, at in 0u64..150) {
            let first = at % size + 1;
            let leaves = leaves(size as usize);
            let (old, new) = (mth(&leaves[..first as usize]), mth(&leaves));
            let proof: Vec<Hash> = consistency_ranges(first, size).unwrap()
                .into_iter().map(|range| hash_of(&leaves, range)).collect();
            prop_assert_eq!(check_consistency((first, &old), (size, &new), &proof), Ok(()));
            let other = leaf_hash(b"another tree");
            prop_assert!(check_consistency((first, &other), (size, &new), &proof).is_err());
            prop_assert!(check_consistency((first, &old), (size, &other), &proof).is_err());
        }
    }
}
