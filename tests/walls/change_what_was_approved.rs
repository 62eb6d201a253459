use countersign::engagement::{ApprovedDesign, ApprovedSpec};

fn widened(spec: &mut ApprovedSpec) {
    spec.boundary.build.clear();
}

fn shortened(design: &mut ApprovedDesign) {
    design.steps.clear();
}

fn main() {}
