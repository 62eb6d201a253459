// A permit cannot even be named, so it cannot be made, copied or written down.
use countersign::broker::Permit;

fn main() {
    let _: Option<Permit> = None;
}
