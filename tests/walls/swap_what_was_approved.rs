use std::sync::Arc;

use countersign::{
    artifact::{Digest, SolutionDesign},
    engagement::ApprovedDesign,
};

fn swapped(approved: &mut ApprovedDesign, design: SolutionDesign) {
    approved.document = Arc::new(design);
    approved.digest = Digest::ZERO;
}

fn main() {}
