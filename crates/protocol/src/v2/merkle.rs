//! A Merkle tree of at most 64 leaves, split as in RFC 9162 (section 2.1.1).

use sha2::{Digest, Sha256};

/// A hash in the tree.
pub(crate) type Node = [u8; 32];

/// Most leaves.
pub(crate) const MAX_LEAVES: usize = 64;

pub(crate) fn leaf(salt: &[u8; 16], statement: &[u8]) -> Node {
    let hash = Sha256::new_with_prefix([0])
        .chain_update(salt)
        .chain_update(statement);
    hash.finalize().into()
}

/// The root over these leaves, and each leaf's path to it, from below.
pub(crate) fn tree(leaves: &[Node]) -> (Node, Vec<Vec<Node>>) {
    match leaves {
        [] => ([0; 32], Vec::new()),
        [leaf] => (*leaf, vec![Vec::new()]),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            let (left, mut paths) = tree(left);
            let (right, mut others) = tree(right);
            paths.iter_mut().for_each(|path| path.push(right));
            others.iter_mut().for_each(|path| path.push(left));
            paths.append(&mut others);
            (node(&left, &right), paths)
        }
    }
}

/// The root that a leaf's path leads to, if it is as long as its place asks for.
pub(crate) fn root(leaf: &Node, index: usize, count: usize, path: &[Node]) -> Option<Node> {
    if count <= 1 {
        return (index == 0 && path.is_empty()).then_some(*leaf);
    }
    let (beside, below) = path.split_last()?;
    let left = split(count);
    match index.checked_sub(left) {
        None => Some(node(&root(leaf, index, left, below)?, beside)),
        Some(index) => Some(node(beside, &root(leaf, index, count - left, below)?)),
    }
}

/// How long a leaf's path is.
pub(crate) fn depth(index: usize, count: usize) -> usize {
    if count <= 1 {
        return 0;
    }
    let left = split(count);
    1 + match index.checked_sub(left) {
        None => depth(index, left),
        Some(index) => depth(index, count - left),
    }
}

fn node(left: &Node, right: &Node) -> Node {
    let hash = Sha256::new_with_prefix([1])
        .chain_update(left)
        .chain_update(right);
    hash.finalize().into()
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leaf_leads_to_the_root_from_its_own_place_only() {
        for count in 1..=MAX_LEAVES {
            let leaves: Vec<Node> = (0..count).map(|n| [n as u8; 32]).collect();
            let (top, paths) = tree(&leaves);
            for (index, path) in paths.iter().enumerate() {
                assert_eq!(path.len(), depth(index, count));
                assert_eq!(root(&leaves[index], index, count, path), Some(top));
                for other in (0..count).filter(|other| *other != index) {
                    assert_ne!(root(&leaves[index], other, count, path), Some(top));
                }
                let longer = [&path[..], &[[9; 32]]].concat();
                assert_eq!(root(&leaves[index], index, count, &longer), None);
            }
        }
    }

    #[test]
    fn a_leaf_is_no_node() {
        let (left, right) = ([1; 32], [2; 32]);
        let inner = [&left[..], &right].concat();
        let salt = inner[..16].try_into().unwrap();
        assert_ne!(leaf(salt, &inner[16..]), node(&left, &right));
    }
}
